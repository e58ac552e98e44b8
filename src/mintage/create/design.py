"""Recipes: which networks are tried, and everything that decides how they are trained.

A recipe is complete: with the data and the thread count it determines the weights. It is plain
JSON when written, and a key that nobody reads is refused, since a misspelt one would change
nothing and be believed.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.modalities.image.augment import Augmentation

ONE_CANDIDATE_BELOW_SECONDS = 15 * 60  # decision 7: nothing is trained that is not kept
SIDES = (48, 64, 80, 96, 112)
# Milliseconds an example that compact trains on, at the mean of its three training sides, on 2
# EPYC cores with bfloat16. 112 is measured (2.5 ms of one core's time), the others scaled by area.
COST_MS = {48: 0.33, 64: 0.55, 80: 0.85, 96: 1.25, 112: 1.7}
_LARGE = 1500
# Pictures are trained on small at first, which is quick, and never as large as they are judged:
# crops show animals larger than whole pictures do (Touvron et al. 2019, "Fixing the train-test
# resolution discrepancy"). On pets, 64 to 96 judged at 112 gave 90.3 and 91.1 % on pets-valid
# after 200 s of one core's time (seeds 1 and 0). Not compared alone against judging at 96.
TRAINING_SIDES = (0.575, 0.72, 0.86)
PASSES_WANTED = 12
PASSES_NEEDED = 3


@dataclass(frozen=True)
class Candidate:
    """One design and how it is trained.

    ``mean`` and ``deviation`` scale pixels per channel, from 0 to 1. ``training_sides`` are the
    sides of the pictures trained on, in equal parts of the schedule (none: ``input_size``); what
    is evaluated and served has ``input_size``.
    """

    name: str
    network: str
    input_size: int
    initialisation: str
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 32
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    dropout: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation.none)
    precision: str = "float32"
    early_stopping_patience: int | None = None
    schedule: str = "constant"
    training_sides: tuple[int, ...] = ()
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(
                    _("No {name} is called {chosen!r}.", name=name, chosen=getattr(self, name)),
                    remedy=_("Use one of: {known}.", known=", ".join(known)),
                )
        if self.batch_size < 1 or self.input_size < 1 or self.learning_rate <= 0:
            raise ConfigError(
                _(
                    "Candidate {name}: batch size, input size and learning rate must be above 0.",
                    name=self.name,
                )
            )


_CHOICES = {
    "optimiser": ("adam", "sgd", "muon"),
    "loss": ("cross_entropy", "squared_error"),
    "precision": ("float32", "bfloat16"),
    "schedule": ("constant", "one_cycle"),
}


@dataclass(frozen=True)
class Recipe:
    """The frozen, complete description of how to train.

    One of ``seconds`` (for all candidates together) and ``epochs`` (for each) is given.
    """

    name: str
    candidates: tuple[Candidate, ...]
    seed: int = 0
    epochs: int | None = None
    seconds: float | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        """Check once; a recipe may come from a file."""
        counts = {"epochs": self.epochs, "seconds": self.seconds, "threads": self.threads}
        for name, value in counts.items():
            if value is not None and value <= 0:
                raise ConfigError(
                    _("A recipe's {name} must be above 0, not {number}.", name=name, number=value)
                )
        if not self.candidates:
            raise ConfigError(_("A recipe needs at least one candidate."))

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON values."""
        document = dataclasses.asdict(self)
        document["candidates"] = [_plain(candidate) for candidate in document["candidates"]]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Recipe:
        """The recipe that ``to_json`` wrote.

        Raises:
            ConfigError: a key that is unknown or missing, or a value that cannot be.
        """
        values = _checked(cls, document, _("recipe"))
        values["candidates"] = tuple(_candidate(each) for each in values["candidates"])
        return cls(**values)


