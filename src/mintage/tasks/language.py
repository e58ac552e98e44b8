"""The task ``text``: how well a language model expects the answers that people gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NAME: Final = "text"
_RESAMPLES = 2000


def evaluate(
    losses: NDArray[np.float64], tokens: NDArray[np.int64], groups: Sequence[str]
) -> dict[str, Any]:
    """Loss and perplexity per token of the answers, with a 95 % interval, as JSON.

    Args:
        losses: float64[N], each conversation's summed negative log-likelihood in nats.
        tokens: int64[N], of how many tokens of its answers.
        groups: what conversations of one opening share: they are not independent.

    The perplexity is e to the loss. The interval is the percentile bootstrap over whole groups.
    """
    loss = float(losses.sum() / tokens.sum())
    low, high = _interval(losses, tokens, groups)
    return {
        "examples": len(losses),
        "tokens": int(tokens.sum()),
        "loss": loss,
        "interval": [low, high],
        "perplexity": perplexity(loss),
    }


def perplexity(loss: float) -> float:
    """Of how many tokens the model seems to choose each, evenly: e to the loss in nats."""
    return math.exp(min(loss, 700.0))


def _interval(
    losses: NDArray[np.float64], tokens: NDArray[np.int64], groups: Sequence[str]
) -> tuple[float, float]:
    __, member = np.unique(np.asarray(groups), return_inverse=True)
    lost = np.bincount(member, weights=losses)
    counted = np.bincount(member, weights=tokens)
    drawn = np.random.default_rng(0).integers(0, len(lost), (_RESAMPLES, len(lost)))
    means = lost[drawn].sum(axis=1) / counted[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
