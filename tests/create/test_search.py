"""What chance may have put in order stays as the recipe has it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mintage.core.progress import Silent
from mintage.create.record import why_kept
from mintage.create.search import Search, _standard_error

RECIPE = ("seed-cnn", "compact", "compact-176px", "compact-wider")


def candidate(name: str) -> Any:
    network = {"seed-cnn": "seed-cnn", "hub": "hub"}.get(name, "compact")
    return SimpleNamespace(name=name, network=network)


def recipe(*names: str) -> Any:
    return SimpleNamespace(candidates=[candidate(name) for name in names or RECIPE])


def reached(
    name: str, score: float, loss: float = 0.3, *, epochs: int = 9, ended: str = "time"
) -> Any:
    fitted = SimpleNamespace(
        validation_loss=loss,
        validation_labels=np.arange(200) % 2,
        epochs=epochs,
        seconds=1.0,
        stopped_because=ended,
    )
    return SimpleNamespace(candidate=candidate(name), score=score, fitted=fitted)


def searched(found: list[Any], *, stopped: bool = False) -> tuple[Search, str]:
    """A search of which each training reaches this, and whose model is kept."""
    by_name = {each.candidate.name: each for each in found}
    trials = SimpleNamespace(
        recipe=SimpleNamespace(candidates=[each.candidate for each in found]),
        budget=SimpleNamespace(),
        share=lambda __: 1000.0,
        seconds_a_pass=lambda __: 1.0,
        skipped=[],
        progress=Silent(),
        should_stop=lambda: stopped,
        is_too_late_for=lambda __: False,
        some=lambda trained: trained,
        attempt=lambda each, *__, **___: by_name[each.name],
    )
    search = Search(trials)  # type: ignore[arg-type]
    return search, search.train()[0].candidate.name


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


@pytest.mark.parametrize(
    ("epochs", "ended", "too_slow"),
    [(9, "time", False), (1, "time", True), (1, "diverged", False)],
)
def test_a_machine_too_slow_to_compare_gives_the_tables_choice_the_time(
    epochs: int, ended: str, too_slow: bool
) -> None:
    found = [reached("compact", 0.5), reached("compact-wider", 0.9, epochs=epochs, ended=ended)]
    search, kept = searched(found)
    assert (search.too_slow, kept) == (too_slow, "compact" if too_slow else "compact-wider")
    assert [row["name"] for row in search.table if row["kept"]] == [kept]
    why = why_kept(found, found[0], "accuracy", search)
    assert ("too slow" in why) == too_slow


def test_a_search_that_a_person_stops_is_not_called_too_slow() -> None:
    search, kept = searched([reached("compact", 0.5, epochs=1)], stopped=True)
    assert (search.too_slow, kept) == (False, "compact")


def test_the_error_of_a_mean_over_classes_is_that_of_the_rare_one() -> None:
    assert _standard_error(0.9, np.arange(200) % 2) == pytest.approx((0.09 / 200) ** 0.5)
    rare = np.array([0] * 190 + [1] * 10)
    assert _standard_error(0.9, rare) == pytest.approx((0.09 * (1 / 190 + 1 / 10)) ** 0.5 / 2)