def _plain(candidate: dict[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in candidate.items()}


def _candidate(document: Mapping[str, Any]) -> Candidate:
    values = _checked(Candidate, document, _("candidate"))
    if "augmentation" in values:
        values["augmentation"] = Augmentation(
            **_checked(Augmentation, values["augmentation"], _("augmentation"))
        )
    # Canonical JSON writes 1.0 as 1, and a graph of whole numbers is another graph.
    for name, kind in (("training_sides", int), ("mean", float), ("deviation", float)):
        if name in values:
            values[name] = tuple(kind(value) for value in values[name])
    return Candidate(**values)


def _checked(kind: type[Any], document: Mapping[str, Any], what: Message) -> dict[str, Any]:
    """The document as keyword arguments of ``kind``, once every key is known and none missing."""
    if not isinstance(document, Mapping):
        raise ConfigError(
            _(
                "A {what} is an object of names and values, not {document!r}.",
                what=what,
                document=document,
            )
        )
    fields = {each.name: each for each in dataclasses.fields(kind)}
    for key in document:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.5)
            hint = (
                _("Did you mean {name!r}?", name=near[0])
                if near
                else _("It has: {names}.", names=", ".join(fields))
            )
            raise ConfigError(_("A {what} has no {key!r}.", what=what, key=key), remedy=hint)
    missing = [
        name
        for name, each in fields.items()
        if name not in document
        and each.default is dataclasses.MISSING
        and each.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(
            _("The {what} lacks {missing}.", what=what, missing=", ".join(missing)),
            remedy=_("Add what is missing."),
        )
    return dict(document)


def seed_cnn(seconds: float | None = None) -> Candidate:
    """28×28×3 and one convolution: the least that learns pictures, as a textbook trains it."""
    return Candidate(
        name="seed-cnn",
        network="seed-cnn",
        input_size=28,
        initialisation="glorot_uniform",
        # By epochs it stops by itself; by the clock the clock does.
        early_stopping_patience=None if seconds else 10,
    )


def compact(*, examples: int, typical_side: int, seconds: float | None = None) -> Candidate:
    """The small residual network, on pictures as large as the data and the time allow."""
    side = compact_side(examples=examples, typical_side=typical_side, seconds=seconds)
    return Candidate(
        name="compact",
        network="compact",
        input_size=side,
        initialisation="he_normal",
        optimiser="muon",
        learning_rate=0.04 if examples >= _LARGE else 0.03,
        weight_decay=0.5,
        # Muon adds 7 % to a step of 128 pictures, 19 % at 64; few examples need the steps.
        batch_size=128 if examples >= _LARGE else 64,
        label_smoothing=0.1,
        augmentation=Augmentation(),
        precision="bfloat16",
        early_stopping_patience=None,
        schedule="one_cycle",
        training_sides=tuple(max(32, int(side * share) // 4 * 4) for share in TRAINING_SIDES),
        mean=(0.485, 0.456, 0.406),
        deviation=(0.25, 0.25, 0.25),
    )


def compact_side(*, examples: int, typical_side: int, seconds: float | None) -> int:
    """The largest side worth its time: about twelve passes over the data must fit.

    Costs are of 2 EPYC cores with bfloat16, in milliseconds an example trained, at the mean of
    the three training sides.
    """
    fitting = [side for side in SIDES if side <= max(typical_side, SIDES[0])]
    if seconds is None:
        return fitting[-1]
    wanted = PASSES_WANTED * examples
    affordable = [s for s in fitting if wanted * COST_MS[s] / 1000 <= seconds]
    return affordable[-1] if affordable else fitting[0]


def design(
    name: str,
    *,
    classes: int,
    examples: int,
    typical_side: int,
    seconds: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Recipe:
    """The recipe called ``auto``, ``seed-cnn``, ``compact`` or several joined by commas.

    ``examples`` are those to train on, ``typical_side`` the median of the pictures' shorter
    sides, ``seconds`` what training may take for all candidates together.

    Raises:
        ConfigError: an unknown name, or a time or a number of epochs that is not above zero.
    """
    if (seconds is not None and seconds <= 0) or (epochs is not None and epochs <= 0):
        raise ConfigError(_("A time and a number of epochs must be above 0."))
    if classes < 2 or examples < 2:
        raise ConfigError(_("Training needs at least two classes and two examples."))
    names = _names(name, examples=examples, seconds=seconds)
    share = None if seconds is None else seconds / len(names)
    candidates = tuple(
        seed_cnn(share)
        if each == "seed-cnn"
        else compact(examples=examples, typical_side=typical_side, seconds=share)
        for each in names
    )
    if seconds is None and epochs is None:
        epochs = max(default_epochs(each, examples) for each in names)
    return Recipe(
        name=name,
        candidates=candidates,
        seed=seed,
        epochs=epochs,
        seconds=seconds,
        threads=threads,
    )


def default_epochs(network: str, examples: int) -> int:
    """Passes over the data where neither time nor epochs are asked for.

    Few examples need more passes for the same number of steps.
    """
    if network == "seed-cnn":
        return 10 if examples >= 1000 else 30
    return min(max(round(100_000 / examples), 20), 60)


def network_for_time(examples: int, seconds: float) -> str:
    """Compact, unless not even ``PASSES_NEEDED`` passes at its smallest side fit."""
    enough = PASSES_NEEDED * examples * COST_MS[SIDES[0]] / 1000 <= seconds
    return "compact" if enough else "seed-cnn"


def _names(name: str, *, examples: int, seconds: float | None) -> list[str]:
    known = ("seed-cnn", "compact")
    if name == "auto":
        if seconds is None or seconds >= ONE_CANDIDATE_BELOW_SECONDS:
            return list(known)
        return [network_for_time(examples, seconds)]
    names = [each.strip() for each in name.split(",")]
    for each in names:
        if each not in known:
            near = difflib.get_close_matches(each, [*known, "auto"], n=1, cutoff=0.4)
            raise ConfigError(
                _("No recipe is called {name!r}.", name=each),
                remedy=_("Did you mean {name!r}?", name=near[0])
                if near
                else _("Use auto, seed-cnn or compact."),
            )
    if len(set(names)) < len(names):
        raise ConfigError(_("The recipe {name!r} names a candidate twice.", name=name))
    return names
