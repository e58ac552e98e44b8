"""The networks: their shapes, their first weights, and the graph that is served."""

import numpy as np
import pytest
import torch
from torch import nn

from mintage.core.errors import ConfigError
from mintage.modalities.image.networks import (
    NAMES,
    Compact,
    Residual,
    SeedCNN,
    ServingGraph,
    build,
    initialise,
    picture_statistics,
)


def side_of(name):
    return 28 if name == "seed-cnn" else 48


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("classes", "logits"), [(2, 1), (5, 5)])
def test_every_network_gives_one_logit_for_two_classes_and_one_each_for_more(name, classes, logits):
    network = build(name, classes, side_of(name)).eval()
    pixels = torch.rand(3, 3, side_of(name), side_of(name))
    with torch.no_grad():
        found, features = network.forward_with_features(pixels)
        assert torch.equal(network(pixels), found)
    assert found.shape == (3, logits)
    assert features.shape[0] == 3
    assert features.shape[1] <= 440
    assert torch.isfinite(features).all()


def test_the_seed_network_is_exactly_the_one_of_the_textbook():
    network = build("seed-cnn", 2, 28)
    shapes = {name: tuple(each.shape) for name, each in network.named_parameters()}
    assert shapes == {
        "convolution.weight": (32, 3, 3, 3),
        "convolution.bias": (32,),
        "hidden.weight": (128, 13 * 13 * 32),
        "hidden.bias": (128,),
        "output.weight": (1, 128),
        "output.bias": (1,),
    }
    # The count that Keras' summary() shows for the same layers.
    assert sum(each.numel() for each in network.parameters()) == 693_377


def test_the_seed_network_computes_what_its_layers_say():
    network = build("seed-cnn", 3, 28)
    initialise(network, "glorot_uniform", 0)
    pixels = torch.rand(2, 3, 28, 28)
    maps = nn.functional.max_pool2d(torch.relu(network.convolution(pixels)), 2)
    flat = nn.Flatten()(maps.permute(0, 2, 3, 1))  # channels last
    dense = nn.Sequential(network.hidden, nn.ReLU(), network.output)
    assert torch.equal(network(pixels), dense(flat))


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("classes", [2, 3])
def test_an_answer_is_the_mean_over_a_picture_and_its_mirror_image(axis, classes):
    network = build("compact", classes, 32).eval()
    pixels = torch.rand(4, 3, 32, 32)
    plain, of_plain = network.forward_with_features(pixels)
    mirrored, of_mirrored = network.forward_with_features(pixels.flip(axis))
    assert not torch.allclose(plain, mirrored)
    network.mirrored_along = axis
    found, features = network.forward_with_features(pixels)
    assert torch.allclose(found, (plain + mirrored) / 2, atol=1e-5)
    assert torch.allclose(network(pixels), found, atol=1e-5)
    own = features.shape[1] - 40  # statistics are the picture's alone
    assert torch.allclose(features[:, :own], ((of_plain + of_mirrored) / 2)[:, :own], atol=1e-4)
    assert torch.allclose(features[:, own:], of_plain[:, own:])
    network.train()
    assert network.looks(pixels) is pixels


def test_compact_takes_pictures_of_any_side_with_the_same_weights():
    network = build("compact", 2, 96).eval()
    for side in (32, 48, 65, 112):
        assert network(torch.rand(1, 3, side, side)).shape == (1, 1)


@pytest.mark.parametrize("scheme", ["glorot_uniform", "he_normal"])
def test_initial_weights_depend_on_the_seed_and_on_nothing_else(scheme):
    def weights(seed):
        network = build("compact", 2, 48)
        initialise(network, scheme, seed)
        return torch.cat([each.flatten() for each in network.parameters()])

    first = weights(7)
    torch.manual_seed(12345)
    assert torch.equal(first, weights(7))
    assert not torch.equal(first, weights(8))


def test_building_and_initialising_leave_the_global_generator_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    initialise(build("seed-cnn", 2, 28), "glorot_uniform", 0)
    assert torch.equal(torch.rand(4), expected)


