"""Step 3, design: which candidates suit the data, the time and the machine's measured speed.

Costs and sizes are a measured table; ``speed`` says how much slower or faster than the machine of
the table this one is (``probe.py``).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from mintage.core.errors import ConfigError
from mintage.core.machine import has_bfloat16
from mintage.core.messages import Message, _
from mintage.create.cost import example_ms
from mintage.create.dataset import Dataset
from mintage.create.forward import device
from mintage.create.recipe import Candidate, Recipe
from mintage.modalities.image.augment import Augmentation

SEARCH_FROM_SECONDS = 15 * 60  # decision 7: below it nothing is trained that is not kept
NETWORKS = ("seed-cnn", "compact")
HUB = "hub:"
_LARGE = 1500
# The largest class may have this many times the smallest's examples before classes are weighted.
EVEN = 1.5
# Pictures are trained on small at first, which is quick, and never as large as they are judged:
# crops show animals larger than whole pictures do (Touvron et al. 2019, "Fixing the train-test
# resolution discrepancy"). What is best depends on how hard is cropped; measured in
# docs/explanation/training.md.
OFTEN = 20
"""Passes from which on pictures are seen so often that they have to be changed much."""
_SELDOM = 10  # with fewer, changes cost more than they help: 80 against 76 % after 14 s
_SEEN_OFTEN = Augmentation(crop=0.8, brightness=0.4, contrast=0.4, colour=0.3, erasing=0.3)
_SIDES_OFTEN, _SIDES_SELDOM = (1 / 3, 4 / 9, 2 / 3), (0.4, 0.6, 0.8)
PASSES_NEEDED = 6
"""With fewer compact is worse than seed-cnn: 70 % after 4 passes, where that has 73 % by then."""
_WIDE_PASSES, _WIDE_EXAMPLES = 45, 135_000  # from where on a network of full width is better
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Size:
    """One row of the table: how large a compact network is, from ``passes`` over the data on.

    With fewer the row before is better.
    """

    side: int
    width: float
    depth: int
    passes: int


SIZES = (
    Size(48, 0.5, 1, PASSES_NEEDED),
    Size(64, 0.5, 1, PASSES_NEEDED),
    Size(80, 0.5, 1, 7),
    Size(96, 0.5, 1, 18),
    Size(112, 0.5, 1, OFTEN),
    Size(144, 0.5, 1, 25),
    Size(176, 1.0, 1, 100),
)


@dataclass(frozen=True)
class Data:
    """What a design has to know of a dataset.

    ``counts`` are the training examples of each class, ``typical_side`` is the median of the
    pictures' shorter sides.
    """

    counts: tuple[int, ...]
    typical_side: int

    @property
    def examples(self) -> int:
        """Those to train on."""
        return sum(self.counts)

    @property
    def uneven(self) -> bool:
        """Whether always answering the largest class would look good."""
        return max(self.counts) > EVEN * max(1, min(self.counts))


def data_of(dataset: Dataset) -> Data:
    """What designs have to know of this dataset."""
    examples = [example for example in dataset.examples if example.split == "train"]
    counts = Counter(example.label for example in examples)
    shorter = [min(example.size) for example in examples]
    return Data(tuple(counts[label] for label in dataset.labels), int(median(shorter)))


def cost_ms(candidate: Candidate) -> float | None:
    """Milliseconds an example trained on, on the table's machine; None of a pretrained network."""
    if candidate.network == "hub":
        return None
    return 0.1 if candidate.network == "seed-cnn" else compact_ms(candidate)


def compact_ms(candidate: Candidate) -> float:
    """The same of a compact network.

    Width counts by a power of it: narrow convolutions are bound by memory (measured from 1 to 2 on
    2 Xeon cores, and at a half on 2 EPYC).
    """
    sides = candidate.training_sides or (candidate.input_size,)
    each = sum(example_ms(side, candidate.batch_size) for side in sides) / len(sides)
    by_width = candidate.width ** (1.6 if candidate.width >= 1 else 1.25)
    return float(each * by_width * (0.55 + 0.45 * candidate.depth))


def _precision() -> str:
    """What the accelerator or the processor that trains is fastest in."""
    fast = torch.cuda.is_bf16_supported() if device().type == "cuda" else has_bfloat16()
    return "bfloat16" if fast else "float32"


def seed_cnn(seconds: float | None = None) -> Candidate:
    """28×28×3 and one convolution: the least that learns pictures.

    By epochs as a textbook trains it, until it gets no better; by the clock as is best for so
    little time (measured in docs/explanation/training.md).
    """
    textbook = Candidate(
        name="seed-cnn",
        network="seed-cnn",
        input_size=28,
        initialisation="glorot_uniform",
        precision=_precision(),
        early_stopping_patience=10,
    )
    if seconds is None:
        return textbook
    return replace(
        textbook,
        early_stopping_patience=None,
        learning_rate=0.002,
        schedule="one_cycle",
        answer_mirrored=True,
        mean=_MEAN,
        deviation=_DEVIATION,
        augmentation=replace(Augmentation.none(), flips="measure"),
    )


