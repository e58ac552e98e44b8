"""Optimisers and learning rates, by the names that recipes use."""

from __future__ import annotations

import torch
from torch import nn

from mintage.create.design import Candidate

# One cycle: up over this share of the training, then straight down to zero (Smith 2018).
WARM_UP = 0.2


def optimiser_for(candidate: Candidate, network: nn.Module) -> torch.optim.Optimizer:
    """Adam (with decoupled weight decay) or SGD with Nesterov momentum.

    Weight decay holds for matrices and filters alone: pulling the scales and biases of batch
    normalisation to zero helps nothing.
    """
    parameters = list(network.parameters())
    groups = [
        {
            "params": [each for each in parameters if each.ndim > 1],
            "weight_decay": candidate.weight_decay,
        },
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if candidate.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=candidate.learning_rate, momentum=0.9, nesterov=True)
    # Keras' epsilon is 1e-7, PyTorch's 1e-8: no difference here.
    return torch.optim.AdamW(groups, lr=candidate.learning_rate, betas=(0.9, 0.99), fused=True)


def learning_rate(candidate: Candidate, done: float) -> float:
    """The rate when ``done`` of the training is over, from 0 to 1."""
    if candidate.schedule == "constant":
        return candidate.learning_rate
    # Never quite zero, so that the first and last steps are not wasted.
    part = done / WARM_UP if done < WARM_UP else (1 - done) / (1 - WARM_UP)
    return candidate.learning_rate * max(part, 1e-3)
