"""What a plan keeps back of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.types import FULL_DETAIL, Answer, Detail

LABELS = ("a", "b", "c", "d", "e")
CHANCES = st.lists(st.floats(0, 1), min_size=5, max_size=5)


def answer(chances: list[float]) -> Answer:
    best = max(range(5), key=lambda place: chances[place])
    output = {
        "label": LABELS[best],
        "probability": chances[best],
        "probabilities": dict(zip(LABELS, chances, strict=True)),
        "unusual": False,
    }
    return Answer("class", output, probability=chances[best])


@given(chances=CHANCES, decimals=st.integers(1, 6), top=st.integers(1, 7))
def test_the_most_probable_are_told_rounded_and_the_others_are_null(
    chances: list[float], decimals: int, top: int
) -> None:
    given_away = Detail(decimals, top).of(answer(chances))
    told = given_away.output["probabilities"]
    assert list(told) == list(LABELS)
    shown = {label: chance for label, chance in told.items() if chance is not None}
    assert len(shown) == min(top, 5)
    whole = dict(zip(LABELS, chances, strict=True))
    assert shown == {label: round(whole[label], decimals) for label in shown}
    assert min(whole[label] for label in shown) >= max(
        (whole[label] for label in told if label not in shown), default=0
    )
    assert given_away.output["label"] in shown
    assert given_away.output["probability"] == shown[given_away.output["label"]]
    assert given_away.probability == given_away.output["probability"]
    assert given_away.output["unusual"] is False


@given(chances=CHANCES)
def test_without_terms_an_answer_stays_as_it_is(chances: list[float]) -> None:
    whole = answer(chances)
    assert FULL_DETAIL.of(whole) is whole
    assert Detail(top=5).of(whole) == whole


def test_what_is_withheld_stays_withheld() -> None:
    output = {"label": None, "probability": None, "probabilities": None, "unusual": True}
    withheld = Answer("class", output, abstained=True)
    assert Detail(2, 1).of(withheld) == withheld


@pytest.mark.parametrize(("decimals", "expected"), [(None, 0.123456), (2, 0.12), (6, 0.123456)])
def test_a_figure_is_rounded_to_as_many(decimals: int | None, expected: float) -> None:
    assert Detail(decimals).rounded(0.123456) == expected
