"""The states of PyTorch's own generators, as a checkpoint keeps them: dropout draws from them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_CPU, _CUDA = "dropout", "dropout.cuda"


def states() -> dict[str, Tensor]:
    """Those of the processor and, where there is one, of the GPU: uint8[N] each, by name."""
    held = {_CPU: torch.get_rng_state()}
    return held | {_CUDA: torch.cuda.get_rng_state()} if torch.cuda.is_available() else held


def restore(held: Mapping[str, Tensor]) -> None:
    """Go on where ``states`` was asked; a run that moved to a GPU begins that one's anew.

    Raises:
        KeyError: the processor's is not there.
        RuntimeError: one is damaged.
    """
    torch.set_rng_state(held[_CPU])
    if _CUDA in held and torch.cuda.is_available():
        torch.cuda.set_rng_state(held[_CUDA])
