"""The running mean of the weights."""

import numpy as np
import pytest
import torch

from mintage.create.averaging import Average
from mintage.modalities.image.networks import build, initialise


def network(seed):
    made = build("compact", 2, 32, width=0.25)
    initialise(made, "he_normal", seed)
    return made


def test_the_average_is_the_formulas_and_follows_statistics_too():
    learning = network(0)
    average = Average(learning, 0.9)
    name = "stages.0.last.running_mean"
    expected = {key: value.clone().numpy() for key, value in learning.state_dict().items()}
    for step in range(1, 40):
        initialise(learning, "he_normal", step)
        learning.get_buffer(name).fill_(step)
        average.update(learning)
        keep = min(0.9, (1 + step) / (10 + step))
        for key, value in learning.state_dict().items():
            if value.is_floating_point():
                expected[key] = keep * expected[key] + (1 - keep) * value.numpy()
    found = average.network.state_dict()
    for key in ("stem.0.weight", "output.bias", name):
        np.testing.assert_allclose(found[key].numpy(), expected[key], rtol=1e-4, atol=1e-5)


def test_averaging_leaves_the_network_that_learns_alone():
    learning = network(0)
    before = {key: value.clone() for key, value in learning.state_dict().items()}
    average = Average(learning, 0.5)
    average.update(network(1))
    assert all(torch.equal(value, before[key]) for key, value in learning.state_dict().items())


def test_weights_that_do_not_change_are_their_own_average():
    learning = network(3)
    average = Average(learning, 0.99)
    for _ in range(5):
        average.update(learning)
    pixels = torch.rand(4, 3, 32, 32)
    learning.eval(), average.network.eval()
    assert average.network(pixels).detach().numpy() == pytest.approx(
        learning(pixels).detach().numpy(), abs=1e-5
    )
