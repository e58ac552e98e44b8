"""What chance may have put in order stays as the recipe has it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mintage.create.search import Search

RECIPE = ("seed-cnn", "compact", "compact-176px", "compact-wider")


def reached(name: str, score: float, loss: float = 0.3) -> Any:
    network = "seed-cnn" if name == "seed-cnn" else "compact"
    return SimpleNamespace(
        candidate=SimpleNamespace(name=name, network=network),
        score=score,
        fitted=SimpleNamespace(validation_loss=loss, validation_labels=np.zeros(200)),
    )


@pytest.mark.parametrize(
    ("scores", "first"),
    [
        # One standard error of 200 examples at 90 % is 2.1 points.
        ((0.70, 0.885, 0.90, 0.80), "compact"),
        ((0.70, 0.87, 0.90, 0.80), "compact-176px"),
        ((0.90, 0.885, 0.80, 0.80), "compact"),
        ((0.95, 0.80, 0.70, 0.70), "seed-cnn"),
        ((0.70, 0.70, 0.89, 0.90), "compact-176px"),
    ],
)
def test_the_tables_choice_goes_on_unless_another_is_better_by_more_than_chance(
    scores: tuple[float, ...], first: str
) -> None:
    recipe = SimpleNamespace(candidates=[SimpleNamespace(name=name) for name in RECIPE])
    search = Search(SimpleNamespace(recipe=recipe))  # type: ignore[arg-type]
    found = [reached(name, score) for name, score in zip(RECIPE, scores, strict=True)]
    ranked = search._ranked(found[::-1])
    assert ranked[0].candidate.name == first
    assert {each.candidate.name for each in ranked} == set(RECIPE)


def test_of_those_that_are_clearly_worse_the_better_come_first() -> None:
    recipe = SimpleNamespace(candidates=[SimpleNamespace(name=name) for name in RECIPE])
    search = Search(SimpleNamespace(recipe=recipe))  # type: ignore[arg-type]
    scores = {"seed-cnn": 0.7, "compact": 0.9, "compact-176px": 0.6, "compact-wider": 0.7}
    losses = {"seed-cnn": 0.6, "compact-wider": 0.5}
    found = [reached(name, score, losses.get(name, 0.3)) for name, score in scores.items()]
    names = [each.candidate.name for each in search._ranked(found)]
    assert names == ["compact", "compact-wider", "seed-cnn", "compact-176px"]
