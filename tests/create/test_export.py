"""The exported file: alone, in step with the network, and refused where it is not."""

import warnings
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mintage.core.errors import DataError
from mintage.create.design import compact, seed_cnn
from mintage.create.export import OPSET, check_parity, export_onnx, onnx_bytes
from mintage.modalities.image.networks import Residual, build, initialise

SMALL = replace(compact(examples=200, typical_side=48), input_size=48)


def trained(candidate, classes=2):
    """A network whose batch normalisation has seen pictures, as after training."""
    network = build(candidate.network, classes, candidate.input_size)
    initialise(network, candidate.initialisation, 0)
    chance = torch.Generator().manual_seed(0)
    side = candidate.input_size
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.randn(8, 3, side, side, generator=chance))
        for residual in (each for each in network.modules() if isinstance(each, Residual)):
            residual.last.weight.fill_(0.5)
    return network.eval()


def pictures(candidate, count=5):
    side = candidate.input_size
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    network = trained(SMALL)
    return network, export_onnx(network, SMALL, path), path


def test_the_export_is_one_file_that_says_what_goes_in_and_out(exported):
    _, data, path = exported
    assert path.read_bytes() == data
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]
    model = onnx.load_model_from_string(data)
    assert [each.version for each in model.opset_import if each.domain == ""] == [OPSET]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    assert (entry.name, entry.type, entry.shape) == (
        "pixels",
        "tensor(uint8)",
        ["batch", 48, 48, 3],
    )
    assert [each.name for each in session.get_outputs()] == ["logits", "features"]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_any_number_of_pictures_gives_the_networks_logits_and_features(exported, count):
    network, data, _ = exported
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    pixels = pictures(SMALL, count)
    logits, features = session.run(None, {"pixels": pixels})
    scaled = (pixels / 255 - np.array(SMALL.mean)) / np.array(SMALL.deviation)
    with torch.no_grad():
        expected = network.forward_with_features(
            torch.tensor(scaled, dtype=torch.float32).permute(0, 3, 1, 2)
        )
    np.testing.assert_allclose(logits, expected[0].numpy(), atol=1e-3)
    np.testing.assert_allclose(features, expected[1].numpy(), atol=1e-3)


@pytest.mark.parametrize("classes", [2, 4])
def test_network_and_export_agree_on_every_probability(classes):
    candidate = seed_cnn()
    network = trained(candidate, classes)
    found = check_parity(onnx_bytes(network, candidate), network, candidate, pictures(candidate))
    assert 0 <= found < 1e-5


def test_an_export_of_other_weights_is_refused(exported):
    _, data, _ = exported
    other = trained(SMALL)
    with torch.no_grad():
        other.output.bias += 0.01
    with pytest.raises(DataError, match="differs from the trained one"):
        check_parity(data, other, SMALL, pictures(SMALL))


def test_weights_that_are_no_numbers_are_neither_exported_nor_found_equal(tmp_path):
    network = trained(seed_cnn())
    sound = onnx_bytes(network, seed_cnn())
    with torch.no_grad():
        network.output.weight[0, 0] = torch.nan
    with pytest.raises(DataError, match="finite"):
        export_onnx(network, seed_cnn(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="differs"):
        check_parity(sound, network, seed_cnn(), pictures(seed_cnn()))


def test_exporting_twice_gives_the_same_bytes_and_warns_of_nothing(exported):
    network, data, _ = exported
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert onnx_bytes(network, SMALL) == data


@pytest.mark.parametrize("axis", [2, 3])
def test_a_graph_of_two_looks_answers_a_picture_and_its_mirror_image_alike(axis, tmp_path):
    network = trained(SMALL, classes=3)
    network.mirrored_along = axis
    data = export_onnx(network, SMALL, tmp_path / "model.onnx")
    inputs = pictures(SMALL)
    assert check_parity(data, network, SMALL, inputs) < 1e-5
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    mirrored = np.ascontiguousarray(np.flip(inputs, axis - 1))
    answers = [session.run(["logits"], {"pixels": each})[0] for each in (inputs, mirrored)]
    assert np.allclose(*answers, atol=1e-4)
    network.mirrored_along = None
    once = onnxruntime.InferenceSession(
        onnx_bytes(network, SMALL), providers=["CPUExecutionProvider"]
    )
    one, other = (once.run(["logits"], {"pixels": each})[0] for each in (inputs, mirrored))
    assert not np.allclose(one, other, atol=1e-4)
    assert np.allclose(answers[0], (one + other) / 2, atol=1e-4)
