"""Loss and perplexity, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mintage.tasks.language import evaluate, perplexity


def test_the_loss_is_of_a_token_and_the_perplexity_its_exponential() -> None:
    losses, tokens = np.array([2.0, 9.0, 1.0]), np.array([1, 4, 1])
    found = evaluate(losses, tokens, ["a", "b", "c"])
    assert found["loss"] == pytest.approx(12 / 6)
    assert found["perplexity"] == pytest.approx(math.e**2)
    assert (found["examples"], found["tokens"]) == (3, 6)
    low, high = found["interval"]
    assert 1.0 <= low <= 2.0 <= high <= 2.25


def test_one_who_chooses_evenly_among_so_many_has_that_perplexity() -> None:
    assert perplexity(math.log(50_000)) == pytest.approx(50_000)
    assert math.isfinite(perplexity(1e9))


def test_conversations_of_one_opening_are_no_evidence_of_their_own() -> None:
    random = np.random.default_rng(1)
    losses, tokens = random.uniform(1, 3, 40), np.ones(40, dtype=np.int64)
    alone = evaluate(losses, tokens, [str(i) for i in range(40)])["interval"]
    repeated = evaluate(np.tile(losses, 5), np.tile(tokens, 5), [str(i) for i in range(40)] * 5)[
        "interval"
    ]
    assert repeated == pytest.approx(alone)
