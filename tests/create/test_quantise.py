"""Integer graphs: as good as the float one, right on any processor, refused where they are not."""

import logging
import os
import subprocess
import sys
from collections import Counter
from functools import cache

import numpy as np
import onnx
import onnx.version_converter
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from tests.checkpoints import checkpoint

from mintage.bundle.graph import Graph
from mintage.core import registry
from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import speaking, told
from mintage.create.export import onnx_bytes
from mintage.create.forward import scaled
from mintage.create.int8_check import Int8Check, compare_speed, lightened
from mintage.create.quantise import PICTURES, calibration_of, int8
from mintage.create.recipe import Candidate
from mintage.modalities.image import pretrained
from mintage.modalities.image.networks import build, initialise

CLASS = registry.tasks().get("class")
SIDES = {"seed-cnn": 28, "compact": 48}
LAYERS = {"seed-cnn": 3, "compact": 13}
"""Convolutions and linear layers of each network, the first and the last included."""


def pictures(side, count, seed=0):
    """Noise, darker for class 0 and lighter for class 1; ``uint8[N, side, side, 3]``, classes."""
    chance = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    shift = np.where(targets, 25, -25)[:, None, None, None]
    pixels = chance.integers(30, 226, (count, side, side, 3)) + shift
    return pixels.astype(np.uint8), targets.astype(np.int64)


