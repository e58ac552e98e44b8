"""Which mirror images training may show: measured on validation data, not guessed by name.

A mirrored cat is a cat; a mirrored b is a d. The first part of a training shows no mirror images;
then the young network is asked about the validation examples as they are and mirrored. Where
mirroring costs it a good part of what it has learned, mirror images are something else, and
training goes on without them. So nothing is trained that is not kept, and no time is spent apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mintage.core.messages import Message, _

MEASURED_AT = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 0.95)
"""Shares of the training after which it is tried, until the network has learned enough; late, that
still decides how often a picture is looked at when it is answered."""
EXAMPLES = 400
# Of what knowing nothing loses; below it, or where chance could make it, a network has not learned
# enough to be asked.
_ENOUGH, _STANDARD_ERRORS = 0.03, 3.0
# Mirroring may cost this share of what was learned. What seems to cost more, but by less than two
# standard errors, is asked again: of 200 examples and a network that has hardly begun, one probe in
# four said that a mirrored cat is none.
_MAY_COST, _CERTAIN = 0.2, 2.0

_AXES = {"horizontal": 3, "both": 3, "vertical": 2}

LossesOf = Callable[[tuple[int, ...], float], Tensor]
"""Losses ``float[M]`` of the validation examples, mirrored along these axes of ``[N, C, H, W]``,
with logits divided by a temperature."""

# Of few examples a network is soon surer than it is right, and its loss no longer says what it
# knows: with 120 validation examples one that was 81 % right had "learned" nothing.
_TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Flips:
    """What was found: ``chosen`` as recipes name it, and the cost of mirroring each way.

    Costs are shares of what was learned; None where nothing could be measured.
    """

    chosen: str
    across: float | None = None
    down: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For the log, the record and a resume."""
        return {"chosen": self.chosen, "across": self.across, "down": self.down}

    @property
    def because(self) -> Message:
        """Why, in words."""
        if self.across is None or self.down is None:
            return _(
                "it could not be told (too few examples, or too little learned), so nothing is "
                "mirrored"
            )
        return _(
            "mirrored left to right, validation examples lose {across:.0%} of what was learned, "
            "upside down {down:.0%}; up to {limit:.0%} is allowed",
            across=min(max(0.0, self.across), 1.0),
            down=min(max(0.0, self.down), 1.0),
            limit=_MAY_COST,
        )


def axis_of(flips: str) -> int | None:
    """The axis of ``[N, C, H, W]`` along which a picture may be looked at mirrored; None: neither.

    ``flips`` is as recipes name it. Where both are harmless, left to right is.
    """
    return _AXES.get(flips)


def measure(losses_of: LossesOf, labels: Tensor, *, last: bool = False) -> Flips | None:
    """Decide on mirror images; None where the network has not learned enough to be asked.

    Nor is anything decided where it cannot be told whether left to right costs too much, unless
    this is the ``last`` time. ``labels`` are ``int64[M]`` of the validation examples.
    """
    shares = torch.bincount(labels).float() / len(labels)
    ignorant = float(-(shares * shares.clamp(min=1e-9).log()).sum())
    losses, temperature = _calibrated(losses_of)
    plain = float(losses.mean())
    learned = ignorant - plain
    chance = float(losses.std()) / math.sqrt(len(losses))
    if not learned >= max(_ENOUGH * ignorant, _STANDARD_ERRORS * chance, 1e-9):  # or not a number
        return None
    lost = losses_of((3,), temperature) - losses
    across = float(lost.mean()) / learned
    doubt = _CERTAIN * float(lost.std()) / math.sqrt(len(lost)) / learned
    if not last and across - doubt <= _MAY_COST < across:
        return None
    down = float(losses_of((2,), temperature).mean() - plain) / learned
    names = {(False, False): "none", (True, False): "horizontal", (False, True): "vertical"}
    chosen = names.get((across <= _MAY_COST, down <= _MAY_COST), "both")
    return Flips(chosen, round(across, 4), round(down, 4))


def _calibrated(losses_of: LossesOf) -> tuple[Tensor, float]:
    """The losses of the pictures as they are at the temperature that suits them best."""
    found = losses_of((), 1.0), 1.0
    for temperature in _TEMPERATURES[1:]:
        losses = losses_of((), temperature)
        if not float(losses.mean()) < float(found[0].mean()):
            break
        found = losses, temperature
    return found