def sized(size: Size, examples: int, passes: float, name: str = "compact") -> Candidate:
    """A compact network of some size, with the cures that so many passes over the data call for.

    Where pictures are seen often they are changed more, so that the network does not learn them
    by heart; where they are not, or the network is too narrow for that, it costs accuracy. Mixing
    pictures and averaging weights helped nothing at this size (docs/explanation/training.md); a
    search tries the former.
    """
    large = examples >= _LARGE
    changes = _SEEN_OFTEN if passes >= OFTEN and size.width >= 1 else Augmentation()
    if passes < _SELDOM:
        changes = replace(Augmentation.none(), flips="measure")
    return Candidate(
        name=name,
        network="compact",
        input_size=size.side,
        width=size.width,
        depth=size.depth,
        initialisation="he_normal",
        optimiser="muon",
        learning_rate=0.04 if large else 0.03,
        schedule="one_cycle",
        # Muon's step costs the same for any number of examples; few examples need the steps.
        batch_size=128 if large else 64,
        precision=_precision(),
        training_sides=_training_sides(size.side, changes),
        answer_mirrored=True,
        mean=_MEAN,
        deviation=_DEVIATION,
        weight_decay=0.5,
        # With little time it costs: 85.2 in place of 88.7 % after 30 s.
        label_smoothing=0.1 if changes == _SEEN_OFTEN else 0.0,
        augmentation=changes,
    )


def _training_sides(side: int, changes: Augmentation) -> tuple[int, ...]:
    if not changes.crop:  # as they are judged
        return ()
    parts = _SIDES_OFTEN if changes.crop == _SEEN_OFTEN.crop else _SIDES_SELDOM
    return tuple(max(32, round(side * part / 4) * 4) for part in parts)


def _sizes_up_to(typical_side: int, examples: int) -> list[Size]:
    """The rows for pictures of such sides: the narrow ones, and from some passes on full width.

    That is worth its time when many examples were seen, not only each of a few thousand often.
    """
    fitting = [size for size in SIZES if size.side <= max(typical_side, SIZES[0].side)]
    narrow = [size for size in fitting if size.width < 1]
    passes = min(_WIDE_PASSES, max(OFTEN, round(_WIDE_EXAMPLES / examples)))
    return [*narrow, replace(narrow[-1], width=1.0, passes=passes), *fitting[len(narrow) :]]


def compact(
    *, examples: int, typical_side: int, seconds: float | None = None, speed: float = 1.0
) -> Candidate:
    """The small residual network, on pictures as large as the data and the time allow.

    It is the last row of the table whose passes fit; without a time that of 144 px.
    """
    fitting = _sizes_up_to(typical_side, examples)
    if seconds is None:
        size = [size for size in fitting if size.side <= 144][-1]
        return sized(size, examples, default_epochs("compact", examples))
    chosen = sized(fitting[0], examples, 1)
    for size in fitting:
        candidate = sized(size, examples, size.passes)
        passes = seconds * 1000 / (compact_ms(candidate) * speed * examples)
        if passes >= size.passes:
            chosen = sized(size, examples, passes)
    return chosen


def design(
    name: str,
    *,
    data: Data,
    seconds: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    threads: int = 1,
    speed: float = 1.0,
    search: bool | None = None,
    backbone: str | None = None,
    say: Callable[[str], None] = lambda __: None,
) -> Recipe:
    """The recipe called ``auto``, ``seed-cnn``, ``compact``, ``hub:…`` or several with commas.

    ``seconds`` is what training may take for all candidates together, ``speed`` how long this
    machine takes for what the table's takes a second for. ``search`` asks for successive halving;
    left open, it begins at 15 minutes. ``backbone`` names pretrained weights that are at hand, and
    ``say`` is told of downloads.

    Raises:
        ConfigError: an unknown name, or a time or a number of epochs that is not above zero.
    """
    if (seconds is not None and seconds <= 0) or (epochs is not None and epochs <= 0):
        raise ConfigError(_("A time and a number of epochs must be above 0."))
    if len(data.counts) < 2 or data.examples < 2:
        raise ConfigError(_("Training needs at least two classes and two examples."))
    if search is None:
        search = name == "auto" and seconds is not None and seconds >= SEARCH_FROM_SECONDS
    names = _names(name, data, seconds, speed, search=search, backbone=backbone)
    share = None if seconds is None else seconds / (1 if search else len(names))
    candidates = [
        candidate
        for each in names
        for candidate in _candidates(each, data, share, speed, search=search, say=say)
    ]
    if seconds is None and epochs is None:
        epochs = max(default_epochs(each.network, data.examples) for each in candidates)
    uneven = data.uneven
    if uneven:
        candidates = [replace(each, class_weights="balanced") for each in candidates]
    return Recipe(
        name=name,
        candidates=tuple(candidates),
        seed=seed,
        epochs=epochs,
        seconds=seconds,
        threads=threads,
        choose_by="balanced_accuracy" if uneven else "accuracy",
        search=search and len(candidates) > 1,
    )


