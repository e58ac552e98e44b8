"""The losses and their gradients against NumPy, from the formulas by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from mintage.core.errors import ConfigError
from mintage.create.losses import (
    balanced_weights,
    loss_function,
    predicted_classes,
    probabilities,
)
from mintage.modalities.image.networks import SeedCNN, initialise


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def sigma(z):
    return 1 / (1 + np.exp(-z))


def dense_oracle(weights, bias, hidden, target):
    """y = σ(Wh + b), E = ½ Σ (y - y*)²: error, ∇W and ∇b for one example."""
    y = sigma(weights @ hidden + bias)
    delta = (y - target) * y * (1 - y)
    return 0.5 * np.sum((y - target) ** 2), np.outer(delta, hidden), delta


@pytest.mark.parametrize("batch", [1, 5])
def test_the_gradients_of_a_dense_layer_under_squared_error_are_those_of_the_formula(batch):
    chance = np.random.default_rng(3)
    hidden, labels = chance.normal(size=(batch, 7)), chance.integers(0, 2, batch)
    layer = nn.Linear(7, 1)
    weights, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    found = [
        dense_oracle(weights, bias, h, np.array([t])) for h, t in zip(hidden, labels, strict=True)
    ]
    error, grad_w, grad_b = (np.mean([each[k] for each in found], axis=0) for k in range(3))

    loss = loss_function("squared_error")(
        layer(torch.tensor(hidden, dtype=torch.float32)), torch.tensor(labels)
    )
    loss.backward()

    assert loss.item() == pytest.approx(error, abs=1e-6)
    np.testing.assert_allclose(layer.weight.grad.numpy(), grad_w, atol=1e-5)
    np.testing.assert_allclose(layer.bias.grad.numpy(), grad_b, atol=1e-5)


def seed_network_oracle(parameters, maps, label):
    """Back-propagation by hand through the seed network's two dense layers."""
    hidden_w, hidden_b, out_w, out_b = parameters
    before = hidden_w @ maps + hidden_b
    hidden = np.maximum(before, 0)
    error, grad_out_w, delta = dense_oracle(out_w, out_b, hidden, np.array([label]))
    back = (out_w.T @ delta) * (before > 0)
    return error, [np.outer(back, maps), back, grad_out_w, delta]


def test_back_propagation_through_the_seed_network_agrees_with_the_formulas_by_hand():
    network = SeedCNN(2)
    initialise(network, "glorot_uniform", 1)
    pixels, labels = torch.rand(3, 3, 28, 28), torch.tensor([0, 1, 1])
    loss = loss_function("squared_error")(network(pixels), labels)
    loss.backward()

    layers = [
        network.hidden.weight,
        network.hidden.bias,
        network.output.weight,
        network.output.bias,
    ]
    parameters = [each.detach().double().numpy() for each in layers]
    with torch.no_grad():
        maps = nn.functional.max_pool2d(torch.relu(network.convolution(pixels)), 2)
        maps = maps.permute(0, 2, 3, 1).flatten(1)  # channels last
    found = [
        seed_network_oracle(parameters, m.double().numpy(), int(label))
        for m, label in zip(maps, labels, strict=True)
    ]
    assert loss.item() == pytest.approx(np.mean([error for error, _ in found]), abs=1e-6)
    for k, layer in enumerate(layers):
        expected = np.mean([gradients[k] for _, gradients in found], axis=0)
        assert np.abs(expected).max() > 1e-6
        np.testing.assert_allclose(layer.grad.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error"])
def test_the_gradient_of_the_convolution_is_what_finite_differences_find(name):
    network = SeedCNN(2).double()
    initialise(network, "glorot_uniform", 2)
    pixels, labels = torch.rand(2, 3, 28, 28, dtype=torch.float64), torch.tensor([1, 0])
    weight = network.convolution.weight

    def error():
        maps = nn.functional.max_pool2d(torch.relu(network.convolution(pixels)), 2)
        hidden = network.hidden(maps.permute(0, 2, 3, 1).flatten(1))
        return loss_function(name)(network.output(torch.relu(hidden)), labels)

    error().backward()
    for place in [(0, 0, 0, 0), (5, 1, 2, 1), (17, 2, 1, 0), (31, 2, 2, 2)]:
        step = 1e-6
        with torch.no_grad():
            weight[place] += step
            above = error().item()
            weight[place] -= 2 * step
            below = error().item()
            weight[place] += step
        assert weight.grad[place].item() == pytest.approx((above - below) / (2 * step), abs=1e-7)
    assert weight.grad.abs().max() > 1e-5


def test_binary_cross_entropy_is_the_formula_and_smoothing_moves_its_target():
    logits, labels = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([1, 1, 0])
    p = sigma(logits.numpy()[:, 0].astype(np.float64))
    for smoothing in (0.0, 0.2):
        target = labels.numpy() * (1 - smoothing) + smoothing / 2
        expected = -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))
        found = loss_function("cross_entropy", smoothing)(logits, labels)
        assert found.item() == pytest.approx(expected, rel=1e-6)


def test_softmax_cross_entropy_and_squared_error_are_the_formulas_for_three_classes():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.3, 0.2, 0.1]])
    labels = torch.tensor([0, 2])
    z = np.exp(logits.numpy().astype(np.float64))
    p = z / z.sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[labels.numpy()]
    cross, squared = (
        loss_function(name)(logits, labels).item() for name in ("cross_entropy", "squared_error")
    )
    assert cross == pytest.approx(-np.mean(np.log(p[[0, 1], [0, 2]])), rel=1e-6)
    assert squared == pytest.approx(np.mean(0.5 * ((p - one_hot) ** 2).sum(axis=1)), rel=1e-6)


def test_probabilities_sum_to_one_and_their_largest_is_the_predicted_class():
    for logits in (torch.randn(20, 1), torch.randn(20, 4)):
        found = probabilities(logits)
        assert found.shape == (20, max(2, logits.shape[1]))
        torch.testing.assert_close(found.sum(dim=1), torch.ones(20))
        assert torch.equal(found.argmax(dim=1), predicted_classes(logits))


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="squared_error"):
        loss_function("hinge")


def test_balanced_weights_make_every_class_count_alike():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = balanced_weights(labels, 4)
    counts = torch.tensor([6.0, 3.0, 1.0])
    torch.testing.assert_close(weights[:3] * counts, torch.full((3,), 10 / 3))
    assert weights[3] == 0
    assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_weighted_loss_is_the_mean_of_each_examples_loss_times_its_classs_weight(outputs):
    labels = torch.tensor([0, 1, 1, 0, 1])
    logits = torch.randn(5, outputs)
    weights = torch.tensor([0.5, 2.0, 1.0])
    each = [loss_function("cross_entropy")(logits[k : k + 1], labels[k : k + 1]) for k in range(5)]
    expected = sum(weights[label] * loss for label, loss in zip(labels, each, strict=True)) / 5
    found = loss_function("cross_entropy", weights=weights)(logits, labels)
    torch.testing.assert_close(found, expected)


def test_the_loss_of_mixed_pictures_is_that_of_a_target_between_two_labels():
    logits = torch.randn(6, 1)
    labels, others = torch.tensor([0, 1, 0, 1, 0, 1]), torch.tensor([1, 1, 0, 0, 0, 1])
    found = loss_function("cross_entropy").mixed(logits, labels, others, 0.3)
    target = 0.3 * labels + 0.7 * others
    expected = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target)
    torch.testing.assert_close(found, expected)
