from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mintage.core.errors import ConfigError
from mintage.core.registry import tasks
from mintage.tasks import coverage

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def two_columns(confidence: Floats) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """float[N, 2] whose answer is always class 0, with that confidence."""
    return np.stack([confidence, 1 - confidence], axis=1)


@given(st.lists(st.tuples(st.integers(5, 8), st.booleans()), min_size=1, max_size=6))
def test_the_area_is_the_mean_risk_over_every_order_in_which_equally_sure_ones_may_stand(
    pairs: list[tuple[int, bool]],
) -> None:
    areas = []
    for order in permutations(pairs):
        if any(one[0] < other[0] for one, other in pairwise(order)):
            continue
        wrong = [not right for __, right in order]
        risks = [Fraction(sum(wrong[:k]), k) for k in range(1, len(wrong) + 1)]
        areas.append(sum(risks) / len(risks))
    expected = float(sum(areas) / len(areas))
    confidence = np.array([level / 10 for level, __ in pairs])
    correct = np.array([right for __, right in pairs])
    assert coverage.risk_coverage_area(confidence, correct) == pytest.approx(expected)


def test_a_confidence_that_says_nothing_has_the_error_rate_as_its_area() -> None:
    correct = np.arange(40) % 4 != 0
    assert coverage.risk_coverage_area(np.full(40, 0.7), correct) == pytest.approx(0.25)


def test_the_curve_answers_the_surest_first_and_ends_with_all_of_them() -> None:
    confidence = np.linspace(0.5, 1, 40)
    correct = confidence > 0.7
    rows = coverage.coverage_curve(confidence, correct, [str(n) for n in range(40)])
    assert [row["answered"] for row in rows] == list(range(2, 41, 2))
    assert rows[0]["accuracy"] == 1
    assert rows[-1]["accuracy"] == correct.mean()
    assert rows[-1]["threshold"] == 0.5
    for row in rows:
        low, high = row["interval"]
        assert low <= row["accuracy"] <= high + 1e-12
    thresholds = [row["threshold"] for row in rows]
    assert thresholds == sorted(thresholds, reverse=True)


def test_near_duplicates_make_the_curves_intervals_wider() -> None:
    confidence, correct = np.linspace(0.5, 1, 40), np.arange(40) % 3 != 0
    alone = coverage.coverage_curve(confidence, correct, [str(n) for n in range(40)])
    tied = coverage.coverage_curve(confidence, correct, [str(n // 4) for n in range(40)])
    low, high = alone[-1]["interval"]
    wide_low, wide_high = tied[-1]["interval"]
    assert wide_high - wide_low > 1.5 * (high - low)


@given(
    st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=80),
    st.sampled_from([0.6, 0.8, 0.9, 0.95]),
)
def test_a_threshold_is_the_lowest_for_which_chance_does_not_explain_so_many_right_answers(
    pairs: list[tuple[float, bool]], accuracy: float
) -> None:
    sure = np.array([round(value, 6) for value, __ in pairs])
    right = np.array([flag for __, flag in pairs])
    falling = np.sort(sure)[::-1]
    passing = []
    for step in range(1, 21):
        candidate = falling[int(np.ceil(step * len(sure) / 20 - 1e-9)) - 1]
        chosen = sure >= candidate
        test = stats.binomtest(
            int(right[chosen].sum()), int(chosen.sum()), accuracy, alternative="greater"
        )
        if test.pvalue <= 0.05:
            passing.append(float(candidate))
    found = coverage.threshold_for(two_columns(sure), np.where(right, 0, 1), accuracy)
    assert found == (min(passing) if passing else None)


def test_what_is_promised_on_validation_data_is_kept_on_new_data() -> None:
    """The confidence of these models is right, so what a threshold leaves is known exactly."""
    chance = np.random.default_rng(3)
    many = np.sort(0.5 + 0.5 * chance.beta(3, 0.7, 100_000))
    kept = np.cumsum(many[::-1])[::-1] / np.arange(len(many), 0, -1)  # accuracy from each on
    broken = promised = 0
    for __ in range(300):
        sure = 0.5 + 0.5 * chance.beta(3, 0.7, 500)
        targets = (chance.random(500) > sure).astype(np.int64)
        threshold = coverage.threshold_for(two_columns(sure), targets, 0.93)
        if threshold is not None:
            promised += 1
            broken += kept[min(np.searchsorted(many, threshold), len(many) - 1)] < 0.93
    assert promised > 250
    assert broken / promised < 0.06


def test_too_few_examples_promise_nothing_and_it_is_known_how_many_would() -> None:
    for accuracy in (0.9, 0.95, 0.98):
        needed = coverage.examples_needed(accuracy)
        assert stats.binomtest(needed, needed, accuracy, alternative="greater").pvalue <= 0.05
        fewer = needed - 1
        assert stats.binomtest(fewer, fewer, accuracy, alternative="greater").pvalue > 0.05
        for count, is_enough in ((fewer, False), (needed, True)):
            surely = two_columns(np.full(count, 0.9))
            found = coverage.threshold_for(surely, np.zeros(count, np.int64), accuracy)
            assert (found == 0.9) is is_enough


@pytest.mark.parametrize("accuracy", [0.0, 1.0, 1.5])
def test_certainty_cannot_be_promised(accuracy: float) -> None:
    with pytest.raises(ConfigError, match="between 0 % and 100 %"):
        coverage.threshold_for(two_columns(np.array([0.9])), np.array([0]), accuracy)


def test_what_is_answered_is_decided_by_the_probability_that_people_see() -> None:
    sure = np.array([0.9799996, 0.98, 0.979999, 0.5])
    assert coverage.answered(two_columns(sure), 0.98).tolist() == [True, True, False, False]
    assert coverage.answered(two_columns(sure), None).all()
    shown = tasks().get("class").output(np.array([0.9799996, 0.0200004]), ["a", "b"])
    assert shown["probability"] == 0.98
