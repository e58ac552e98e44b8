"""Pixels as networks want them, and answers with and without what nobody reads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mintage.create.design import compact, seed_cnn
from mintage.create.forward import EVALUATION_BATCH, answers, evaluate, gather, scaled
from mintage.modalities.image.networks import build, initialise

CANDIDATE = replace(seed_cnn(), mean=(0.5, 0.25, 0.125), deviation=(0.25, 0.5, 1.0))


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 5, 7), (4, 3, 8, 6), (3, 3, 9, 9)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pixels_are_scaled_channel_by_channel_and_lie_channels_last(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, shape, generator=chance).float().contiguous(memory_format=layout)
    mean, deviation = (
        torch.tensor(each).view(1, 3, 1, 1) for each in (CANDIDATE.mean, CANDIDATE.deviation)
    )
    found = scaled(pixels, CANDIDATE)
    torch.testing.assert_close(found, (pixels / 255 - mean) / deviation)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_what_is_gathered_is_what_was_asked_for_of_a_view_as_well() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    for view in (images, images[:, 1:-1, 1:-1], images[:, ::2, ::2]):
        index = np.array([7, 0, 7])
        found = gather(view, index, torch.device("cpu"))
        assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), view[index])


@pytest.mark.parametrize("axis", [None, 3])
def test_answers_are_those_that_come_with_features(axis: int | None) -> None:
    candidate = replace(compact(examples=400, typical_side=48), input_size=48, training_sides=())
    network = build("compact", 3, 48)
    initialise(network, "he_normal", 0)
    network.mirrored_along = axis
    count = EVALUATION_BATCH + 3
    images = np.random.default_rng(1).integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    everything = np.arange(count)
    logits, features = evaluate(network, candidate, images, everything)
    alone = answers(network, candidate, images, everything)
    torch.testing.assert_close(alone, logits, rtol=1e-4, atol=1e-5)
    assert len(features) == count
    mirrored = answers(network, candidate, images[:, :, ::-1], everything, flip=(3,))
    torch.testing.assert_close(mirrored, alone, rtol=1e-4, atol=1e-5)
    smaller = answers(network, candidate, images, everything, side=32)
    assert smaller.shape == alone.shape
    assert not torch.allclose(smaller, alone)
