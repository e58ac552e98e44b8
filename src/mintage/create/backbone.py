"""A pretrained backbone made ready to learn: checked, and with a head that fits the classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.create.export import onnx_bytes
from mintage.create.frozen import fit_head
from mintage.create.losses import balanced_weights
from mintage.create.recipe import Candidate
from mintage.modalities.image import pretrained
from mintage.modalities.image.pretrained import PretrainedNetwork


def with_head(
    candidate: Candidate,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    *,
    classes: int,
    seed: int,
    threads: int,
    seconds: float | None,
    cache: Path,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> PretrainedNetwork:
    """The candidate's network, its head fitted to what the frozen backbone makes of the pictures.

    ``images`` are ``uint8[N, S, S, 3]``, ``labels`` ``int64[N]``; ``seconds`` is what it may take.

    Raises:
        ConfigError: the weights are not those that the recipe was made for, or cannot be exported.
    """
    name = str(candidate.weights)
    network = pretrained.build(name, classes, candidate.dropout)
    digest = network.pretrained.digest
    if candidate.weights_sha256 not in {None, digest}:
        raise ConfigError(
            _(
                "The weights in {name} are not those of the recipe: their SHA-256 is {found}, the "
                "recipe's {wanted}.",
                name=name,
                found=digest,
                wanted=candidate.weights_sha256,
            ),
            remedy=_("Get those weights again, or change weights_sha256 in the recipe."),
        )
    _check_export(network, candidate)
    weights = None
    if candidate.class_weights == "balanced":
        weights = balanced_weights(torch.from_numpy(labels[train]), classes).numpy()
    found = fit_head(
        network,
        candidate,
        images,
        labels,
        train,
        validation,
        seed=seed,
        threads=threads,
        seconds=seconds,
        progress=lambda share: progress.advance(share, _("what the backbone makes of pictures")),
        should_stop=should_stop,
        class_weights=weights,
        cache=cache,
    )
    if found.note is not None:
        progress.say(found.note)
    progress.say(
        _(
            "The frozen backbone with a new head: {accuracy:.1%} right on validation data.",
            accuracy=found.validation_accuracy,
        )
    )
    return network


def _check_export(network: PretrainedNetwork, candidate: Candidate) -> None:
    """Refuse before training what could not be delivered after it."""
    try:
        onnx_bytes(network, candidate)
    except Exception as error:  # the exporter's errors have no common parent
        raise ConfigError(
            _(
                "The architecture of {name} cannot be exported: {reason}",
                name=str(candidate.weights),
                reason=str(error).strip().splitlines()[0] if str(error).strip() else repr(error),
            ),
            remedy=_("Choose weights of another architecture, such as a ResNet."),
        ) from error
