"""What chance may have put in order stays as the recipe has it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mintage.create.search import Search, _standard_error

RECIPE = ("seed-cnn", "compact", "compact-176px", "compact-wider")


def candidate(name: str) -> Any:
    network = {"seed-cnn": "seed-cnn", "hub": "hub"}.get(name, "compact")
    return SimpleNamespace(name=name, network=network)


def recipe(*names: str) -> Any:
    return SimpleNamespace(candidates=[candidate(name) for name in names or RECIPE])


def reached(name: str, score: float, loss: float = 0.3) -> Any:
    return SimpleNamespace(
        candidate=candidate(name),
        score=score,
        fitted=SimpleNamespace(validation_loss=loss, validation_labels=np.arange(200) % 2),
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
    search = Search(SimpleNamespace(recipe=recipe()))  # type: ignore[arg-type]
    found = [reached(name, score) for name, score in zip(RECIPE, scores, strict=True)]
    ranked = search._ranked(found[::-1])
    assert ranked[0].candidate.name == first
    assert {each.candidate.name for each in ranked} == set(RECIPE)


def test_of_those_that_are_clearly_worse_the_better_come_first() -> None:
    search = Search(SimpleNamespace(recipe=recipe()))  # type: ignore[arg-type]
    scores = {"seed-cnn": 0.7, "compact": 0.9, "compact-176px": 0.6, "compact-wider": 0.7}
    losses = {"seed-cnn": 0.6, "compact-wider": 0.5}
    found = [reached(name, score, losses.get(name, 0.3)) for name, score in scores.items()]
    names = [each.candidate.name for each in search._ranked(found)]
    assert names == ["compact", "compact-wider", "seed-cnn", "compact-176px"]


@pytest.mark.parametrize(
    ("names", "seconds", "costs", "left"),
    [
        # 2 minutes on 3,600 pictures: nothing to compare, the table's choice gets all of it.
        (RECIPE, 100.0, (0.4, 3.6, 5.0, 6.9), ["compact"]),
        # 15 minutes: a quarter of it in one round of two or three.
        (RECIPE, 850.0, (0.4, 3.6, 5.0, 6.9), ["compact", "compact-176px", "compact-wider"]),
        (RECIPE, 3400.0, (0.4, 3.6, 5.0, 6.9), [*RECIPE[1:], "seed-cnn"]),
        # 20,000 pictures: the yardstick never displaces the table's choice.
        (RECIPE, 1100.0, (2.0, 20.0, 28.0, 38.0), ["compact"]),
        # Nobody knows what pretrained weights cost: they stay, before all others.
        (("seed-cnn", "compact", "hub"), 100.0, (0.4, 3.6, None), ["hub"]),
        (RECIPE, None, (0.4, 3.6, 5.0, 6.9), [*RECIPE[1:], "seed-cnn"]),
    ],
)
def test_no_more_candidates_begin_than_a_round_can_compare(
    names: tuple[str, ...], seconds: float | None, costs: tuple[float, ...], left: list[str]
) -> None:
    cost, skipped = dict(zip(names, costs, strict=True)), []
    search = Search(
        SimpleNamespace(  # type: ignore[arg-type]
            recipe=recipe(*names),
            seconds_a_pass=lambda each: cost[each.name],
            note_skipped=lambda each, reason: skipped.append((each.name, reason)),
        )
    )
    assert [each.name for each in search._as_many_as_fit(seconds)] == left
    assert {name for name, __ in skipped} == set(names) - set(left)
    assert all("8 passes" in reason for __, reason in skipped)


def test_the_error_of_a_mean_over_classes_is_that_of_the_rare_one() -> None:
    assert _standard_error(0.9, np.arange(200) % 2) == pytest.approx((0.09 / 200) ** 0.5)
    rare = np.array([0] * 190 + [1] * 10)
    assert _standard_error(0.9, rare) == pytest.approx((0.09 * (1 / 190 + 1 / 10)) ** 0.5 / 2)
