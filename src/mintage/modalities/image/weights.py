"""Pretrained weights: what a checkpoint is, what pictures it takes, and which it is exactly.

Nothing here runs what a stranger wrote: weights are safetensors alone, never pickle, and code that
comes with a checkpoint is never loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.modalities.checkpoint import (
    Checkpoint,
    document,
    found,
    ignore,
    origin_of,
    unusable,
)
from mintage.modalities.hub import transformers

Channels = tuple[float, float, float]

_IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SMALLEST, _USUAL, _LARGEST = 28, 224, 1024


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint that a network can begin with, as ``weights`` names it.

    ``mean`` and ``deviation`` scale pixels per channel, on a scale from 0 to 1. ``digest`` is the
    SHA-256 of the safetensors file, as ``sha256sum`` prints it; of several files that of those
    lines. ``revision`` is the hub's commit where it is known. ``licence`` is what the checkpoint's
    README says of it, None where it says nothing.
    """

    weights: str
    architecture: str
    input_size: int
    mean: Channels
    deviation: Channels
    blue_first: bool
    parameters: int
    digest: str
    revision: str | None
    licence: str | None


def describe(weights: str, *, say: Callable[[str], None] = ignore) -> Pretrained:
    """What is known of ``weights``, a folder or a name on the hub, before they are loaded.

    ``say`` is told before a download.

    Raises:
        ConfigError: no such weights, or weights that cannot be used, with the reason.
        DependencyDown: the hub does not answer, or transformers is not installed.
    """
    return described(weights, opened(weights, say=say))


def opened(weights: str, *, say: Callable[[str], None] = ignore) -> Checkpoint:
    """Find the weights and read their configuration; errors as those of ``describe``."""
    checkpoint = found(weights, say=say)
    if not kinds(transformers(), checkpoint.configuration):
        raise ConfigError(
            _(
                "{weights} is a {architecture} network, which does not take pictures.",
                weights=weights,
                architecture=checkpoint.architecture,
            ),
            remedy=_(
                "Choose a network for image classification, such as microsoft/resnet-18 or "
                "facebook/dinov2-small."
            ),
        )
    return checkpoint


def kinds(library: Any, configuration: Any) -> tuple[Any, ...]:
    """The classes for a configuration: one with a classifying head, one that gives maps, or both.

    They are those behind AutoModelForImageClassification and AutoBackbone, which are not asked
    themselves: AutoBackbone asks the hub whether it knows the folder's name (transformers 5.24).
    """
    mappings = (library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, library.MODEL_FOR_BACKBONE_MAPPING)
    found = [each[type(configuration)] for each in mappings if type(configuration) in each]
    return tuple(each[0] if isinstance(each, tuple) else each for each in found)


def described(weights: str, checkpoint: Checkpoint) -> Pretrained:
    """What the files of a checkpoint say; errors as those of ``describe``."""
    processor = _processor(weights, checkpoint.folder)
    mean, deviation = _scaling(weights, processor)
    origin = origin_of(checkpoint)
    return Pretrained(
        weights=weights,
        architecture=checkpoint.architecture,
        input_size=_input_size(weights, processor, checkpoint.configuration),
        mean=mean,
        deviation=deviation,
        blue_first=bool(processor.get("do_flip_channel_order", False)),
        parameters=origin.parameters,
        digest=origin.digest,
        revision=origin.revision,
        licence=origin.licence,
    )


def _processor(weights: str, folder: Path) -> Mapping[str, Any]:
    """What the checkpoint says of pictures; empty where it says nothing."""
    if (folder / "preprocessor_config.json").is_file():
        return document(weights, folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        inside = document(weights, folder / "processor_config.json").get("image_processor")
        return inside if isinstance(inside, dict) else {}
    return {}


def _input_size(weights: str, processor: Mapping[str, Any], configuration: Any) -> int:
    """The side of the pictures, after the crop where there is one; 224 where nobody says."""
    crops = processor.get("do_center_crop", "crop_size" in processor)
    said = (processor.get("crop_size") if crops else None) or processor.get("size")
    seeing = getattr(configuration, "vision_config", configuration)  # of those that also read
    side = _side(said) or _side(getattr(seeing, "image_size", None)) or _USUAL
    if not _SMALLEST <= side <= _LARGEST:
        raise ConfigError(
            _(
                "{weights} takes pictures of side {side}; {least} to {most} are possible.",
                weights=weights,
                side=side,
                least=_SMALLEST,
                most=_LARGEST,
            ),
            remedy=_("Choose other weights."),
        )
    return side


def _side(said: object) -> int | None:
    """The one number in ``224``, ``[224, 224]``, ``{"height": …}`` or ``{"shortest_edge": …}``."""
    if isinstance(said, Mapping):
        said = list(said.values())
    if isinstance(said, Sequence) and not isinstance(said, str):
        said = min((each for each in said if isinstance(each, int)), default=None)
    return said if isinstance(said, int) else None


def _scaling(weights: str, processor: Mapping[str, Any]) -> tuple[Channels, Channels]:
    """Mean and deviation of pixels from 0 to 1; ImageNet's where the checkpoint says nothing.

    Of a pixel p from 0 to 255 their processors make (p x factor - offset - mean) / deviation.
    """
    if not processor:
        return _IMAGENET
    scale = 255 * processor.get("rescale_factor", 1 / 255) if _does(processor, "rescale") else 255
    offset = 1.0 if processor.get("rescale_offset") else 0.0
    normalises = _does(processor, "normalize")
    mean = processor.get("image_mean", _IMAGENET[0]) if normalises else (0, 0, 0)
    deviation = processor.get("image_std", _IMAGENET[1]) if normalises else (1, 1, 1)
    try:
        red, green, blue = ((float(each) + offset) / scale for each in mean)
        of_red, of_green, of_blue = (float(each) / scale for each in deviation)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise unusable(weights, error) from error
    if not all(map(math.isfinite, (red, green, blue))) or min(of_red, of_green, of_blue) <= 0:
        raise unusable(weights, ValueError(f"image_mean {mean}, image_std {deviation}"))
    return (red, green, blue), (of_red, of_green, of_blue)


def _does(processor: Mapping[str, Any], what: str) -> bool:
    return bool(processor.get(f"do_{what}", True))
