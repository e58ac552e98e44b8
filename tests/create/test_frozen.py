"""The linear head on a frozen backbone: how good, how exact, how long, and what is kept."""

import time

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.checkpoints import SHAPES, checkpoint, learned, shapes
from tests.disks import filled, small_disk

from mintage.core.errors import DataError, DependencyDown
from mintage.create.export import onnx_bytes
from mintage.create.forward import evaluate
from mintage.create.frozen import fit_head
from mintage.create.recipe import Candidate
from mintage.modalities.image import pretrained


def candidate_for(network, **changes):
    found = network.pretrained
    return Candidate(
        name="hub",
        network="hub",
        weights=found.weights,
        input_size=found.input_size,
        initialisation="he_normal",
        **{"mean": found.mean, "deviation": found.deviation, **changes},
    )


@pytest.fixture(scope="module")
def informed(tmp_path_factory):
    """A checkpoint that knows shapes."""
    return learned(tmp_path_factory.mktemp("informed") / "shapes")


@pytest.fixture(scope="module")
def pictures():
    """240 pictures of four shapes."""
    return shapes(60, seed=2)


def split(labels, training=120):
    index = np.arange(len(labels))
    return index[:training], index[training:]


def fit(weights, images, labels, *, classes=4, candidate=None, prepare=None, **options):
    """A new network with a fitted head, and what fitting it said."""
    network = pretrained.build(str(weights), classes)
    if prepare is not None:
        prepare(network)
    train, validation = split(labels)
    given = {"train_index": train, "validation_index": validation, "seed": 0} | options
    found = fit_head(network, candidate or candidate_for(network), images, labels, **given)
    return network, found


def pooled(network, images):
    """Features by a way of their own: all pictures at once, scaled by NumPy."""
    mean, deviation = network.pretrained.mean, network.pretrained.deviation
    pixels = ((images / 255 - np.array(mean)) / np.array(deviation)).transpose(0, 3, 1, 2)
    with torch.no_grad():
        return network.eval().layers(torch.tensor(pixels, dtype=torch.float32))[0].numpy()


def slowly(seconds):
    """A backbone that takes its time over each batch."""
    return lambda network: network.body.register_forward_hook(lambda *_: time.sleep(seconds))


def test_a_backbone_that_knows_shapes_is_far_better_than_one_that_knows_nothing(
    informed, pictures, tmp_path
):
    _, knowing = fit(informed, *pictures)
    _, ignorant = fit(learned(tmp_path / "nothing", steps=0), *pictures)
    assert knowing.validation_accuracy > 0.85
    assert ignorant.validation_accuracy < 0.55
    assert (knowing.examples, knowing.validation_examples, knowing.left_out) == (120, 120, 0)
    assert knowing.note is None


@pytest.mark.parametrize("weights", [None, (1.0, 4.0, 0.5, 1.0)])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_is_the_logistic_regression_of_scikit_learn(informed, pictures, classes, weights):
    images, labels = pictures
    labels = labels % classes
    weights = None if weights is None else np.array(weights[:classes], dtype=np.float32)
    network, found = fit(informed, images, labels, classes=classes, class_weights=weights)
    train, validation = split(labels)
    features = pooled(network, images)
    mean, deviation = features[train].mean(0), features[train].std(0)
    deviation[deviation < 1e-6] = 1
    scaled = (features - mean) / deviation
    each = np.ones(classes) if weights is None else weights
    oracle = LogisticRegression(
        C=1 / (found.strength * each[labels[train]].sum()),
        class_weight=dict(enumerate(each)),
        max_iter=5000,
        tol=1e-8,
    ).fit(scaled[train], labels[train])
    expected = oracle.predict_proba(scaled[validation])
    candidate = candidate_for(network)
    logits, _ = evaluate(network, candidate, images, validation)
    if classes == 2:
        logits = torch.nn.functional.pad(logits, (1, 0))
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), expected, atol=0.01)
    right = np.mean(expected.argmax(1) == labels[validation])
    assert found.validation_accuracy == pytest.approx(right, abs=0.01)
    log = -np.log(expected[np.arange(len(validation)), labels[validation]])
    loss = np.average(log, weights=each[labels[validation]])
    assert found.validation_loss == pytest.approx(loss, rel=0.03)


def test_the_strength_is_the_one_that_validation_data_like(informed, pictures):
    images, labels = pictures
    _, sure = fit(informed, images, labels)
    chance = np.random.default_rng(0).permutation(labels)  # nothing to learn
    _, unsure = fit(informed, images, chance)
    assert sure.strength < 0.5
    assert unsure.strength == 1.0


def test_what_is_exported_answers_as_the_head_was_judged(informed, pictures):
    images, labels = pictures
    network, found = fit(informed, images, labels)
    data = onnx_bytes(network, candidate_for(network))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    _, validation = split(labels)
    logits, _ = session.run(None, {"pixels": images[validation]})
    right = float(np.mean(logits.argmax(1) == labels[validation]))
    assert right == pytest.approx(found.validation_accuracy)


def test_the_same_seed_gives_the_same_head_and_leaves_all_else_alone(informed, pictures):
    before = pretrained.build(str(informed), 4).state_dict()
    threads = torch.get_num_threads()
    first, _ = fit(informed, *pictures, threads=1)
    second, _ = fit(informed, *pictures, threads=1)
    assert torch.get_num_threads() == threads
    assert first.training
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert torch.equal(value, before[name]) == (not name.startswith("output."))


