"""What training and evaluating share: pixels as the network wants them, logits and features."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mintage.core.machine import describe
from mintage.create.losses import predicted_classes
from mintage.create.recipe import Candidate
from mintage.modalities.image.networks import PictureNetwork

Pixels = npt.NDArray[np.uint8]  # [N, S, S, 3]
Labels = npt.NDArray[np.int64]  # [N]
Index = npt.NDArray[np.int64]

EVALUATION_BATCH = 128


def device() -> torch.device:
    """Where networks are trained: an accelerator that CUDA drives, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """What trains here, in a few words, for a report."""
    if device().type == "cpu":
        return describe()
    return f"{describe()}, {torch.cuda.get_device_name()}"


def gather(images: Pixels, index: Index, where: torch.device) -> Tensor:
    """``float[N, 3, S, S]`` from 0 to 255; only bytes travel to an accelerator."""
    chosen = np.ascontiguousarray(np.asarray(images)[index])  # as it is, memmap's own takes longer
    return torch.from_numpy(chosen).to(where, non_blocking=True).permute(0, 3, 1, 2).float()


def scaled(pixels: Tensor, candidate: Candidate) -> Tensor:
    """Pixels from 0 to 255 as the network wants them, laid out for fast convolutions.

    Row by row as they lie in memory: with three values for the innermost loop it takes eight times
    as long.
    """
    count, channels, height, width = pixels.shape
    laid = pixels.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    offset, factor = _scale(candidate.mean, candidate.deviation, width, pixels.device)
    rows = torch.addcmul(offset, laid.reshape(count * height, width * channels), factor)
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


@cache
def _scale(
    mean: tuple[float, ...], deviation: tuple[float, ...], width: int, where: torch.device
) -> tuple[Tensor, Tensor]:
    """What is added and what is multiplied by, ``float[1, width x 3]`` each."""
    means, deviations = (
        torch.tensor(values, device=where).repeat(width)[None] for values in (mean, deviation)
    )
    return -means / deviations, 1 / (255 * deviations)


def precision(name: str) -> torch.autocast:
    """The context in which networks compute in ``float32`` or ``bfloat16``."""
    return torch.autocast(device().type, torch.bfloat16, enabled=name == "bfloat16")


@torch.no_grad()
def answers(
    network: PictureNetwork,
    candidate: Candidate,
    images: Pixels,
    index: Index,
    *,
    computed_in: str = "float32",
    flip: tuple[int, ...] = (),
    side: int | None = None,
) -> Tensor:
    """Logits ``float32[M, 1 or k]`` of ``images[index]``.

    ``flip`` are axes of ``[N, 3, S, S]`` along which pictures are mirrored, ``side`` is what they
    are made smaller to; by default they are taken as they are.
    """
    found = []
    for batch in _batches(network, images, index):
        pixels = batch
        if side is not None and side != pixels.shape[-1]:
            pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        pixels = scaled(pixels.flip(flip) if flip else pixels, candidate)
        with precision(computed_in):
            found.append(network(pixels))
    return torch.cat(found).cpu()


@torch.no_grad()
def evaluate(
    network: PictureNetwork,
    candidate: Candidate,
    images: Pixels,
    index: Index,
    *,
    computed_in: str = "float32",
) -> tuple[Tensor, Tensor]:
    """Logits ``float32[M, 1 or k]`` and features ``float32[M, D]`` of ``images[index]``."""
    found = []
    for batch in _batches(network, images, index):
        with precision(computed_in):
            found.append(network.forward_with_features(scaled(batch, candidate)))
    logits, features = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return logits, features


def _batches(network: PictureNetwork, images: Pixels, index: Index) -> Iterator[Tensor]:
    """Pixels from 0 to 255, for a network that is about to answer."""
    network.eval()
    where = next(network.parameters()).device
    # What is looked at twice takes twice the memory.
    size = EVALUATION_BATCH if network.mirrored_along is None else EVALUATION_BATCH // 2
    for start in range(0, len(index), size):
        yield gather(images, index[start : start + size], where)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of rows whose most probable class is the label."""
    return float((predicted_classes(logits) == labels).float().mean())


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """The mean over the classes of the share of each that is right."""
    right = (predicted_classes(logits) == labels).double()
    counts = torch.bincount(labels).double()
    hits = torch.bincount(labels, weights=right)
    present = counts > 0
    return float((hits[present] / counts[present]).mean())