def test_glorot_weights_stay_within_their_limit_and_fill_it():
    network = SeedCNN(2)
    initialise(network, "glorot_uniform", 0)
    for layer, fans in [
        (network.convolution, 9 * 3 + 9 * 32),
        (network.hidden, 5408 + 128),
        (network.output, 128 + 1),
    ]:
        limit = np.sqrt(6 / fans)
        assert 0.9 * limit < layer.weight.abs().max().item() <= limit
        assert not layer.bias.any()


def test_he_weights_have_the_deviation_of_their_fan_and_residuals_begin_as_identity():
    network = Compact(2)
    initialise(network, "he_normal", 0)
    filters = network.stages[2][-1].body[0].weight
    assert filters.std().item() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)
    residuals = [each for each in network.modules() if isinstance(each, Residual)]
    assert len(residuals) == 4
    for residual in residuals:
        maps = torch.rand(1, residual.last.num_features, 6, 6)
        assert torch.equal(residual(maps), maps)


def test_the_served_graph_scales_pixels_as_training_does():
    network = build("seed-cnn", 2, 28).eval()
    mean, deviation = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    pixels = torch.randint(0, 256, (2, 28, 28, 3), dtype=torch.uint8)
    scaled = (pixels.numpy() / 255 - np.array(mean)) / np.array(deviation)
    expected = network(torch.tensor(scaled, dtype=torch.float32).permute(0, 3, 1, 2))
    found, features = ServingGraph(network, mean, deviation)(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert features.shape == (2, 192 + 40)
    expected = picture_statistics(torch.tensor(scaled).permute(0, 3, 1, 2))
    torch.testing.assert_close(features[:, 192:], expected, rtol=1e-4, atol=1e-4)


def test_statistics_of_a_picture_are_those_of_numpy():
    pixels = torch.rand(4, 3, 30, 30)
    found = picture_statistics(pixels).numpy()
    assert found.shape == (4, 40)
    red, green, blue = np.moveaxis(pixels.numpy().reshape(4, 3, 15, 2, 15, 2).mean((3, 5)), 1, 0)
    maps = np.stack([(red + green + blue) / 3, red - blue, green - (red + blue) / 2], 1)
    assert np.allclose(found[:, :3], maps.mean((2, 3)), atol=1e-5)
    assert np.allclose(found[:, 3:6], np.log(maps.var((2, 3)) + 1e-3), atol=1e-4)
    gray = pixels.numpy().mean(1)
    edges = np.abs(np.diff(gray, axis=1))[:, :, :-1] + np.abs(np.diff(gray, axis=2))[:, :-1]
    strength = np.log(edges.mean((1, 2)) + 1e-2)
    assert np.allclose(found[:, 12], strength, atol=1e-5)
    rare = np.log(np.square(edges).mean((1, 2)) + 1e-4) / 2 - strength
    assert np.allclose(found[:, 14], rare, atol=1e-5)


def test_statistics_of_pictures_of_one_colour_are_finite():
    pixels = torch.zeros(2, 3, 28, 28)
    pixels[1] = 4.2
    assert torch.isfinite(picture_statistics(pixels)).all()


@pytest.mark.parametrize(
    ("name", "side", "hint"),
    [("resnet", 96, "compact"), ("seed-cnn", 96, "28"), ("compact", 8, "32")],
)
def test_what_cannot_be_built_is_refused_with_what_can(name, side, hint):
    with pytest.raises(ConfigError, match=hint):
        build(name, 2, side)


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(ConfigError, match="he_normal"):
        initialise(SeedCNN(2), "zeros", 0)


def test_a_side_that_would_be_halved_away_is_refused() -> None:
    with pytest.raises(ConfigError, match="31 pixels is too small"):
        build("compact", 2, 31)
    least = build("compact", 2, Compact.LEAST)
    least.eval()
    assert least(torch.rand(1, 3, Compact.LEAST, Compact.LEAST)).shape == (1, 1)
