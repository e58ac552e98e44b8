"""The training loop: what it learns, that it repeats itself, and that it ends in time."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from mintage.core.errors import ConfigError, DataError, MintageError
from mintage.create import pace, train
from mintage.create.cost import example_ms
from mintage.create.design import compact, seed_cnn
from mintage.create.forward import evaluate
from mintage.create.losses import loss_function
from mintage.create.optimise import Muon, optimiser_for, orthogonal, rate_share
from mintage.create.train import fit
from mintage.modalities.image.augment import augment
from mintage.modalities.image.networks import SeedCNN, build, initialise

SMALL = replace(
    compact(examples=200, typical_side=48),
    batch_size=16,
    training_sides=(32,),
    input_size=32,
    averaging=0.0,
    mixup=0.0,
    cutmix=0.0,
)
SMALL = replace(SMALL, augmentation=replace(SMALL.augmentation, flips="horizontal"))


def picture_set(count=96, side=28, seed=0, classes=2):
    """Noise in which class k is brighter in channel k: learnable, yet not at once."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = chance.integers(0, 200, (count, side, side, 3))
    images[np.arange(count), :, :, labels] += 30
    split = count * 3 // 4
    return images.astype(np.uint8), labels, np.arange(split), np.arange(split, count)


@pytest.fixture
def fitted(tmp_path):
    def run(candidate=None, data=None, **options):
        options = {"seed": 0, "threads": 1, "checkpoint_folder": tmp_path} | options
        return fit(candidate or seed_cnn(), *(data or picture_set()), **options)

    return run


