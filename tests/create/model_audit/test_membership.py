"""Membership inference against its definition, and against models that do remember."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mintage.create.model_audit import membership
from mintage.create.model_audit.checks import leaks, trustworthy
from mintage.tasks.classification import Classification

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=60)


class Centroids:
    """Knows where three classes lie; of the examples that it was taught it may have a memory."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = np.random.default_rng(seed)
        self.places = self.chance.normal(0, 2, (3, 8))
        self.memory: dict[bytes, int] = {}

    def drawn(self, count: int) -> tuple[Floats, Ints]:
        """Examples of the classes, near enough to one another that some are answered wrong."""
        labels = self.chance.integers(0, 3, count)
        return self.places[labels] + self.chance.normal(0, 1.5, (count, 8)), labels

    def learn(self, examples: Floats, labels: Ints) -> None:
        """Remember each of them: by construction, whatever it means for others."""
        for example, label in zip(examples, labels.tolist(), strict=True):
            self.memory[example.tobytes()] = label

    def asked(self, examples: Floats) -> Floats:
        distances = ((examples[:, None] - self.places) ** 2).sum(axis=2)
        logits = -distances / 2
        for row, example in zip(logits, examples, strict=True):
            label = self.memory.get(example.tobytes())
            if label is not None:
                row[label] = row.max() + 12
        return Classification().probabilities(logits.astype(np.float32), 1.0)


def measured(model: Centroids, members: tuple[Floats, Ints], others: tuple[Floats, Ints]) -> Any:
    return membership.measured(
        model.asked(members[0]), members[1], model.asked(others[0]), others[1]
    )


def test_a_model_that_has_its_canaries_by_heart_is_found() -> None:
    model = Centroids()
    canaries, others = model.drawn(300), model.drawn(2000)
    wrong = membership.mislabelled(canaries[1], 3, 0)
    model.learn(canaries[0], wrong)
    taught_others = (others[0], membership.mislabelled(others[1], 3, 1))
    found = measured(model, (canaries[0], wrong), taught_others)
    assert leaks(found)
    for attack in found["attacks"].values():
        (row,) = attack["rates"]
        assert row["fpr"] == 0.01
        assert row["tpr"] > 0.9
        assert row["interval"][0] > 0.5


def test_a_model_that_remembers_ordinary_members_is_found() -> None:
    model = Centroids()
    members, others = model.drawn(1000), model.drawn(2000)
    model.learn(*members)
    found = measured(model, members, others)
    assert leaks(found)
    assert found["attacks"]["loss"]["auc"] > 0.8


def test_a_model_that_remembers_nothing_is_not_accused() -> None:
    for seed in range(20):
        model = Centroids(seed)
        found = measured(model, model.drawn(1500), model.drawn(1500))
        assert not any(
            row["interval"][0] > row["fpr"]
            for attack in found["attacks"].values()
            for row in attack["rates"]
        )


def test_controls_of_an_ordinary_model_hold_and_say_the_rate() -> None:
    model = Centroids()
    members, others = model.drawn(400), model.drawn(1200)
    found = membership.controls(
        model.asked(members[0]), members[1], model.asked(others[0]), others[1]
    )
    assert found is not None
    assert trustworthy({"controls": found})
    assert found["planted"]["fpr"] == 0.01
    assert found["planted"]["tpr"] > 0.9
    assert found["unplanted"]["tpr"] < 0.05


def test_a_measure_that_cannot_see_what_was_planted_is_not_trustworthy() -> None:
    """Whatever is asked, this model is certain of everything: nothing stands out from that."""
    answers = np.tile([1.0, 0.0, 0.0], (1500, 1))
    labels = np.arange(1500) % 3
    found = membership.controls(answers[:300], labels[:300], answers, labels)
    assert not trustworthy({"controls": found})
    assert not trustworthy({"controls": None})


def test_rates_are_told_only_where_there_are_ten_non_members_above() -> None:
    assert membership.reportable(999) == []
    assert membership.reportable(1000) == [0.01]
    assert membership.reportable(9999) == [0.01]
    assert membership.reportable(10_000) == [0.01, 0.001]
    assert [membership.needed(rate) for rate in membership.RATES] == [1000, 10_000]
    assert membership.control_rate(19) is None
    assert membership.control_rate(200) == 0.05
    assert membership.control_rate(1000) == 0.01
    model = Centroids()
    found = measured(model, model.drawn(300), model.drawn(999))
    assert [each["rates"] for each in found["attacks"].values()] == [[], []]
    assert found["not_reported"] == [{"fpr": 0.01, "needs": 1000}, {"fpr": 0.001, "needs": 10_000}]
    with pytest.raises(ValueError, match="999 non-members"):
        membership.true_positive_rate(np.zeros(3), np.zeros(999), 0.01)


