import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from mintage.core.registry import tasks
from mintage.tasks import metrics

random = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_precision_recall_f1_and_confusion_agree_with_scikit_learn(classes: int) -> None:
    targets = random.integers(0, classes, 500)
    predicted = np.where(random.random(500) < 0.6, targets, random.integers(0, classes, 500))
    matrix = metrics.confusion_matrix(targets, predicted, classes)
    assert np.array_equal(matrix, oracle.confusion_matrix(targets, predicted))
    ours = metrics.precision_recall_f1(matrix)
    theirs = oracle.precision_recall_fscore_support(targets, predicted)
    for mine, other in zip(ours, theirs, strict=False):
        assert np.allclose(mine, other)


def test_a_class_that_was_never_answered_has_precision_0_and_no_warning() -> None:
    precision, recall, f1 = metrics.precision_recall_f1(np.array([[5, 0], [3, 0]]))
    assert (precision[1], recall[1], f1[1]) == (0, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_roc_auc_agrees_with_scikit_learn_also_with_ties(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=float)
    positive = np.array([flag for _, flag in pairs])
    ours = metrics.roc_auc(scores, positive)
    if positive.all() or not positive.any():
        assert ours is None
    else:
        assert ours == pytest.approx(oracle.roc_auc_score(positive, scores))


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    assert metrics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert metrics.wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


def test_examples_in_groups_get_a_wider_interval_than_independent_ones() -> None:
    correct = np.repeat(random.random(40) < 0.7, 10)
    groups = [str(n // 10) for n in range(400)]
    low, high = metrics.accuracy_interval(correct, groups)
    alone = metrics.accuracy_interval(correct, [str(n) for n in range(400)])
    assert low <= correct.mean() <= high
    assert high - low > 2 * (alone[1] - alone[0])


def test_calibration_error_is_0_when_confidence_is_the_accuracy_and_large_when_it_is_not() -> None:
    confidence = np.full(1000, 0.8)
    honest = np.arange(1000) % 5 != 0
    assert metrics.expected_calibration_error(confidence, honest) < 0.01
    assert metrics.expected_calibration_error(confidence, np.zeros(1000, bool)) == pytest.approx(
        0.8
    )


def test_log_loss_agrees_with_scikit_learn() -> None:
    raw = random.random((200, 4)) + 0.01
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    targets = random.integers(0, 4, 200)
    theirs = oracle.log_loss(targets, probabilities, labels=range(4))
    assert metrics.log_loss(probabilities, targets) == pytest.approx(theirs)


def test_one_logit_is_a_sigmoid_and_k_are_a_softmax() -> None:
    task = tasks().get("class")
    two = task.probabilities(np.array([[0.0], [2.0], [-800.0]], np.float32), 1.0)
    assert two[:, 1] == pytest.approx([0.5, 1 / (1 + np.exp(-2)), 0])
    three = task.probabilities(np.array([[1.0, 2.0, 3.0]], np.float32), 2.0)
    raised = np.exp(np.array([0.5, 1.0, 1.5]))
    assert three[0] == pytest.approx(raised / raised.sum())


def test_an_answer_has_label_probability_and_all_probabilities() -> None:
    output = tasks().get("class").output(np.array([0.25, 0.75]), ["cat", "dog"])
    assert output == {
        "label": "dog",
        "probability": 0.75,
        "probabilities": {"cat": 0.25, "dog": 0.75},
    }


@pytest.mark.parametrize("width", [1, 3])
def test_temperature_scaling_finds_the_temperature_that_was_hidden(width: int) -> None:
    task = tasks().get("class")
    honest = random.normal(0, 2, (20_000, width)).astype(np.float32)
    chances = task.probabilities(honest, 1.0)
    targets = (random.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    targets = targets.clip(0, chances.shape[1] - 1)
    assert task.fit_temperature(honest * 3, targets) == pytest.approx(3, rel=0.08)


def test_validation_data_that_are_all_right_do_not_make_certain() -> None:
    task = tasks().get("class")
    targets = np.arange(120) % 2
    logits = ((targets * 2 - 1) * 4.0)[:, None].astype(np.float32)
    temperature = task.fit_temperature(logits, targets)
    assert task.probabilities(logits, temperature).max() < 0.995


def test_an_evaluation_says_everything_it_promises() -> None:
    task = tasks().get("class")
    targets = np.array([0] * 60 + [1] * 40)
    scores = np.clip(targets * 0.3 + random.random(100) * 0.7, 0, 1)
    found = task.evaluate(np.stack([1 - scores, scores], axis=1), targets, ["cat", "dog"])
    assert found["examples"] == 100
    assert found["majority_accuracy"] == 0.6
    assert found["interval"][0] < found["accuracy"] < found["interval"][1]
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(targets, scores))
    assert found["balanced_accuracy"] == pytest.approx(
        oracle.balanced_accuracy_score(targets, scores > 0.5)
    )
    assert set(found["per_class"]) == {"cat", "dog"}
    assert sum(map(sum, found["confusion_matrix"])) == 100


@pytest.mark.parametrize(
    ("first", "second"), [(0, 1), (5, 1), (12, 3), (7, 7), (30, 11), (4000, 4300)]
)
def test_mcnemars_exact_test_is_the_binomial_test_of_a_peer(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue
    assert metrics.mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)
    assert metrics.mcnemar_exact(second, first) == metrics.mcnemar_exact(first, second)


def test_without_a_disagreement_nothing_can_be_told() -> None:
    assert metrics.mcnemar_exact(0, 0) == 1.0


def score(first: int, second: int, pairs: int, difference: float) -> float:
    """The score statistic, its nuisance parameter found by maximising the likelihood itself."""
    cells = np.array([first, second, pairs - first - second])

    def negative_log_likelihood(q: float) -> float:
        chances = np.array([q + difference, q, 1 - 2 * q - difference])
        return -float(np.sum(cells * np.log(np.clip(chances, 1e-300, None))))

    bounds = (max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12)
    found = optimize.minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    )
    variance = pairs * (2 * found.x + difference * (1 - difference))
    return float((first - second - pairs * difference) / np.sqrt(variance))


@pytest.mark.parametrize(
    ("first", "second", "pairs"), [(5, 1, 40), (12, 3, 100), (0, 1, 44), (7, 7, 60), (40, 20, 160)]
)
def test_the_paired_interval_ends_where_the_score_is_just_not_likely(
    first: int, second: int, pairs: int
) -> None:
    low, high = metrics.paired_interval(first, second, pairs)
    assert score(first, second, pairs, low) == pytest.approx(1.959964, abs=1e-4)
    assert score(first, second, pairs, high) == pytest.approx(-1.959964, abs=1e-4)
    assert low < (first - second) / pairs < high
    assert metrics.paired_interval(second, first, pairs) == pytest.approx((-high, -low))


def test_the_paired_figures_are_those_of_a_peer() -> None:
    """Cavo et al. (2012), n = (59, 6; 16, 80), by the R package contingencytables 3.0."""
    assert metrics.paired_interval(6, 16, 161) == pytest.approx((-0.1240, -0.0054), abs=5e-5)
    assert metrics.mcnemar_exact(6, 16) == pytest.approx(0.052479, abs=5e-7)


@pytest.mark.parametrize(("first", "second", "pairs"), [(20, 0, 20), (0, 20, 20), (0, 0, 50)])
def test_the_paired_interval_stays_within_what_is_possible(
    first: int, second: int, pairs: int
) -> None:
    low, high = metrics.paired_interval(first, second, pairs)
    assert -1 <= low <= (first - second) / pairs <= high <= 1
    assert high - low < 0.35


def test_the_calibration_error_is_that_of_scikit_learns_reliability_curve() -> None:
    confidence = random.random(150) / 2 + 0.5
    correct = random.random(150) < confidence**2
    right, said = calibration_curve(correct, confidence, n_bins=15, strategy="quantile")
    ours = metrics.expected_calibration_error(confidence, correct)
    assert ours == pytest.approx(np.abs(right - said).mean())
    parts = metrics.equal_mass(confidence, 15)
    assert [confidence[part].mean() for part in parts] == pytest.approx(said)
    assert [correct[part].mean() for part in parts] == pytest.approx(right)


def test_chance_makes_one_in_twenty_calibrated_models_seem_worse_than_the_limit() -> None:
    confidence = random.random(200) / 2 + 0.5
    limit = metrics.calibration_error_by_chance(confidence)
    above = [
        metrics.expected_calibration_error(confidence, random.random(200) < confidence) > limit
        for __ in range(600)
    ]
    assert 0.02 < np.mean(above) < 0.09
    boastful = random.random(200) < confidence - 0.25
    assert metrics.expected_calibration_error(confidence, boastful) > limit
    assert metrics.calibration_error_by_chance(confidence) == limit


def test_many_examples_leave_less_to_chance() -> None:
    few, many = random.random(60) / 2 + 0.5, random.random(6000) / 2 + 0.5
    by_chance = metrics.calibration_error_by_chance
    assert by_chance(many) < by_chance(few) / 5


def test_examples_of_one_group_count_as_one_in_a_shares_interval() -> None:
    alone = metrics.share_interval(0.75, [str(n) for n in range(8)])
    assert alone == metrics.wilson_interval(6, 8)
    assert metrics.share_interval(0.75, [str(n // 2) for n in range(16)]) == alone
    assert metrics.share_interval(1.0, ["a", "a", "b"])[0] < 0.5


def test_a_few_wrong_of_few_are_what_chance_makes() -> None:
    groups = [str(number) for number in range(13)]
    # Four wrong of 13, where 8 % are wrong: P = 1.65 %, which over 18 comparisons says nothing.
    assert metrics.chance_of_so_few(9 / 13, groups, 0.9196) == pytest.approx(0.0165, abs=0.0002)
    assert metrics.chance_of_so_few(1.0, groups, 0.5) == 1
    assert metrics.chance_of_so_few(0.5, groups, 1.0) == 0
    assert metrics.chance_of_so_few(0.5, ["one"] * 40 + ["two"] * 40, 0.9) == pytest.approx(0.19)
    for trials in (1, 7, 30):
        for hits in range(trials + 2):
            exact = stats.binom.sf(hits - 1, trials, 0.3)
            assert metrics.binomial_tail(hits, trials, 0.3) == pytest.approx(exact, abs=1e-12)
