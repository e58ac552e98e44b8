"""Agreement of labellers, against published examples and scikit-learn."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from mintage.tasks.agreement import agreement, cohen_kappa, krippendorff_alpha

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, sections A to C; a dot is missing.
BINARY = ("0100000010", "1110010000")
NOMINAL = ("aabbdcccedda", "babbbccceddd")
MANY = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def units(*observers: str) -> list[list[str]]:
    return [[said for said in unit if said != "."] for unit in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("observers", "published"), [(BINARY, 0.095), (NOMINAL, 0.692), (MANY, 0.743)]
)
def test_alpha_is_what_krippendorff_published(observers: tuple[str, ...], published: float) -> None:
    assert krippendorff_alpha(units(*observers)) == pytest.approx(published, abs=0.0005)


def test_alpha_is_the_formula_of_the_coincidence_matrix() -> None:
    """Worked by hand from the definition, in fractions: pairs within units against pairs at all."""
    random = np.random.default_rng(3)
    said = [list(random.choice(list("abc"), size=random.integers(1, 5))) for __ in range(30)]
    pairable = [unit for unit in said if len(unit) > 1]
    values = [value for unit in pairable for value in unit]
    count = len(values)
    observed = sum(
        Fraction(int(one != other), len(unit) - 1)
        for unit in pairable
        for i, one in enumerate(unit)
        for j, other in enumerate(unit)
        if i != j
    ) / Fraction(count)
    differing = sum(one != other for one in values for other in values)
    expected = Fraction(differing, count * (count - 1))
    assert krippendorff_alpha(said) == pytest.approx(float(1 - observed / expected))


def test_kappa_is_the_published_one_of_two_readers_of_fifty_proposals() -> None:
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)


def test_kappa_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(7)
    for __ in range(20):
        first, second = random.choice(list("abcd"), size=(2, 40))
        pairs = list(zip(first.tolist(), second.tolist(), strict=True))
        assert cohen_kappa(pairs) == pytest.approx(cohen_kappa_score(first, second))


def test_without_two_labels_to_tell_apart_there_is_no_index() -> None:
    assert cohen_kappa([]) is None
    assert cohen_kappa([("a", "a")] * 5) is None
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None


def test_perfect_agreement_is_one_and_opposites_are_below_zero() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
    assert cohen_kappa([("a", "a"), ("b", "b")]) == 1
    assert cohen_kappa([("a", "b"), ("b", "a")]) == -1


def test_agreement_is_over_what_several_labelled_and_by_pair() -> None:
    found = agreement(
        [
            {"ada": "good", "ben": "good", "cleo": "good"},
            {"ada": "good", "ben": "bad"},
            {"ben": "bad", "ada": "bad"},
            {"cleo": "bad"},
        ]
    )
    assert found is not None
    assert (found.units, found.agreed) == (3, pytest.approx(2 / 3))
    by_pair = {pair.labellers: (pair.units, pair.agreed) for pair in found.pairs}
    assert by_pair == {
        ("ada", "ben"): (3, pytest.approx(2 / 3)),
        ("ada", "cleo"): (1, 1),
        ("ben", "cleo"): (1, 1),
    }
    assert found.to_json()["pairs"][0]["labellers"] == ["ada", "ben"]


def test_nobody_together_is_no_agreement() -> None:
    assert agreement([{"ada": "good"}, {"ben": "good"}, {}]) is None