def weights(result):
    return {name: value.clone() for name, value in result.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("candidate", [seed_cnn(), SMALL], ids=["seed-cnn", "compact"])
def test_training_learns_what_can_be_learned(fitted, candidate):
    result = fitted(candidate, picture_set(count=256, side=candidate.input_size), epochs=8)
    assert result.validation_accuracy > 0.9
    assert result.train_accuracy > 0.9
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_three_classes_are_learned_with_three_logits(fitted):
    result = fitted(data=picture_set(classes=3), epochs=8)
    assert result.validation_logits.shape == (24, 3)
    assert result.validation_accuracy > 0.9


@pytest.mark.parametrize("candidate", [seed_cnn(), SMALL], ids=["seed-cnn", "compact"])
def test_the_same_seed_gives_identical_weights_and_another_seed_others(fitted, candidate):
    data = picture_set(side=candidate.input_size)
    first = fitted(candidate, data, epochs=2)
    torch.manual_seed(77)
    assert same(weights(first), weights(fitted(candidate, data, epochs=2)))
    assert not same(weights(first), weights(fitted(candidate, data, epochs=2, seed=1)))


def test_dropout_too_is_seeded_and_leaves_the_global_generator_alone(fitted):
    dropping = replace(seed_cnn(), dropout=0.5)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = fitted(dropping, epochs=1)
    assert torch.equal(torch.rand(2), expected)
    assert same(weights(first), weights(fitted(dropping, epochs=1)))
    assert not same(weights(first), weights(fitted(epochs=1)))


def test_one_step_of_training_is_the_gradient_step_of_the_formula():
    candidate = replace(seed_cnn(), optimiser="sgd", loss="squared_error", learning_rate=0.1)
    network = SeedCNN(2)
    initialise(network, "glorot_uniform", 0)
    pixels, labels = torch.rand(4, 3, 28, 28), torch.tensor([0, 1, 1, 0])
    before = network.output.weight.detach().clone()
    optimiser = optimiser_for(candidate, network)
    loss_function("squared_error")(network(pixels), labels).backward()
    gradient = network.output.weight.grad.clone()
    optimiser.step(1.0)
    # The first step of Nesterov's momentum 0.9 is 1.9 times the gradient.
    torch.testing.assert_close(network.output.weight, before - 0.1 * 1.9 * gradient)


class MovedClock:
    """Passes by as far as it is moved."""

    now = 0.0

    def monotonic(self):
        return self.now

    process_time = monotonic


class StepClock:
    """Passes by a hundredth of a second whenever it is read."""

    now = 0.0

    def monotonic(self):
        self.now += 0.01
        return self.now

    process_time = monotonic


def test_training_by_the_clock_ends_in_time_with_the_rate_run_down(fitted, monkeypatch):
    clock = StepClock()
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr(train, "time", clock)
    result = fitted(SMALL, picture_set(count=400, side=32), seconds=6.0)
    assert result.seconds < 6.0
    assert clock.now < 6.1
    assert result.stopped_because == "time"
    assert result.steps > 20
    assert result.history[-1]["learning_rate"] < 0.1 * SMALL.learning_rate
    assert result.validation_logits.shape == (100, 1)


def test_by_the_clock_each_size_of_picture_gets_as_many_steps(fitted, monkeypatch):
    shown = []
    clock = MovedClock()

    def of_this_cost(pixels, augmentation, chance, side):
        shown.append(side)
        clock.now += example_ms(side, growing.batch_size) / 10
        return augment(pixels, augmentation, chance, side)

    growing = replace(SMALL, input_size=96, training_sides=(32, 48, 64))
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr(train, "time", clock)
    monkeypatch.setattr(train, "augment", of_this_cost)
    fitted(growing, picture_set(count=64, side=96), seconds=10.0)
    counts = [shown.count(side) for side in (32, 48, 64)]
    assert shown == sorted(shown)
    assert min(counts) > 10
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("flips", ["measure", "horizontal", "none"])
def test_a_resumed_training_answers_by_as_many_looks_as_one_never_interrupted(
    fitted, tmp_path, flips
):
    data = picture_set(count=256)
    asked = replace(seed_cnn(), answer_mirrored=True)
    asked = replace(asked, augmentation=replace(asked.augmentation, flips=flips))
    through = fitted(asked, data, epochs=8, checkpoint_folder=tmp_path / "through")
    steps = []
    fitted(
        asked,
        data,
        epochs=8,
        progress=lambda state: steps.append(state.step),
        should_stop=lambda: len(steps) >= 14,
    )
    resumed = fitted(asked, data, epochs=8, resume=True)
    assert resumed.flips == through.flips
    assert resumed.network.mirrored_along == through.network.mirrored_along
    assert (through.network.mirrored_along is None) == (flips == "none")
    assert same(weights(through), weights(resumed))
    assert np.array_equal(through.validation_logits, resumed.validation_logits)


def test_a_second_of_training_takes_a_second(fitted):
    fitted(SMALL, picture_set(side=32), epochs=1)  # kernels are built once a process
    began = time.monotonic()
    fitted(SMALL, picture_set(count=400, side=32), seconds=1.0)
    assert time.monotonic() - began < 2.0  # room for a busy machine


def test_a_budget_too_short_for_a_step_still_leaves_a_usable_checkpoint(fitted, tmp_path):
    result = fitted(seconds=1e-6)
    assert result.validation_logits.shape == (24, 1)
    assert fitted(seconds=1e-6, resume=True).validation_loss == result.validation_loss


def test_a_request_to_stop_ends_training_at_the_next_step_and_keeps_the_best(fitted, tmp_path):
    steps = []
    result = fitted(
        epochs=50,
        progress=lambda state: steps.append(state.step),
        should_stop=lambda: len(steps) >= 5,
    )
    assert steps == [1, 2, 3, 4, 5]
    assert (result.stopped_because, result.steps) == ("interrupted", 5)
    assert result.validation_accuracy == result.history[-1]["validation_accuracy"]


def test_the_network_returned_is_the_one_best_on_validation(fitted, tmp_path):
    # A rate this high makes later epochs worse than earlier ones.
    wild = replace(seed_cnn(), learning_rate=0.05, early_stopping_patience=None)
    result = fitted(wild, picture_set(seed=4), epochs=6)
    scores = [(each["validation_accuracy"], -each["validation_loss"]) for each in result.history]
    assert result.best_epoch == 1 + scores.index(max(scores))
    assert result.validation_accuracy == pytest.approx(max(scores)[0])
    assert [each.name for each in tmp_path.iterdir()] == ["state.safetensors"]


def test_without_restoring_the_best_the_last_weights_are_the_result(fitted):
    wild = replace(seed_cnn(), learning_rate=0.05, early_stopping_patience=None)
    result = fitted(replace(wild, restore_best_weights=False), picture_set(seed=4), epochs=6)
    assert result.best_epoch == 6
    assert result.validation_loss == pytest.approx(result.history[-1]["validation_loss"], rel=1e-4)
    best = min(result.history, key=lambda each: each["validation_loss"])
    assert best["epoch"] < 6


def uneven(count=200, share=0.1):
    """Pictures of which a tenth are brighter in one channel, not so much that all are found."""
    chance = np.random.default_rng(1)
    labels = (chance.random(count) < share).astype(np.int64)
    images = chance.integers(0, 200, (count, 28, 28, 3))
    images[labels == 1, :, :, 0] += 4
    split = count // 2
    return images.astype(np.uint8), labels, np.arange(split), np.arange(split, count)


def shaded(count=1000, share=0.1):
    """Pictures of which a tenth are lighter by 25 levels, where light itself varies by 20.

    Whoever minds the shares finds 13 % of them, whoever takes the classes for even 73 %.
    """
    chance = np.random.default_rng(2)
    labels = (chance.random(count) < share).astype(np.int64)
    light = 60 + 20 * chance.standard_normal((count, 1, 1, 1)) + 25 * labels[:, None, None, None]
    images = np.clip(chance.integers(0, 60, (count, 28, 28, 3)) + light, 0, 255)
    split = count // 2
    return images.astype(np.uint8), labels, np.arange(split), np.arange(split, count)


def test_balanced_class_weights_make_the_rare_class_count_as_much(fitted):
    plain = replace(seed_cnn(), early_stopping_patience=None, restore_best_weights=False)
    recall = {}
    for weights in ("none", "balanced"):
        result = fitted(replace(plain, class_weights=weights), shaded(), epochs=6)
        answered = result.validation_logits[:, 0] > 0
        recall[weights] = answered[result.validation_labels == 1].mean()
    assert recall["balanced"] > recall["none"] + 0.3


def test_the_best_weights_are_chosen_by_the_measure_that_is_asked_for(fitted):
    wild = replace(seed_cnn(), learning_rate=0.02, early_stopping_patience=None)
    result = fitted(wild, uneven(300, 0.2), epochs=8, choose_by="balanced_accuracy")
    scores = [
        (each["validation_balanced_accuracy"], -each["validation_loss"]) for each in result.history
    ]
    assert result.best_epoch == 1 + scores.index(max(scores))
    assert result.validation_balanced_accuracy == pytest.approx(max(scores)[0])


def test_l1_leaves_weights_at_exactly_zero_and_weight_decay_only_makes_them_smaller(fitted):
    plain = replace(seed_cnn(), early_stopping_patience=None)
    sizes, zeros = {}, {}
    for name, cures in {"none": {}, "l1": {"l1": 0.3}, "l2": {"weight_decay": 5.0}}.items():
        weight = fitted(replace(plain, **cures), epochs=6).network.hidden.weight
        sizes[name], zeros[name] = float(weight.detach().norm()), int((weight == 0).sum())
    assert sizes["l2"] < 0.97 * sizes["none"]
    assert zeros["l1"] > 0.05 * weight.numel()
    assert zeros["none"] == zeros["l2"] == 0


def test_label_smoothing_keeps_the_network_from_being_certain(fitted):
    plain = replace(seed_cnn(), early_stopping_patience=None)
    data = picture_set(count=64)
    sure = fitted(plain, data, epochs=25).validation_logits
    smooth = fitted(replace(plain, label_smoothing=0.3), data, epochs=25).validation_logits
    assert np.abs(smooth).mean() < 0.8 * np.abs(sure).mean()


def test_dropout_leaves_units_out_while_training_and_none_when_asked(fitted):
    network = build("seed-cnn", 2, 28, dropout=0.5)
    initialise(network, "glorot_uniform", 0)
    pixels = torch.rand(64, 3, 28, 28)
    network.train()
    assert not torch.equal(network(pixels), network(pixels))
    network.eval()
    assert torch.equal(network(pixels), network(pixels))


def test_mixed_pictures_are_trained_towards_both_labels(fitted):
    mixed = replace(SMALL, mixup=1.0, cutmix=0.0, label_smoothing=0.0)
    data = picture_set(count=128, side=32)
    plain = fitted(replace(mixed, mixup=0.0), data, epochs=12)
    found = fitted(mixed, data, epochs=12)
    assert found.history[-1]["train_loss"] > plain.history[-1]["train_loss"]
    assert found.validation_accuracy > 0.8


def test_the_other_label_of_a_mixed_picture_is_its_partners(fitted, monkeypatch):
    partners, asked = [], []
    mix, loss = train.mix, type(loss_function("cross_entropy"))
    mixed_loss = loss.mixed

    def mixing(*given, **options):
        found = mix(*given, **options)
        partners.append(found.partner)
        return found

    def judging(self, logits, labels, others, share):
        asked.append((labels, others))
        return mixed_loss(self, logits, labels, others, share)

    monkeypatch.setattr(train, "mix", mixing)
    monkeypatch.setattr(loss, "mixed", judging)
    fitted(replace(SMALL, mixup=0.5, cutmix=0.5), picture_set(side=32), epochs=1)
    assert len(asked) == len(partners) > 2
    for partner, (labels, others) in zip(partners, asked, strict=True):
        assert torch.equal(others, labels[partner])
    assert any(not torch.equal(labels, others) for labels, others in asked)


def test_averaged_weights_have_learned_and_are_their_own(fitted):
    averaged = replace(SMALL, averaging=0.9)
    data = picture_set(count=128, side=32)
    assert fitted(averaged, data, epochs=12).validation_accuracy > 0.8


def test_patience_counts_from_the_best_where_the_last_weights_are_kept(fitted):
    waiting = replace(
        seed_cnn(), early_stopping_patience=2, restore_best_weights=False, learning_rate=1e-12
    )
    result = fitted(waiting, epochs=30)
    assert result.stopped_because == "patience"
    assert len(result.history) == result.epochs == 3


def test_averaged_weights_are_what_is_judged_and_kept(fitted):
    averaged = replace(SMALL, averaging=0.9)
    data = picture_set(side=32)
    result = fitted(averaged, data, epochs=3)
    plain = fitted(SMALL, data, epochs=3)
    assert not same(weights(plain), weights(result))
    # The same gradients were followed: only what is kept of them differs.
    assert [each["train_loss"] for each in plain.history] == [
        each["train_loss"] for each in result.history
    ]


def lopsided(count=240, side=32):
    """Class k is brighter on its own side: a mirror image is the other class."""
    chance = np.random.default_rng(5)
    labels = np.arange(count) % 2
    images = chance.integers(0, 200, (count, side, side, 3))
    images[labels == 0, :, : side // 2] += 40
    images[labels == 1, :, side // 2 :] += 40
    split = count * 3 // 4
    return images.astype(np.uint8), labels, np.arange(split), np.arange(split, count)


def test_mirror_images_are_shown_where_they_are_found_harmless_and_not_where_they_lie(fitted):
    measured = replace(SMALL, augmentation=replace(SMALL.augmentation, flips="measure"))
    harmless = fitted(measured, picture_set(count=240, side=32), epochs=16).flips
    assert (harmless.chosen, harmless.across < 0.2, harmless.down < 0.2) == ("both", True, True)
    lying = fitted(measured, lopsided(), epochs=16).flips
    assert (lying.chosen, lying.across > 0.5, lying.down < 0.2) == ("vertical", True, True)


def test_a_recipe_that_says_which_mirror_images_to_show_is_not_overruled(fitted):
    said = replace(SMALL, augmentation=replace(SMALL.augmentation, flips="horizontal"))
    assert fitted(said, lopsided(), epochs=2).flips is None


class Killed(BaseException):
    """As abrupt as an exception can be."""


@pytest.mark.parametrize(
    "candidate",
    [
        replace(seed_cnn(), dropout=0.3),
        replace(
            SMALL,
            averaging=0.9,
            mixup=0.3,
            cutmix=0.3,
            l1=1e-4,
            augmentation=replace(SMALL.augmentation, flips="measure"),
        ),
        replace(seed_cnn(), optimiser="sgd", learning_rate=0.01),
    ],
    ids=["adam-dropout", "muon-everything", "sgd"],
)
@pytest.mark.parametrize("killed_at", [1, 7, 16, 29])
def test_a_resumed_training_ends_with_the_weights_of_one_that_went_through(
    fitted, tmp_path, candidate, killed_at
):
    data = picture_set(side=candidate.input_size)
    through = fitted(candidate, data, epochs=6, checkpoint_folder=tmp_path / "through")

    def kill(state):
        if state.step == killed_at:
            raise Killed

    folder = tmp_path / "killed"
    with contextlib.suppress(Killed):
        fitted(candidate, data, epochs=6, checkpoint_folder=folder, progress=kill)
    log = []
    resumed = fitted(
        candidate, data, epochs=6, checkpoint_folder=folder, resume=True, log=log.append
    )
    assert same(weights(through), weights(resumed))
    figures = [
        [{k: v for k, v in each.items() if "second" not in k} for each in history]
        for history in (through.history, resumed.history, log)
    ]
    assert figures[0] == figures[1] == figures[2]
    np.testing.assert_array_equal(through.validation_logits, resumed.validation_logits)


def test_what_an_optimiser_remembers_goes_back_to_where_its_weights_are():
    network = build("compact", 2, 32)
    before = optimiser_for(SMALL, network)
    network(torch.ones(2, 3, 32, 32)).sum().backward()
    before.step(1.0)
    # A device that every machine has, and that is not the processor.
    after = optimiser_for(SMALL, build("compact", 2, 32).to("meta"))
    after.restore(before.state())
    assert after.state().keys() == before.state().keys()
    assert {value.device.type for value in after.state().values()} == {"meta"}


def test_a_state_cut_short_by_a_power_failure_is_no_state(fitted, tmp_path):
    through = fitted(epochs=4, checkpoint_folder=tmp_path / "through")
    fitted(epochs=4, checkpoint_folder=tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    assert same(weights(through), weights(fitted(epochs=4, resume=True)))


def test_a_full_disk_is_a_clear_error_and_the_last_state_stays(fitted, tmp_path, monkeypatch):
    fitted(epochs=2)
    before = (tmp_path / "state.safetensors").read_bytes()

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mintage.core.files.os.write", full)
    with pytest.raises(MintageError, match="disk"):
        fitted(epochs=3)
    assert [each.name for each in tmp_path.iterdir()] == ["state.safetensors"]
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_training_stops_when_validation_gets_no_better_for_as_long_as_its_patience(fitted):
    noise = np.random.default_rng(0).integers(0, 255, (64, 28, 28, 3)).astype(np.uint8)
    data = (noise, np.arange(64) % 2, np.arange(32), np.arange(32, 64))
    result = fitted(replace(seed_cnn(), early_stopping_patience=3), data, epochs=200)
    assert result.stopped_because == "patience"
    assert result.epochs == result.best_epoch + 3


def test_every_epoch_is_logged_with_all_that_a_learning_curve_needs(fitted):
    log = []
    result = fitted(epochs=3, log=log.append)
    assert [each["epoch"] for each in log] == [1, 2, 3]
    assert [each["step"] for each in log] == [2, 4, 6]
    assert log == result.history
    json.dumps(log, allow_nan=False)
    assert set(log[0]) == {
        "epoch", "step", "seconds", "train_loss", "train_accuracy", "validation_loss",
        "validation_accuracy", "validation_balanced_accuracy", "learning_rate",
        "examples_per_second",
    }  # fmt: skip


def test_progress_rises_to_the_end_and_says_how_things_stand(fitted):
    states = []
    fitted(epochs=4, progress=states.append)
    fractions = [each.fraction for each in states]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(0 <= each.accuracy <= 1 and each.examples_per_second > 0 for each in states)


def test_validation_examples_never_change_the_weights(fitted):
    images, labels, learn, check = picture_set()
    first = fitted(data=(images, labels, learn, check), epochs=1)
    other = images.copy()
    other[check] = 255 - other[check]
    assert same(weights(first), weights(fitted(data=(other, labels, learn, check), epochs=1)))


def test_results_describe_pictures_as_they_are_in_float32(fitted):
    data = picture_set(side=32)
    result = fitted(SMALL, data, epochs=2)
    logits, features = evaluate(result.network, SMALL, data[0], data[3])
    np.testing.assert_array_equal(result.validation_logits, logits.numpy())
    np.testing.assert_array_equal(result.validation_features, features.numpy())
    assert not result.network.training


def test_a_training_that_diverges_is_an_error_that_names_the_learning_rate(fitted):
    with pytest.raises(DataError, match="learning rate"):
        fitted(replace(seed_cnn(), optimiser="sgd", learning_rate=1e6), epochs=3)


def test_the_thread_count_is_put_back(fitted):
    before = torch.get_num_threads()
    fitted(epochs=1, threads=before + 1)
    assert torch.get_num_threads() == before


class StillClock:
    wall = busy = 0.0

    def monotonic(self):
        return self.wall

    def process_time(self):
        return self.busy

    def pass_by(self, seconds, share):
        self.wall += seconds
        self.busy += seconds * share


def test_by_the_clock_one_thread_works_while_others_want_the_processor(monkeypatch):
    clock = StillClock()
    monkeypatch.setattr(pace, "time", clock)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        keeper, seen = pace.ThreadKeeper(2), []
        for seconds, share in [
            (1.1, 1.9),
            (0.5, 0.1),
            (0.7, 0.8),
            (1.9, 0.5),
            (0.2, 0.5),
            (1.1, 0.8),
        ]:
            clock.pass_by(seconds, share)
            keeper.after_step()
            seen.append(torch.get_num_threads())
        # Undisturbed; too early to say; disturbed; waiting; two seconds are over; disturbed.
        assert seen == [2, 2, 1, 1, 2, 1]
        assert keeper.wait_seconds == 4
    finally:
        torch.set_num_threads(before)


def test_by_epochs_the_thread_count_never_changes(fitted, monkeypatch):
    counts = set()
    monkeypatch.setattr(pace.ThreadKeeper, "BUSY_ENOUGH", 1e9)  # always disturbed
    fitted(epochs=2, threads=2, progress=lambda state: counts.add(torch.get_num_threads()))
    assert counts == {2}


@pytest.mark.parametrize("budget", [{}, {"epochs": 1, "seconds": 1.0}])
def test_a_training_without_one_clear_end_is_refused(fitted, budget):
    with pytest.raises(ConfigError, match="epochs"):
        fitted(**budget)


def test_pictures_of_another_size_are_refused(fitted):
    with pytest.raises(ConfigError, match="28"):
        fitted(data=picture_set(side=30), epochs=1)


def test_one_cycle_rises_then_falls_to_nothing_and_a_constant_rate_stays():
    rates = [rate_share(SMALL, done) for done in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 20
    assert max(rates) == pytest.approx(1)
    assert rates[-1] < 0.002
    assert {rate_share(seed_cnn(), done) for done in (0.0, 0.5, 1.0)} == {1.0}


def test_every_rate_follows_the_schedule_from_its_own_peak():
    network = build("compact", 2, 48)
    optimiser = optimiser_for(replace(SMALL, optimiser="muon", learning_rate=0.04), network)
    assert [group["lr"] for group in optimiser.param_groups] == [0.04, 3e-3]
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step(0.5)
    assert [group["lr"] for group in optimiser.param_groups] == [0.02, 1.5e-3]
    assert all(parameter.grad is None for parameter in network.parameters())
    held = [len(group["params"]) for group in optimiser.param_groups]
    assert sum(held) == len(list(network.parameters()))


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (1, 9)])
def test_muons_step_has_the_gradients_directions_and_even_lengths(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    matrix[0] *= 20
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    lengths = torch.diagonal(left.T @ orthogonal(matrix, steps=6) @ right.T)
    assert lengths.min() > 0.5
    assert lengths.max() < 1.4


def test_muon_decays_and_moves_against_the_gradient():
    bank = torch.nn.Parameter(torch.full((8, 4, 3, 3), 2.0))
    bank.grad = torch.randn(bank.shape, generator=torch.Generator().manual_seed(1))
    gradient = bank.grad.clone()
    Muon([{"params": [bank], "lr": 0.1, "weight_decay": 0.5}]).step()
    moved = bank.detach() - 2.0 * (1 - 0.1 * 0.5)
    assert float((moved * gradient).sum()) < 0
    assert moved.norm() < 0.1 * 8**0.5 * 1.4


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_adam_and_sgd_step_as_pytorchs_own_classes_do(name):
    candidate = replace(seed_cnn(), optimiser=name, learning_rate=0.02, weight_decay=0.3)
    ours, theirs = (build("seed-cnn", 2, 28) for __ in range(2))
    initialise(ours, "glorot_uniform", 0)
    theirs.load_state_dict(ours.state_dict())
    groups = [
        {"params": [each for each in theirs.parameters() if each.ndim > 1], "weight_decay": 0.3},
        {"params": [each for each in theirs.parameters() if each.ndim <= 1], "weight_decay": 0.0},
    ]
    oracle = (
        torch.optim.AdamW(groups, lr=0.02, betas=(0.9, 0.99))
        if name == "adam"
        else torch.optim.SGD(theirs.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    )
    optimiser = optimiser_for(candidate, ours)
    chance = torch.Generator().manual_seed(3)
    for __ in range(5):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=chance)
            other.grad = mine.grad.clone()
        optimiser.step(1.0)
        if name == "sgd":  # PyTorch's own has no decoupled weight decay
            with torch.no_grad():
                for other in groups[0]["params"]:
                    other.mul_(1 - 0.02 * 0.3)
        oracle.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_training_does_not_load_pytorchs_compiler():
    program = (
        "import sys, numpy as np, pathlib, tempfile\n"
        "from mintage.create.design import compact\n"
        "from mintage.create.train import fit\n"
        "from dataclasses import replace\n"
        "c = replace(compact(examples=200, typical_side=48), input_size=32, training_sides=(32,))\n"
        "x = np.zeros((20, 32, 32, 3), np.uint8); y = np.arange(20) % 2\n"
        "with tempfile.TemporaryDirectory() as f:\n"
        "    fit(c, x, y, np.arange(10), np.arange(10, 20), epochs=1, seed=0, threads=1,\n"
        "        checkpoint_folder=pathlib.Path(f))\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


def test_weight_decay_leaves_scales_and_biases_alone():
    network = build("compact", 2, 48)
    adam = replace(SMALL, optimiser="adam")
    decayed, free = optimiser_for(adam, network).param_groups
    assert decayed["weight_decay"] == adam.weight_decay > 0
    assert free["weight_decay"] == 0
    assert all(each.ndim > 1 for each in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(network.parameters()))


def test_a_network_that_has_learned_something_is_kept_where_training_makes_it_worse(
    fitted, tmp_path
):
    first = fitted(epochs=6)
    ruined = fitted(
        replace(seed_cnn(), learning_rate=5.0, optimiser="sgd"),
        epochs=2,
        start=lambda: first.network,
        checkpoint_folder=tmp_path / "again",
    )
    assert ruined.best_epoch == 0
    assert ruined.validation_accuracy == first.validation_accuracy
