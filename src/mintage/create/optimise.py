"""Optimisers and learning rates, by the names that recipes use.

Adam and SGD are PyTorch's own functions. Its classes load its compiler when the first of them is
made, 1.1 to 1.4 s on 2 Xeon cores of a training that may have 20 s, for nothing that is used here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from mintage.create.recipe import Candidate
from mintage.modalities.image.networks import PictureNetwork

# One cycle: up over this share of the training, then straight down to zero (Smith 2018).
WARM_UP = 0.2
# Beside Muon, whatever is no filter (biases, scales, the stem, the head) is AdamW's at this rate.
_ADAM_BESIDE_MUON = 3e-3
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def optimiser_for(candidate: Candidate, network: PictureNetwork) -> Optimiser:
    """Adam (with decoupled weight decay), SGD with Nesterov momentum, or Muon with AdamW beside.

    Weight decay and L1 hold for matrices and filters alone: pulling the scales and biases of
    batch normalisation to zero helps nothing. Beside Muon, weight decay holds for the filters that
    it trains: neither for the first ones, on the colours, nor for the last layer.
    """
    if candidate.optimiser == "muon":
        return _muon(candidate, network)
    groups = []
    for parameters, share in network.rate_groups(candidate.backbone_rate):
        rate, decay = candidate.learning_rate * share, candidate.weight_decay
        weights = [each for each in parameters if each.ndim > 1 and decay]
        rest = [each for each in parameters if each.ndim <= 1 or not decay]
        groups.append({"params": weights, "lr": rate, "weight_decay": decay})
        groups.append({"params": rest, "lr": rate, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    if candidate.optimiser == "sgd":
        return Optimiser(SGD(groups), l1=candidate.l1)
    return Optimiser(AdamW(groups), l1=candidate.l1)


def _muon(candidate: Candidate, network: PictureNetwork) -> Optimiser:
    filters, others = [], []
    for parameters, share in network.rate_groups(candidate.backbone_rate):
        banks = [each for each in parameters if each.ndim == 4 and each.shape[1] > 3]
        rest = [each for each in parameters if each.ndim != 4 or each.shape[1] <= 3]
        rate, decay = candidate.learning_rate * share, candidate.weight_decay
        filters.append({"params": banks, "lr": rate, "weight_decay": decay})
        others.append({"params": rest, "lr": _ADAM_BESIDE_MUON * share, "weight_decay": 0.0})
    return Optimiser(Muon(filters), AdamW(others), l1=candidate.l1)


class Optimiser:
    """One or more optimisers on one schedule, each from its own peak rate.

    ``l1`` is decoupled as weight decay is: after each step every weight comes nearer to zero by
    rate x l1, and stops there (the proximal step of ISTA; Daubechies et al. 2004).
    """

    def __init__(self, *parts: Steps, l1: float = 0.0) -> None:
        self.param_groups = [group for part in parts for group in part.param_groups]
        self._peaks = [group["lr"] for group in self.param_groups]
        self._parts = parts
        self._l1 = l1
        self._members = [
            (part, parameter)
            for part in parts
            for group in part.param_groups
            for parameter in group["params"]
        ]

    def step(self, share: float) -> None:
        """Change the weights at ``share`` of the peak rate, and forget the gradients."""
        for group, peak in zip(self.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share
        for part in self._parts:
            part.step()
        if self._l1:
            self._shrink()

    @torch.no_grad()
    def _shrink(self) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim > 1:
                    weight.copy_(torch.nn.functional.softshrink(weight, group["lr"] * self._l1))

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on but the weights, by name."""
        return {
            f"{number}.{name}": value
            for number, (part, parameter) in enumerate(self._members)
            for name, value in part.state[parameter].items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` gave, for the same parameters."""
        for key, value in state.items():
            number, __, name = key.partition(".")
            part, parameter = self._members[int(number)]
            # Fused optimisers go through memory side by side: laid out as the weights are, and
            # where they are.
            kept = torch.empty_like(parameter) if value.ndim else parameter.new_empty(())
            part.state[parameter][name] = kept.copy_(value)


class Steps(ABC):
    """One way of taking steps; ``groups`` have ``params``, ``lr`` and ``weight_decay`` each."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        self.param_groups = list(groups)
        self.state: dict[Tensor, dict[str, Tensor]] = {
            each: {} for group in self.param_groups for each in group["params"]
        }

    @torch.no_grad()
    def step(self) -> None:
        """Change every weight that has a gradient, and forget the gradients."""
        for group in self.param_groups:
            weights = [each for each in group["params"] if each.grad is not None]
            if weights:
                self.change(weights, group["lr"], group["weight_decay"])
            for weight in weights:
                weight.grad = None

    @abstractmethod
    def change(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """Change these weights by their gradients."""

    def memory(self, name: str, weights: list[Tensor], *, shaped: bool = True) -> list[Tensor]:
        """What is remembered of each weight under a name; zeros, at first."""
        found = []
        for weight in weights:
            if name not in self.state[weight]:
                new = torch.zeros_like(weight) if shaped else torch.zeros((), device=weight.device)
                self.state[weight][name] = new
            found.append(self.state[weight][name])
        return found


def gradients(weights: list[Tensor]) -> list[Tensor]:
    """Of weights that have one each."""
    return [weight.grad for weight in weights if weight.grad is not None]


class AdamW(Steps):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), in one pass over memory.

    Keras' epsilon is 1e-7, PyTorch's 1e-8: no difference here.
    """

    def change(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """One step for all of them."""
        adamw(
            weights,
            gradients(weights),
            self.memory("mean", weights),
            self.memory("square", weights),
            [],
            self.memory("steps", weights, shaped=False),
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.99,
            lr=rate,
            weight_decay=decay,
            eps=1e-8,
            maximize=False,
        )


class SGD(Steps):
    """Stochastic gradient descent with Nesterov's momentum of 0.9.

    Weight decay is decoupled here too (SGDW; Loshchilov and Hutter 2019): through the gradient,
    momentum would make it ten times as strong.
    """

    def change(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """One step for all of them."""
        remembered: list[Tensor | None] = list(self.memory("momentum", weights))
        if decay:
            torch._foreach_mul_(weights, 1 - rate * decay)
        sgd(
            weights,
            gradients(weights),
            remembered,
            weight_decay=0.0,
            momentum=0.9,
            lr=rate,
            dampening=0.0,
            nesterov=True,
            maximize=False,
        )


class Muon(Steps):
    """Momentum made orthogonal before each step (Jordan et al. 2024), for convolution filters.

    A filter bank is taken as a matrix [out, in × height × width]; three Newton-Schulz steps in
    bfloat16 bring its singular values near 1, so that rare directions are learned as fast as
    common ones. In the same two minutes on 2 cores, 4,000 photographs, it ended at 91.3 to
    92.5 % on held-out ones (n = 3), AdamW at 88.7 and 90.3 %.
    """

    MOMENTUM = 0.9

    def change(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """One step for every filter bank."""
        remembered = self.memory("momentum", weights)
        for weight, gradient, momentum in zip(weights, gradients(weights), remembered, strict=True):
            momentum.mul_(self.MOMENTUM).add_(gradient)
            ahead = gradient.add(momentum, alpha=self.MOMENTUM)  # Nesterov
            step = orthogonal(ahead.reshape(len(weight), -1))
            tall = max(1.0, step.shape[0] / step.shape[1]) ** 0.5
            weight.mul_(1 - rate * decay)
            weight.add_(step.reshape(weight.shape), alpha=-rate * tall)


def orthogonal(matrix: Tensor, steps: int = 3) -> Tensor:
    """``float32[R, C]`` with the same singular vectors and singular values near 1.

    Quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024. Each step
    multiplies by a polynomial of X Xᵀ, and all of these commute, so that the iteration runs on the
    small R × R matrices alone: two products of the size of X in place of six, a quarter less time
    for the filters of compact on 2 EPYC cores.
    """
    a, b, c = _NEWTON_SCHULZ
    scaled = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    flat = scaled.shape[0] > scaled.shape[1]
    scaled = scaled.T if flat else scaled
    square = (scaled @ scaled.T).float()
    total = torch.eye(len(square), device=square.device)
    for step in range(steps):
        factor = torch.addmm(square, square, square, beta=b, alpha=c)
        factor.diagonal().add_(a)
        total = factor if step == 0 else factor @ total
        if step < steps - 1:
            square = factor @ square @ factor
    found: Tensor = total.bfloat16() @ scaled
    return (found.T if flat else found).float()


def rate_share(candidate: Candidate, done: float) -> float:
    """The share of the peak learning rate when ``done`` of the training is over, from 0 to 1."""
    if candidate.schedule == "constant":
        return 1.0
    # Never quite zero, so that the first and last steps are not wasted.
    part = done / WARM_UP if done < WARM_UP else (1 - done) / (1 - WARM_UP)
    return max(part, 1e-3)