def _candidates(
    name: str,
    data: Data,
    seconds: float | None,
    speed: float,
    *,
    search: bool,
    say: Callable[[str], None],
) -> Sequence[Candidate]:
    if name.startswith(HUB):
        return [pretrained(name.removeprefix(HUB), data, say)]
    if name == "seed-cnn":
        return [seed_cnn(seconds)]
    shown = {"examples": data.examples, "typical_side": data.typical_side}
    favourite = compact(**shown, seconds=seconds, speed=speed)
    return [favourite, *neighbours(favourite, data)] if search else [favourite]


def neighbours(favourite: Candidate, data: Data) -> list[Candidate]:
    """What a search tries beside the table's choice, the likeliest to help first.

    Each differs from it in one thing. A narrow one is not changed more: that costs it accuracy.
    """
    stronger = replace(
        favourite.augmentation, crop=1.0, rotation_degrees=15.0, colour=0.4, erasing=0.5
    )
    sides = sorted({size.side for size in SIZES if size.side <= max(data.typical_side, 48)})
    at = sides.index(favourite.input_size)
    larger, smaller = sides[at + 1 : at + 2], sides[max(0, at - 1) : at]
    changed_more = replace(favourite, name="compact-changed-more", augmentation=stronger)
    return [
        *([changed_more] if favourite.width >= 1 else []),
        replace(favourite, name="compact-wider", width=max(1.0, 1.5 * favourite.width)),
        *(_resized(favourite, side) for side in larger),
        replace(favourite, name="compact-deeper", depth=favourite.depth + 1),
        *(_resized(favourite, side) for side in smaller),
        replace(favourite, name="compact-mixed", mixup=0.25, cutmix=0.25),
    ]


def _resized(favourite: Candidate, side: int) -> Candidate:
    shown = _training_sides(side, favourite.augmentation)
    return replace(favourite, name=f"compact-{side}px", input_size=side, training_sides=shown)


def pretrained(weights: str, data: Data, say: Callable[[str], None]) -> Candidate:
    """A pretrained backbone with a new head, all of it fine-tuned; ``say`` tells of a download."""
    from mintage.modalities.image.pretrained import describe  # noqa: PLC0415 - an extra

    found = describe(weights, say=say)
    return Candidate(
        name="hub",
        network="hub",
        weights=weights,
        weights_sha256=found.digest,
        input_size=found.input_size,
        initialisation="he_normal",
        optimiser="adam",
        learning_rate=1e-3,
        backbone_rate=0.1,
        schedule="one_cycle",
        batch_size=32 if data.examples < _LARGE else 64,
        precision=_precision(),
        mean=found.mean,
        deviation=found.deviation,
        weight_decay=0.05,
        label_smoothing=0.1,
        dropout=0.1,
        augmentation=Augmentation(),
    )


def default_epochs(network: str, examples: int) -> int:
    """Passes over the data where neither time nor epochs are asked for.

    Few examples need more passes for the same number of steps.
    """
    if network == "seed-cnn":
        return 10 if examples >= 1000 else 30
    if network == "hub":
        return 5 if examples >= 1000 else 10
    return min(max(round(100_000 / examples), 20), 60)


def why_epochs(recipe: Recipe, data: Data) -> Message:
    """What to say where neither a time nor a number of epochs was asked for."""
    return _(
        "No --time given: {epochs} passes over {examples:,} examples, for as many as there are.",
        epochs=recipe.epochs,
        examples=data.examples,
    )


def network_for_time(examples: int, seconds: float, speed: float = 1.0) -> str:
    """Compact, unless not even ``PASSES_NEEDED`` passes at its smallest side fit."""
    smallest = compact_ms(sized(SIZES[0], examples, PASSES_NEEDED))
    enough = PASSES_NEEDED * examples * smallest * speed / 1000 <= seconds
    return "compact" if enough else "seed-cnn"


def _names(
    name: str,
    data: Data,
    seconds: float | None,
    speed: float,
    *,
    search: bool,
    backbone: str | None,
) -> list[str]:
    if name == "auto":
        at_hand = [HUB + backbone] if backbone else []
        if seconds is None or search:
            return [*NETWORKS, *at_hand]
        return at_hand or [network_for_time(data.examples, seconds, speed)]
    names = [each.strip() for each in name.split(",")]
    for each in names:
        if each not in NETWORKS and not each.startswith(HUB):
            near = difflib.get_close_matches(each, [*NETWORKS, "auto"], n=1, cutoff=0.4)
            raise ConfigError(
                _("No recipe is called {name!r}.", name=each),
                remedy=_("Did you mean {name!r}?", name=near[0])
                if near
                else _("Use auto, seed-cnn, compact, hub:FOLDER or a recipe file."),
            )
    if len(set(names)) < len(names):
        raise ConfigError(_("The recipe {name!r} names a candidate twice.", name=name))
    return names
