"""Weight averaging: what a running mean of the weights answers better than the last of them."""

from __future__ import annotations

import copy

import torch

from mintage.modalities.image.networks import PictureNetwork


class Average:
    """The exponential moving average of a network's weights and statistics.

    ``keep`` is what it keeps of itself at each step, less while there are few steps, so that the
    first weights, which mean nothing, are soon forgotten (Polyak and Juditsky 1992; Tarvainen
    and Valpola 2017).
    """

    def __init__(self, network: PictureNetwork, keep: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.keep, self.steps = keep, 0

    @torch.no_grad()
    def update(self, network: PictureNetwork) -> None:
        """Take one step's weights in."""
        self.steps += 1
        keep = min(self.keep, (1 + self.steps) / (10 + self.steps))
        mine, theirs = self.network.state_dict(), network.state_dict()
        numbers = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [mine[name] for name in numbers], [theirs[name] for name in numbers], 1 - keep
        )
        for name in mine.keys() - set(numbers):  # how many batches were counted
            mine[name].copy_(theirs[name])
