"""What training and evaluating share: pixels as the network wants them, logits and features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

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


def gather(images: Pixels, index: Index, where: torch.device) -> Tensor:
    """``float[N, 3, S, S]`` from 0 to 255; only bytes travel to an accelerator."""
    chosen = torch.from_numpy(np.ascontiguousarray(images[index])).to(where, non_blocking=True)
    return chosen.permute(0, 3, 1, 2).float()


def scaled(pixels: Tensor, candidate: Candidate) -> Tensor:
    """Pixels from 0 to 255 as the network wants them, laid out for fast convolutions."""
    mean, deviation = (
        torch.tensor(values, device=pixels.device).view(1, 3, 1, 1)
        for values in (candidate.mean, candidate.deviation)
    )
    found = torch.addcmul(-mean / deviation, pixels, 1 / (255 * deviation))
    return found.contiguous(memory_format=torch.channels_last)


def precision(name: str) -> torch.autocast:
    """The context in which networks compute in ``float32`` or ``bfloat16``."""
    return torch.autocast(device().type, torch.bfloat16, enabled=name == "bfloat16")


@torch.no_grad()
def evaluate(
    network: PictureNetwork,
    candidate: Candidate,
    images: Pixels,
    index: Index,
    *,
    batch: int = EVALUATION_BATCH,
    computed_in: str = "float32",
    flip: tuple[int, ...] = (),
    side: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits ``float32[M, 1 or k]`` and features ``float32[M, D]`` of ``images[index]``.

    ``flip`` are axes of ``[N, 3, S, S]`` along which pictures are mirrored, ``side`` is what they
    are made smaller to; by default they are taken as they are.
    """
    network.eval()
    where = next(network.parameters()).device
    batch = batch if network.mirrored_along is None else max(1, batch // 2)  # each is seen twice
    found = []
    for start in range(0, len(index), batch):
        pixels = gather(images, index[start : start + batch], where)
        if side is not None and side != pixels.shape[-1]:
            pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        pixels = scaled(pixels.flip(flip) if flip else pixels, candidate)
        with precision(computed_in):
            found.append(network.forward_with_features(pixels))
    logits, features = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return logits, features


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
