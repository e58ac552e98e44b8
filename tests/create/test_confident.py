"""Confident learning: by hand on small matrices, and on noise that was planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mintage.create.confident import (
    calibrated,
    class_thresholds,
    confident_joint,
    judge,
    limited,
    normalised_margin,
    pruned_by_noise_rate,
)

# Six examples of three classes, worked out by hand below.
CHANCES = np.array(
    [
        [0.9, 0.1, 0.0],  # 0: given 0
        [0.5, 0.4, 0.1],  # 1: given 0
        [0.1, 0.8, 0.1],  # 2: given 0, looks like 1
        [0.2, 0.7, 0.1],  # 3: given 1
        [0.1, 0.3, 0.6],  # 4: given 1, looks like 2
        [0.0, 0.2, 0.8],  # 5: given 2
    ]
)
LABELS = np.array([0, 0, 0, 1, 1, 2])


def planted(count=3000, classes=3, noise=0.08, seed=0, sharp=4.0):
    """True classes, calibrated guesses at them, and labels of which some were turned."""
    chance = np.random.default_rng(seed)
    true = chance.integers(classes, size=count)
    logits = chance.normal(size=(count, classes))
    logits[np.arange(count), true] += sharp
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)
    wrong = chance.random(count) < noise
    given_labels = np.where(wrong, (true + chance.integers(1, classes, count)) % classes, true)
    return chances, given_labels, wrong


def test_thresholds_are_the_mean_self_confidence_of_each_class():
    np.testing.assert_allclose(class_thresholds(CHANCES, LABELS), [1.5 / 3, 1.0 / 2, 0.8])


def test_a_class_without_examples_has_a_threshold_that_nothing_reaches():
    chances = np.hstack([CHANCES, np.zeros((6, 1))])
    assert class_thresholds(chances, LABELS)[3] == np.inf
    assert judge(chances, LABELS).counts[:, 3].sum() == 0


def test_the_confident_joint_counts_by_hand():
    joint = confident_joint(CHANCES, LABELS, np.array([0.5, 0.5, 0.8]))
    # 0 and 1 reach class 0; 2 and 3 reach class 1; 4 reaches none (0.6 < 0.8); 5 reaches 2.
    assert joint.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_of_several_thresholds_reached_the_most_probable_class_counts():
    joint = confident_joint(np.array([[0.45, 0.55]]), np.array([0]), np.array([0.4, 0.4]))
    assert joint.tolist() == [[0, 1], [0, 0]]


def test_calibration_scales_each_row_to_its_class_by_largest_remainder():
    joint = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 0]])
    # 10 * 2/3 = 6.67 and 10 * 1/3 = 3.33; nothing was counted of the last class.
    assert calibrated(joint, np.array([10, 5, 4])).tolist() == [[7, 3, 0], [0, 5, 0], [0, 0, 4]]


def test_pruning_takes_the_largest_margins_of_each_pair_and_nothing_that_looks_right():
    counts = np.array([[2, 1, 0], [0, 1, 1], [0, 0, 1]])
    assert pruned_by_noise_rate(CHANCES, LABELS, counts).tolist() == [0, 0, 1, 0, 1, 0]
    everything = np.full((3, 3), 9)
    assert pruned_by_noise_rate(CHANCES, LABELS, everything).tolist() == [0, 0, 1, 0, 1, 0]


def test_the_margin_is_by_hand_and_names_the_best_other_class():
    margin, suggested = normalised_margin(CHANCES, LABELS)
    np.testing.assert_allclose(margin, [0.9, 0.55, 0.15, 0.75, 0.35, 0.8])
    assert suggested.tolist() == [1, 1, 1, 0, 2, 1]


def test_the_surest_answers_limit_what_the_joint_says():
    # 200 taken for each class; the joint says 40 of 0 are meant as 1, but of the 60 surest
    # answers for 1 none is labelled 0: Wilson's upper end of 0 of 60 is 1/61, of 240 that is 4.
    sure = np.linspace(0.99, 0.6, 200)
    chances = np.concatenate([np.c_[sure, 1 - sure], np.c_[1 - sure, sure]])
    labels = np.repeat([0, 1], 200)
    counts = np.array([[160, 40], [0, 200]])
    assert limited(counts, chances, labels).tolist() == [[196, 4], [0, 200]]


def test_few_sure_answers_rule_nothing_out():
    chances = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5)
    labels = np.repeat([0, 1], 5)
    counts = np.array([[4, 1], [0, 5]])
    assert limited(counts, chances, labels).tolist() == counts.tolist()


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("noise", [0.03, 0.08, 0.2])
def test_planted_noise_is_found_and_its_rate_is_estimated(classes, noise):
    chances, labels, wrong = planted(classes=classes, noise=noise, sharp=6.0)
    found = judge(chances, labels)
    assert found.noise_rate == pytest.approx(noise, rel=0.25, abs=0.005)
    assert wrong[found.is_suspect].mean() > 0.8
    assert found.is_suspect[wrong].mean() > 0.8


def test_a_weak_model_over_clean_labels_does_not_find_as_many_errors_as_it_makes_itself():
    chances, labels, __ = planted(classes=2, noise=0.0, sharp=1.6, count=4000)
    mistakes = (chances.argmax(axis=1) != labels).mean()
    found = judge(chances, labels)
    assert mistakes > 0.1
    assert 1 - np.trace(found.calibrated) / 4000 > 0.02  # the confident joint alone would
    assert found.noise_rate < 0.015


def test_wrong_labels_come_first_among_a_weak_models_doubts():
    chances, labels, wrong = planted(classes=2, noise=0.05, sharp=2.4, count=4000)
    rank = judge(chances, labels).rank
    assert wrong[rank < 400].sum() / wrong.sum() > 0.75


def test_one_direction_of_noise_is_told_from_the_other():
    chances, labels, __ = planted(classes=2, noise=0.0, sharp=5.0, count=2000)
    turned = np.flatnonzero(labels == 0)[:80]
    labels[turned] = 1
    counts = judge(chances, labels).counts
    assert counts[1, 0] == pytest.approx(80, abs=20)
    assert counts[0, 1] < 15


def test_an_unsure_class_is_not_taken_for_a_mislabelled_one():
    # The model is never sure of class 1 (0.55 at best): without thresholds of its own it would
    # look like a hundred errors.
    chance = np.random.default_rng(0)
    own = np.concatenate([chance.uniform(0.9, 1.0, 100), chance.uniform(0.4, 0.55, 100)])
    labels = np.repeat([0, 1], 100)
    chances = np.where(labels[:, None] == [0, 1], own[:, None], 1 - own[:, None])
    joint = judge(chances, labels).confident_joint
    assert joint[1, 0] == 0


def problems(most=60):
    """Probabilities that sum to one, and any labels."""

    @st.composite
    def build(draw):
        classes = draw(st.integers(2, 5))
        count = draw(st.integers(1, most))
        weights = draw(arrays(np.float64, (count, classes), elements=st.floats(0.001, 1.0)))
        labels = draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))
        return weights / weights.sum(axis=1, keepdims=True), labels

    return build()


@settings(max_examples=150, deadline=None)
@given(problems())
def test_whatever_the_probabilities_the_counts_add_up_and_every_example_has_its_rank(problem):
    chances, labels = problem
    found = judge(chances, labels)
    sizes = np.bincount(labels, minlength=chances.shape[1])
    for counts in (found.calibrated, found.counts):
        assert (counts >= 0).all()
        assert counts.sum(axis=1).tolist() == sizes.tolist()
    off_diagonal = found.counts - np.diag(np.diag(found.counts))
    before = found.calibrated - np.diag(np.diag(found.calibrated))
    assert (off_diagonal <= before).all()
    assert found.is_suspect.sum() <= off_diagonal.sum()
    assert sorted(found.rank.tolist()) == list(range(len(labels)))
    assert 0 <= found.noise_rate <= 1
    assert found.is_suspect[np.argsort(found.rank)][: found.is_suspect.sum()].all()
    assert (found.suggested != labels).all()


@settings(max_examples=100, deadline=None)
@given(problems())
def test_no_example_is_suspect_whose_label_is_the_most_probable_class(problem):
    chances, labels = problem
    assert not judge(chances, labels).is_suspect[chances.argmax(axis=1) == labels].any()
    assert not judge(chances, chances.argmax(axis=1)).is_suspect.any()


@settings(max_examples=60, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_examples_decides_nothing_but_ties(problem, random):
    chances, labels = problem
    order = list(range(len(labels)))
    random.shuffle(order)
    one, other = judge(chances, labels), judge(chances[order], labels[order])
    assert other.confident_joint.tolist() == one.confident_joint.tolist()
    assert other.is_suspect.sum() == one.is_suspect.sum()
    np.testing.assert_allclose(other.margin, one.margin[order])