def learned(name, classes=2, steps=25):
    """The exported graph of a network that has learned ``pictures``."""
    candidate = Candidate(
        name=name, network=name, input_size=SIDES[name], initialisation="he_normal"
    )
    network = build(name, classes, candidate.input_size)
    initialise(network, candidate.initialisation, 0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5  # so few steps would not be remembered otherwise
    images, targets = pictures(candidate.input_size, 32)
    pixels = scaled(torch.from_numpy(images).permute(0, 3, 1, 2).float(), candidate)
    wanted = torch.from_numpy(targets)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for __ in range(steps):
        logits = network.train()(pixels)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        loss = torch.nn.functional.cross_entropy(logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return onnx_bytes(network.eval(), candidate)


@cache
def made_of(name):
    """Name, float graph, integer graph."""
    model = learned(name)
    images, __ = pictures(SIDES[name], 48, seed=1)
    return name, model, int8(model, images, threads=1)


@pytest.fixture(params=["seed-cnn", "compact"])
def made(request):
    return made_of(request.param)


def node_kinds(model):
    return Counter(node.op_type for node in onnx.load_model_from_string(model).graph.node)


def test_it_answers_as_the_float_graph_does_for_any_number_of_pictures(made):
    name, model, quantised = made
    for count in (1, 5, 100):
        images, targets = pictures(SIDES[name], count, seed=2)
        logits, features = Graph(model, threads=1).run(images)
        found, found_features = Graph(quantised, threads=1).run(images)
        assert found.dtype == found_features.dtype == np.float32
        np.testing.assert_allclose(found, logits, atol=0.1 * np.abs(logits).max())
        np.testing.assert_allclose(
            found_features, features, atol=0.05 * np.abs(features).max(axis=0).max()
        )
        assert ((logits[:, 0] > 0) == targets).mean() > 0.95  # or agreeing would mean nothing
        assert ((found[:, 0] > 0) == targets).mean() > 0.95


def test_it_is_smaller_in_one_file_of_standard_operators(made):
    __, model, quantised = made
    assert len(quantised) < 0.4 * len(model)
    graph = onnx.load_model_from_string(quantised)
    onnx.checker.check_model(graph, full_check=True)
    before = onnx.load_model_from_string(model)
    assert list(graph.opset_import) == list(before.opset_import)
    assert list(graph.graph.input) == list(before.graph.input)
    assert list(graph.graph.output) == list(before.graph.output)
    assert not any(each.external_data for each in graph.graph.initializer)
    assert not graph.metadata_props


def test_the_first_and_the_last_layer_stay_in_float(made):
    name, __, quantised = made
    weights = [
        each
        for each in onnx.load_model_from_string(quantised).graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]
    assert len(weights) == LAYERS[name] - 2


def test_products_fit_in_sixteen_bits_where_processors_add_two_of_them(made):
    """Those without VNNI: 255 × 64 × 2 is below 2**15, 255 × 127 × 2 is not."""
    graph = onnx.load_model_from_string(made[2]).graph
    arrays = [onnx.numpy_helper.to_array(each) for each in graph.initializer]
    weights = [each for each in arrays if each.dtype == np.int8 and each.ndim > 1]
    assert weights
    largest = max(int(np.abs(each.astype(int)).max()) for each in weights)
    assert 60 < largest <= 64
    assert 2 * 255 * largest < 2**15


def test_a_reader_of_the_standard_that_is_not_onnx_runtime_answers_alike(made):
    """So the file means what it says, and no instruction of this processor overflowed."""
    name, __, quantised = made
    images, __ = pictures(SIDES[name], 2, seed=3)
    # The reference evaluator knows these operators from opset 19 on.
    newer = onnx.version_converter.convert_version(onnx.load_model_from_string(quantised), 21)
    reference = ReferenceEvaluator(newer)
    logits, features = reference.run(None, {"pixels": images})
    found, found_features = Graph(quantised, threads=1).run(images)
    # One step of the last activation's scale, where two ways of rounding differ.
    np.testing.assert_allclose(found, logits, atol=0.02 * max(1, np.abs(logits).max()))
    np.testing.assert_allclose(found_features, features, atol=0.03 * np.abs(features).max())


def test_same_graph_and_pictures_give_the_same_bytes_in_every_process(made, tmp_path):
    name, model, quantised = made
    images, __ = pictures(SIDES[name], 48, seed=1)
    (tmp_path / "model.onnx").write_bytes(model)
    np.save(tmp_path / "images.npy", images)
    program = (
        "import sys, numpy, hashlib; from mintage.create.quantise import int8;"
        "model = open('model.onnx', 'rb').read();"
        "made = int8(model, numpy.load('images.npy'), threads=1);"
        "print(hashlib.sha256(made).hexdigest(), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [sha256_hex(quantised), "False"]
    assert done.stderr == ""
    assert {each.name for each in tmp_path.iterdir()} == {"model.onnx", "images.npy"}


def test_nobody_elses_logging_is_changed(made):
    name, model, __ = made
    before = list(logging.getLogger().handlers)
    int8(model, pictures(SIDES[name], 4)[0], threads=1)
    assert logging.getLogger().handlers == before


def test_more_classes_are_quantised_alike():
    model = learned("seed-cnn", classes=4, steps=2)
    images, __ = pictures(28, 16)
    quantised = int8(model, images, threads=1)
    assert Graph(quantised, threads=1).run(images)[0].shape == (16, 4)
    assert node_kinds(quantised)["QuantizeLinear"] > 0


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def test_of_a_pretrained_transformer_the_layers_with_weights_alone_are_quantised(tmp_path):
    weights = str(checkpoint("vit", tmp_path / "vit"))
    found = pretrained.describe(weights)
    network = pretrained.build(weights, 3).eval()
    torch.nn.init.normal_(network.output.weight, generator=torch.Generator().manual_seed(0))
    candidate = Candidate(
        name="hub",
        network="hub",
        weights=weights,
        input_size=found.input_size,
        initialisation="he_normal",
        mean=found.mean,
        deviation=found.deviation,
    )
    model = onnx_bytes(network, candidate)
    images, __ = pictures(found.input_size, 12)
    quantised = int8(model, images, threads=1)
    logits, __ = Graph(model, threads=1).run(images)
    found_logits, features = Graph(quantised, threads=1).run(images)
    assert np.sqrt(((found_logits - logits) ** 2).mean()) < 0.1 * logits.std()
    assert np.isfinite(features).all()
    graph = onnx.load_model_from_string(quantised).graph
    integers = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8}
    read = [node for node in graph.node if integers & set(node.input[:1])]
    weights = {node.output[0] for node in read}
    layers = [node for node in graph.node if weights & set(node.input)]
    assert {node.op_type for node in layers} <= {"Conv", "Gemm", "MatMul"}
    # Six in each of the two blocks, of which none is the first or the last layer.
    assert len(layers) >= 12


def test_calibration_is_spread_over_the_training_examples():
    images = np.arange(4000, dtype=np.int64).astype(np.uint8).reshape(4000, 1, 1, 1)
    train = np.arange(1000, 4000)
    found = calibration_of(images, train)
    assert len(found) == PICTURES
    assert len(np.unique(found)) > PICTURES // 2
    assert len(calibration_of(images, train[:5])) == 5


def linear_graph(weight=0.01):
    """Only one layer: the mean of the pixels, which is first and last at once."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["features"], keepdims=0),
        helper.make_node("MatMul", ["features", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["batch", 4, 4, 3])],
        [
            helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 1]),
            helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", 3]),
        ],
        [
            onnx.numpy_helper.from_array(np.array([1, 2]), "axes"),
            onnx.numpy_helper.from_array(np.full((3, 1), weight, np.float32), "weights"),
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()


def test_a_graph_without_layers_between_the_first_and_the_last_is_refused():
    with pytest.raises(DataError, match="no layers between"):
        int8(linear_graph(), pictures(4, 4)[0], threads=1)


def test_numbers_that_are_none_are_refused_with_the_remedy():
    model = onnx.load_model_from_string(learned("seed-cnn", steps=1))
    bias = next(each for each in model.graph.initializer if each.name == "network.hidden.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(128, np.nan, np.float32), bias.name))
    with pytest.raises(DataError, match="learning rate"):
        int8(model.SerializeToString(), pictures(28, 4)[0], threads=1)


def lighten(made, calibration):
    name, model, __ = made
    images, targets = pictures(SIDES[name], 60, seed=4)
    graph = Graph(model, threads=1)
    clock = iter(np.arange(0, 1e6, 0.25)).__next__
    return graph, lightened(
        model, graph, calibration, images, targets, CLASS, threads=1, clock=clock
    )


def test_an_integer_graph_that_is_as_good_is_delivered(made):
    name, model, __ = made
    __, found = lighten(made, pictures(SIDES[name], 48, seed=1)[0])
    assert not found.check.refused
    assert found.check.because is None
    assert found.model != model
    assert node_kinds(found.model)["QuantizeLinear"] > 0
    document = found.check.to_json()
    assert document["size_bytes"] == len(found.model) < document["float_size_bytes"] == len(model)
    assert document["validation_accuracy"] > 0.95
    assert document["speed"]["runs"] >= 3
    # Each run takes one tick of the clock, so both are as fast.
    assert document["speed_ratio"] == 1.0


def test_one_that_is_worse_is_refused_and_the_float_graph_delivered():
    name, model, __ = made_of("seed-cnn")
    black = np.zeros((4, SIDES[name], SIDES[name], 3), np.uint8)  # ranges of nothing
    graph, found = lighten(made_of("seed-cnn"), black)
    assert found.check.refused
    assert found.check.drop_points > 5
    assert found.model == model
    assert found.graph is graph
    assert found.check.card_note() is None
    assert "falls from" in found.check.because
    assert found.check.to_json()["refused"] is True


def test_what_cannot_be_quantised_keeps_its_float_graph_and_says_why():
    model = linear_graph()
    graph = Graph(model, threads=1)
    images, targets = pictures(4, 10)
    found = lightened(model, graph, images, images, targets, CLASS, threads=1, clock=lambda: 0.0)
    assert found.model == model
    assert found.check.refused
    assert "no layers between" in found.check.in_words()
    assert found.check.to_json()["validation_accuracy"] is None


@pytest.mark.parametrize(
    ("examples", "lost", "refused"),
    [(1000, 3, False), (1000, 4, True), (200, 0, False), (200, 1, True), (3000, -5, False)],
)
def test_three_tenths_of_a_point_may_be_lost_and_no_more(examples, lost, refused):
    right = examples * 9 // 10
    check = Int8Check(examples, right, right - lost, 100, 26)
    assert check.refused is refused
    assert check.drop_points == pytest.approx(100 * lost / examples)
    assert ("refused" in check.in_words()) is refused


def test_the_card_says_accuracy_and_nothing_that_a_clock_measured():
    slow = compare_speed(
        Graph(linear_graph(), threads=1),
        Graph(linear_graph(0.02), threads=1),
        pictures(4, 3)[0],
        iter(np.arange(0, 1e6, 0.5)).__next__,
    )
    note = Int8Check(200, 180, 181, 100, 26, speed=slow).card_note()
    assert note == Int8Check(200, 180, 181, 100, 26).card_note()
    assert "90.5%" in note
    assert "90.0%" in note


def test_speed_is_measured_in_turns_until_the_time_is_up():
    asked = []

    class Counted:
        def __init__(self, name):
            self.name = name

        def run(self, images):
            asked.append((self.name, len(images)))

    ticks = iter(np.arange(0, 1e6, 0.1)).__next__
    found = compare_speed(Counted("float"), Counted("int8"), pictures(4, 3)[0], ticks)
    assert [name for name, __ in asked[:4]] == ["float", "int8", "float", "int8"]
    assert Counter(count for __, count in asked).keys() == {1, 32}
    assert found.runs < 15
    assert found.float_milliseconds[1] == pytest.approx(100)


def test_it_is_said_in_the_readers_language():
    with speaking("zh"):
        assert "float" not in told(Int8Check(200, 180, 170, 100, 26).in_words()).lower()
