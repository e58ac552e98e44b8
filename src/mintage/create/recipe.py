"""Recipes: which networks are tried, and everything that decides how they are trained.

A recipe is complete: with the data and the thread count it determines the weights. It is plain
JSON when written, and a key that nobody reads is refused, since a misspelt one would change
nothing and be believed.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.modalities.image.augment import FLIPS, Augmentation

PRECISIONS = ("float32", "bfloat16")
METRICS = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Candidate:
    """One design and how it is trained.

    ``mean`` and ``deviation`` scale pixels per channel, from 0 to 1. ``training_sides`` are the
    sides of the pictures trained on, in equal parts of the schedule (none: ``input_size``); what
    is evaluated and served has ``input_size``. With ``answer_mirrored`` an answer is the mean over
    the picture and its mirror image, where training shows mirror images. ``width`` multiplies the
    channels and ``depth`` is the number of residual blocks a stage, of the networks that have
    them. ``weights`` names the pretrained backbone of the network ``hub``, whose file has to have
    ``weights_sha256`` where that is given; ``backbone_rate`` is the share of the learning rate
    that its first layers get.

    The cures: ``weight_decay`` (L2) and ``l1`` are decoupled from the gradient; ``mixup`` and
    ``cutmix`` are shares of the batches; ``averaging`` is what the running mean of the weights
    keeps of itself at each step.
    """

    name: str
    network: str
    input_size: int
    initialisation: str
    weights: str | None = None
    weights_sha256: str | None = None
    backbone_rate: float = 0.1
    width: float = 1.0
    depth: int = 1
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    batch_size: int = 32
    loss: str = "cross_entropy"
    class_weights: str = "none"
    precision: str = "float32"
    training_sides: tuple[int, ...] = ()
    answer_mirrored: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    weight_decay: float = 0.0
    l1: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    averaging: float = 0.0
    early_stopping_patience: int | None = None
    restore_best_weights: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation.none)

    def __post_init__(self) -> None:
        """Refuse what cannot be; a recipe may come from a file."""
        if not _NAME.fullmatch(self.name):  # it names a folder too
            raise ConfigError(
                _("{name!r} is no name for a candidate.", name=self.name),
                remedy=_("Use small letters, digits, dots and hyphens, at most 60."),
            )
        for name, known in CHOICES.items():
            _check_choice(name, getattr(self, name), known)
        _check_choice("flips", self.augmentation.flips, FLIPS)
        for name, (low, high) in RANGES.items():
            _check_range(self.name, name, getattr(self, name), low, high)
        for side in self.training_sides:
            _check_range(self.name, "training_sides", side, *TRAINING_SIDES)
        self._check_network()
        for name, (low, high) in CHANGES.items():
            _check_range(self.name, name, getattr(self.augmentation, name), low, high)
        for name in ("answer_mirrored", "restore_best_weights"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(_("{name} is true or false.", name=name))
        _check_range(self.name, "mixup + cutmix", self.mixup + self.cutmix, 0, 1)
        if (self.network == "hub") != (self.weights is not None):
            raise ConfigError(_("The network hub, and no other, needs weights."))

    def _check_network(self) -> None:
        """Refuse a key that its network does not have; it would do nothing."""
        for networks, keys in _KEYS_OF.items():
            for key, nothing in keys.items():
                if self.network not in networks and getattr(self, key) != nothing:
                    raise ConfigError(
                        _("{network} has no {key}.", network=self.network, key=key),
                        remedy=_("Leave it out, or choose the network {other}.", other=networks[0]),
                    )


# What is of some networks alone, and what says that it is not asked for.
_KEYS_OF: dict[tuple[str, ...], dict[str, Any]] = {
    ("compact", "hub"): {"training_sides": ()},
    ("compact",): {"width": 1.0, "depth": 1},
    ("hub",): {"backbone_rate": 0.1, "weights_sha256": None},
}
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}")
CHOICES = {
    "optimiser": ("adam", "sgd", "muon"),
    "loss": ("cross_entropy", "squared_error"),
    "class_weights": ("none", "balanced"),
    "precision": PRECISIONS,
    "schedule": ("constant", "one_cycle"),
}
TINY = 1e-12
RANGES: dict[str, tuple[float, float]] = {
    "input_size": (28, 1024),
    "backbone_rate": (0, 1),
    "width": (0.125, 8),
    "depth": (1, 16),
    "learning_rate": (TINY, 1e6),
    "batch_size": (1, 65536),
    "weight_decay": (0, 100),
    "l1": (0, 100),
    "dropout": (0, 0.95),
    "label_smoothing": (0, 0.9),
    "mixup": (0, 1),
    "cutmix": (0, 1),
    "averaging": (0, 0.99999),
    "early_stopping_patience": (1, 10000),
}
TRAINING_SIDES = (32, 1024)  # compact's alone: seed-cnn takes one side
CHANGES: dict[str, tuple[float, float]] = {
    "rotation_degrees": (0, 180),
    "crop": (0, 2),
    "scale": (0, 2),
    "aspect": (0, 1),
    "translation": (0, 0.5),
    "brightness": (0, 2),
    "contrast": (0, 1),
    "colour": (0, 0.5),
    "erasing": (0, 1),
}


def _check_choice(name: str, chosen: object, known: tuple[str, ...]) -> None:
    if chosen not in known:
        raise ConfigError(
            _("No {name} is called {chosen!r}.", name=name, chosen=chosen),
            remedy=_("Use one of: {known}.", known=", ".join(known)),
        )


def _check_range(candidate: str, name: str, value: object, low: float, high: float) -> None:
    if value is None and name == "early_stopping_patience":
        return
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not low <= value <= high:  # type: ignore[operator]  # NaN is in no range
        raise ConfigError(
            _(
                "Candidate {candidate}: {name} must lie between {low:g} and {high:g}; "
                "it is {value!r}.",
                candidate=candidate,
                name=name,
                low=low,
                high=high,
                value=value,
            )
        )


@dataclass(frozen=True)
class Recipe:
    """The frozen, complete description of how to train.

    One of ``seconds`` (for all candidates together) and ``epochs`` (for each) is given.
    ``choose_by`` is the measure on validation data by which candidates, and the weights of each,
    are chosen. ``search`` finds the candidate to keep by successive halving.
    """

    name: str
    candidates: tuple[Candidate, ...]
    seed: int = 0
    epochs: int | None = None
    seconds: float | None = None
    threads: int = 1
    choose_by: str = "accuracy"
    search: bool = False

    def __post_init__(self) -> None:
        """Check once; a recipe may come from a file."""
        counts = {"epochs": self.epochs, "seconds": self.seconds, "threads": self.threads}
        if self.seed < 0:
            raise ConfigError(_("A seed is 0 or more, not {seed}.", seed=self.seed))
        for name, value in counts.items():
            if value is not None and value <= 0:
                raise ConfigError(
                    _("A recipe's {name} must be above 0, not {number}.", name=name, number=value)
                )
        _check_choice("choose_by", self.choose_by, METRICS)
        if not self.candidates:
            raise ConfigError(_("A recipe needs at least one candidate."))
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) < len(names):
            raise ConfigError(_("The recipe {name!r} names a candidate twice.", name=self.name))
        if self.seconds is not None and self.epochs is not None:
            raise ConfigError(_("Give a time or a number of epochs, not both."))

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
