"""What training and evaluating share: pixels as the network wants them, logits and features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mintage.create.design import Candidate
from mintage.create.losses import predicted_classes
from mintage.modalities.image.networks import PictureNetwork

Pixels = npt.NDArray[np.uint8]  # [N, S, S, 3]
Labels = npt.NDArray[np.int64]  # [N]
Index = npt.NDArray[np.int64]

EVALUATION_BATCH = 128


def gather(images: Pixels, index: Index) -> Tensor:
    """``float[N, 3, S, S]`` from 0 to 255."""
    chosen = torch.from_numpy(np.ascontiguousarray(images[index]))
    return chosen.permute(0, 3, 1, 2).float()


def scaled(pixels: Tensor, candidate: Candidate) -> Tensor:
    """Pixels from 0 to 255 as the network wants them, laid out for fast convolutions."""
    mean = 255 * torch.tensor(candidate.mean).view(1, 3, 1, 1)
    deviation = 255 * torch.tensor(candidate.deviation).view(1, 3, 1, 1)
    return ((pixels - mean) / deviation).contiguous(memory_format=torch.channels_last)


def precision(name: str) -> torch.autocast:
    """The context in which networks compute in ``float32`` or ``bfloat16``."""
    return torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16")


@torch.no_grad()
def evaluate(
    network: PictureNetwork,
    candidate: Candidate,
    images: Pixels,
    index: Index,
    *,
    batch: int = EVALUATION_BATCH,
    computed_in: str = "float32",
) -> tuple[Tensor, Tensor]:
    """Logits ``float32[M, 1 or k]`` and features ``float32[M, D]`` of ``images[index]``."""
    network.eval()
    found = []
    for start in range(0, len(index), batch):
        pixels = scaled(gather(images, index[start : start + batch]), candidate)
        with precision(computed_in):
            found.append(network.forward_with_features(pixels))
    logits, features = (torch.cat(parts) for parts in zip(*found, strict=True))
    return logits, features


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of rows whose most probable class is the label."""
    return float((predicted_classes(logits) == labels).float().mean())
