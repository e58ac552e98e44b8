"""How much of the data is measured on, and how long the end of a fine-tuning takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.create.language.base import Opened
from mintage.create.language.reading import Encodings
from mintage.create.language.recipe import LanguageRecipe
from mintage.create.language.tokens import Encoded
from mintage.create.language.tuning import measured, token_losses
from mintage.tasks import language

_LOOKING_SHARE = 0.25
"""Of the time, what measuring on validation and test data may take."""
_MOST_VALIDATION = 200
_BATCH_TOKENS = 4096
_WRITTEN_A_SECOND = 150e6
"""Bytes of weights that are saved, hashed, copied and flushed in a second: 400 MB took 2.7 s on two
cores, which made them too."""


@dataclass(frozen=True)
class Measuring:
    """The conversations that are measured on, and how long the end takes, in seconds."""

    validation: list[Encoded]
    test: list[Encoded]
    end_seconds: float


def planned(
    opened: Opened,
    encodings: Encodings,
    recipe: LanguageRecipe,
    clock: Callable[[], float],
    progress: Progress,
) -> Measuring:
    """All of it, or what a part of the time suffices for, which is said.

    Test data is measured twice (before and after), validation data at every look.
    """
    validation, test = encodings.validation, encodings.test
    looked, tested, end = min(len(validation), _MOST_VALIDATION), len(test), 0.0
    if recipe.seconds is not None:
        speed = _tokens_a_second(opened, validation[0], clock)
        means = [float(np.mean([len(each.ids) for each in held])) for held in (validation, test)]
        room = _LOOKING_SHARE * recipe.seconds * speed
        looked = max(1, min(looked, int(0.5 * room / (means[0] * (recipe.looks + 1)))))
        tested = max(1, min(tested, int(0.25 * room / means[1])))
        saving = 2.0 + 4 * opened.base.parameters / _WRITTEN_A_SECOND
        end = saving + 1.3 * tested * means[1] / speed + 0.02 * recipe.seconds
    if (looked, tested) != (len(validation), len(test)):
        progress.say(
            _(
                "It is measured on {validation:,} validation and {test:,} test conversations.",
                validation=looked,
                test=tested,
            )
        )
    return Measuring(validation[:looked], test[:tested], end)


def _tokens_a_second(opened: Opened, example: Encoded, clock: Callable[[], float]) -> float:
    """How fast the network reads, once it is warm."""
    device = next(opened.network.parameters()).device
    padding = opened.tokenizer.pad_token_id
    with torch.inference_mode():
        token_losses(opened.network, [example], padding, device)
        began = clock()
        token_losses(opened.network, [example], padding, device)
    return len(example.ids) / max(clock() - began, 1e-4)


def evaluated(
    network: Any, test: Sequence[Encoded], padding: int, title: str, progress: Progress
) -> dict[str, Any]:
    """Loss and perplexity on test conversations, as JSON."""
    progress.start(title, len(test))
    losses, counts, groups = measured(network, test, _BATCH_TOKENS, padding, progress)
    progress.finish()
    return language.evaluate(losses, counts, groups)