def test_features_are_computed_once(informed, pictures, tmp_path):
    first, computed = fit(informed, *pictures, cache=tmp_path)
    second, again = fit(informed, *pictures, cache=tmp_path)
    assert (computed.computed, again.computed) == (240, 0)
    assert torch.equal(first.output.weight, second.output.weight)
    assert len(list(tmp_path.iterdir())) == 1
    # Another split needs no others.
    labels = pictures[1]
    train, validation = split(labels, 60)
    _, other = fit(
        informed, *pictures, cache=tmp_path, train_index=train, validation_index=validation
    )
    assert other.computed == 0


def test_only_what_is_asked_for_is_computed_and_the_rest_later(informed, pictures, tmp_path):
    images, labels = pictures
    _, first = fit(informed, images, labels, cache=tmp_path, train_index=np.arange(40))
    _, second = fit(informed, images, labels, cache=tmp_path)
    assert (first.computed, second.computed) == (160, 80)


def test_features_of_other_weights_or_pictures_or_scales_are_not_taken(
    informed, pictures, tmp_path
):
    images, labels = pictures
    fit(informed, images, labels, cache=tmp_path)

    def tuned(network):
        with torch.no_grad():
            next(network.body.parameters()).mul_(1.01)

    network = pretrained.build(str(informed), 4)
    brighter = candidate_for(network, mean=(0.3, 0.3, 0.3))
    lower = candidate_for(network, precision="bfloat16")
    others = [
        {"prepare": tuned},
        {"candidate": brighter},
        {"candidate": lower},
    ]
    for number, options in enumerate(others, start=2):
        _, found = fit(informed, images, labels, cache=tmp_path, **options)
        assert found.computed == 240
        assert len(list(tmp_path.iterdir())) == number
    _, found = fit(informed, 255 - images, labels, cache=tmp_path)
    assert found.computed == 240


@pytest.mark.parametrize("spoil", [lambda data: data[:1000], lambda _: b"", lambda _: b"\x80\x04K"])
def test_a_damaged_cache_is_made_again(spoil, informed, pictures, tmp_path):
    first, _ = fit(informed, *pictures, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    second, found = fit(informed, *pictures, cache=tmp_path)
    assert found.computed == 240
    assert torch.equal(first.output.weight, second.output.weight)
    assert path.read_bytes() == whole


def test_a_full_disk_is_said_and_leaves_no_half_a_cache(informed, pictures, tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        (disk / "cache").mkdir()
        with filled(disk), pytest.raises(DependencyDown, match="No space left"):
            fit(informed, *pictures, cache=disk / "cache")
        assert not list((disk / "cache").iterdir())


def test_where_time_is_short_the_head_learns_from_what_fits_evenly_by_class(informed):
    images, labels = shapes(200, seed=3)
    rare = np.flatnonzero((labels != 3) | (np.arange(len(labels)) % 20 == 3))  # few crosses
    images, labels = images[rare], labels[rare]
    index = np.random.default_rng(0).permutation(len(labels))
    train, validation = np.sort(index[:480]), np.sort(index[480:])
    assert np.bincount(labels[train])[3] < 40
    began = time.monotonic()
    network, found = fit(
        informed,
        images,
        labels,
        train_index=train,
        validation_index=validation,
        seconds=1.5,
        prepare=slowly(0.15),
    )
    assert time.monotonic() - began < 4
    assert found.seconds < 2
    assert 0 < found.examples < 300
    assert found.examples + found.left_out == 480
    assert found.computed == found.examples + found.validation_examples
    # As many of both as there are in all.
    share = found.validation_examples / found.computed
    assert share == pytest.approx(len(validation) / len(index), abs=0.05)
    assert str(found.examples) in str(found.note)
    assert "480" in str(found.note)
    assert found.validation_accuracy > 0.5
    assert torch.isfinite(network.output.weight).all()


def test_what_was_learned_from_in_a_short_time_has_every_class_alike(informed, tmp_path):
    images, labels = shapes(60, seed=3)
    labels = np.sort(labels)  # a class after the other, as folders give them
    _, found = fit(
        informed,
        images,
        labels,
        train_index=np.arange(200),
        validation_index=np.arange(200, 240),
        should_stop=lambda: True,
        cache=tmp_path,
    )
    (path,) = tmp_path.iterdir()
    known = ~np.isnan(np.load(path)[:, 0])
    assert known.sum() == found.computed == 32
    counts = np.bincount(labels[:200][known[:200]], minlength=4)
    assert np.ptp(counts) <= 1
    assert counts.sum() == found.examples


def test_progress_rises_to_the_end(informed, pictures, tmp_path):
    seen = []
    fit(informed, *pictures, progress=seen.append, cache=tmp_path)
    assert seen == sorted(seen)
    assert len(seen) == 8
    assert seen[-1] == 1


def test_weights_that_give_no_numbers_are_refused(informed, pictures):
    def spoil(network):
        with torch.no_grad():
            next(network.body.parameters()).fill_(torch.nan)

    with pytest.raises(DataError, match="do not give numbers"):
        fit(informed, *pictures, prepare=spoil)


def test_a_channel_that_never_changes_does_no_harm(informed, pictures):
    def silence(network):
        def without(_, __, answer):
            answer["logits"] = torch.cat([0 * answer["logits"][:, :1], answer["logits"][:, 1:]], 1)
            return answer

        network.body.register_forward_hook(without)

    network, found = fit(informed, *pictures, prepare=silence)
    assert torch.isfinite(network.output.weight).all()
    assert found.validation_accuracy > 0.85


def test_networks_that_tell_classes_by_tokens_are_fitted_too(pictures, tmp_path):
    folder = checkpoint("vit", tmp_path / "vit")
    _, found = fit(folder, *pictures)
    assert found.validation_accuracy > 1 / len(SHAPES)