@given(members=SCORES, others=st.lists(st.integers(-5, 5).map(float), min_size=20, max_size=80))
def test_a_rate_is_that_of_the_lowest_threshold_which_few_enough_others_pass(
    members: list[float], others: list[float]
) -> None:
    rate = membership.LEAST_ABOVE / len(others)
    found = membership.true_positive_rate(np.array(members), np.array(others), rate)
    few = membership.LEAST_ABOVE  # the rate times their number, but for rounding
    lowest = min(t for t in others if sum(o > t for o in others) <= few)
    assert found["tpr"] == sum(m > lowest for m in members) / len(members)
    low, high = found["interval"]
    assert 0 <= low <= found["tpr"] <= high <= 1


@given(
    members=SCORES,
    others=st.lists(st.integers(-5, 5).map(float), min_size=20, max_size=80),
    stretch=st.integers(1, 9),
)
def test_a_rate_depends_on_the_order_alone_and_grows_with_the_false_ones(
    members: list[float], others: list[float], stretch: int
) -> None:
    own, rest = np.array(members), np.array(others)
    rate = membership.LEAST_ABOVE / len(rest)
    found = membership.true_positive_rate(own, rest, rate)
    assert membership.true_positive_rate(own**3 * stretch, rest**3 * stretch, rate) == found
    assert membership.true_positive_rate(own, rest, min(1.0, 2 * rate))["tpr"] >= found["tpr"]
    points = membership.curve(own, rest)
    assert points[-1] == [1.0, 1.0]
    assert points == sorted(points)


@given(logits=st.lists(st.tuples(*[st.floats(-30, 30, width=32)] * 3), min_size=1, max_size=20))
def test_sureness_orders_examples_of_a_label_as_the_loss_does(
    logits: list[tuple[float, float, float]],
) -> None:
    chances = Classification().probabilities(np.array(logits, np.float32), 1.0)
    targets = np.zeros(len(chances), np.int64)
    sure = membership.sureness(chances, targets)
    rest = chances[:, 1:].sum(axis=1)
    assert np.allclose(sure, np.log(chances[:, 0]) - np.log(rest))
    assert np.isfinite(
        membership.sureness(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    ).all()


@given(seed=st.integers(0, 1000), classes=st.integers(2, 6))
def test_a_memory_is_a_probability_and_a_wrong_label_is_wrong(seed: int, classes: int) -> None:
    chance = np.random.default_rng(seed)
    chances = chance.dirichlet(np.full(classes, 0.3), 30)
    assume(np.isfinite(chances).all())
    targets = chance.integers(0, classes, 30)
    taught = membership.mislabelled(targets, classes, seed)
    assert (taught != targets).all()
    planted = membership.with_memory(chances, taught)
    assert np.allclose(planted.sum(axis=1), 1)
    assert np.allclose(planted[np.arange(30), taught], 0.999999)
    certain = membership.with_memory(np.eye(classes)[taught], taught)
    assert np.allclose(certain.sum(axis=1), 1)


def test_calibration_finds_what_is_odd_for_its_class_and_hides_in_the_whole() -> None:
    """A class that is hard for everybody: there a member is surer, and still unsure."""
    chance = np.random.default_rng(0)
    easy, hard = chance.normal(8, 1, 1000), chance.normal(-4, 1, 1000)
    labels = np.repeat([0, 1], 1000)
    members, own = chance.normal(2, 1, 200), np.ones(200, np.int64)
    others = np.concatenate([easy, hard])
    plain = membership.true_positive_rate(members, others, 0.01)
    standing = membership.calibrated(members, own, others, labels)
    assert plain["tpr"] < 0.05
    assert membership.true_positive_rate(*standing, 0.01)["tpr"] > 0.9


def test_a_class_of_few_is_held_against_all() -> None:
    others = np.concatenate([np.zeros(100), [5.0]])
    labels = np.concatenate([np.zeros(100, np.int64), [1]])
    members, rest = membership.calibrated(np.array([5.0]), np.array([1]), others, labels)
    assert members[0] == pytest.approx(5.0)
    assert rest[-1] == pytest.approx(5.0)
