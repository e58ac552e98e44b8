"""What training makes small: losses over logits, averaged over the batch.

Two classes have one logit (sigmoid), more have one each (softmax); ``logits`` is
``float[N, 1]`` or ``float[N, k]`` and ``labels`` is ``int64[N]`` everywhere here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from mintage.core.errors import ConfigError
from mintage.core.messages import _

Each = Callable[[Tensor, Tensor, float], Tensor]


def probabilities(logits: Tensor) -> Tensor:
    """``float[N, k]`` that sum to one; one logit becomes the two columns ``1 - p`` and ``p``."""
    if logits.shape[1] == 1:
        second = torch.sigmoid(logits)
        return torch.cat([1 - second, second], dim=1)
    return torch.softmax(logits, dim=1)


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """``float[N]``: -sum y* log p, where y* is smoothed towards the uniform distribution."""
    if logits.shape[1] == 1:
        target = labels.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
    return functional.cross_entropy(
        logits, labels, label_smoothing=label_smoothing, reduction="none"
    )


def squared_error(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """``float[N]``: ½ Σ (y - y*)² on the probabilities y, summed over the outputs.

    One logit is one output, as in the textbook's dense layer y = σ(Wx + b).
    """
    if logits.shape[1] == 1:
        output = torch.sigmoid(logits)
        target = labels.to(output.dtype)[:, None]
    else:
        output = torch.softmax(logits, dim=1)
        target = functional.one_hot(labels, logits.shape[1]).to(output.dtype)
    classes = max(logits.shape[1], 2)
    target = target * (1 - label_smoothing) + label_smoothing / classes
    return 0.5 * (output - target).square().sum(dim=1)


_LOSSES: dict[str, Each] = {"cross_entropy": cross_entropy, "squared_error": squared_error}
NAMES = tuple(_LOSSES)


class Loss:
    """The mean loss of a batch, each example weighted by its class.

    ``weights`` are ``float[k]``; without them every example counts alike.
    """

    def __init__(
        self, each: Each, label_smoothing: float = 0.0, weights: Tensor | None = None
    ) -> None:
        self.each, self.label_smoothing, self.weights = each, label_smoothing, weights

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """One number."""
        found = self.each(logits, labels, self.label_smoothing)
        if self.weights is not None:
            found = found * self.weights[labels]
        return found.mean()

    def mixed(self, logits: Tensor, labels: Tensor, others: Tensor, share: float) -> Tensor:
        """The loss of pictures that are ``share`` their own label's and else another's."""
        return share * self(logits, labels) + (1 - share) * self(logits, others)


def loss_function(name: str, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
    """The loss that a recipe names.

    Raises:
        ConfigError: no loss has this name.
    """
    if name not in _LOSSES:
        raise ConfigError(
            _("No loss is called {name!r}.", name=name),
            remedy=_("Use {names}.", names=" or ".join(NAMES)),
        )
    return Loss(_LOSSES[name], label_smoothing, weights)


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """``float[k]``: N / (k n) for a class of n examples, so that each class counts alike.

    King and Zeng 2001. The mean over the examples is 1; a class without examples gets 0.
    """
    counts = torch.bincount(labels, minlength=classes).float()
    weights = len(labels) / ((counts > 0).sum() * counts)
    return torch.where(counts > 0, weights, torch.zeros(()))


def predicted_classes(logits: Tensor) -> Tensor:
    """``int64[N]``: the most probable class of each row."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).long()
    return logits.argmax(dim=1)
