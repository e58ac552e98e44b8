"""What training makes small: three losses over logits, averaged over the batch.

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

Loss = Callable[[Tensor, Tensor, float], Tensor]


def probabilities(logits: Tensor) -> Tensor:
    """``float[N, k]`` that sum to one; one logit becomes the two columns ``1 - p`` and ``p``."""
    if logits.shape[1] == 1:
        second = torch.sigmoid(logits)
        return torch.cat([1 - second, second], dim=1)
    return torch.softmax(logits, dim=1)


def binary_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-[y* log p + (1 - y*) log(1 - p)] for one logit, where y* is smoothed towards one half."""
    target = labels.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits[:, 0], target)


def softmax_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-sum y* log p, where y* is smoothed towards the uniform distribution."""
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Binary for one logit, softmax for more."""
    if logits.shape[1] == 1:
        return binary_cross_entropy(logits, labels, label_smoothing)
    return softmax_cross_entropy(logits, labels, label_smoothing)


def squared_error(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """½ Σ (y - y*)² on the probabilities y, summed over the outputs, averaged over the batch.

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
    return 0.5 * (output - target).square().sum(dim=1).mean()


_LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "squared_error": squared_error}
NAMES = tuple(_LOSSES)


def loss_function(name: str) -> Loss:
    """The loss that a recipe names.

    Raises:
        ConfigError: no loss has this name.
    """
    if name not in _LOSSES:
        raise ConfigError(
            _("No loss is called {name!r}.", name=name),
            remedy=_("Use {names}.", names=" or ".join(NAMES)),
        )
    return _LOSSES[name]


def predicted_classes(logits: Tensor) -> Tensor:
    """``int64[N]``: the most probable class of each row."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).long()
    return logits.argmax(dim=1)
