"""Pretrained weights: what a checkpoint is, what pictures it takes, and which it is exactly.

Nothing here runs what a stranger wrote: weights are safetensors alone, never pickle, and code that
comes with a checkpoint is never loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.modalities.image.hub import INDEX, SINGLE, folder_of, transformers

Channels = tuple[float, float, float]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.pkl")
_IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SMALLEST, _USUAL, _LARGEST = 28, 224, 1024
_SHA256 = re.compile("[0-9a-f]{64}")

# What transformers raises for a checkpoint that is not one: its own errors and those of what it
# calls change from release to release, these are their bases.
UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    ImportError,
    LookupError,
    TypeError,
    AttributeError,
    SafetensorError,
)


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


@dataclass(frozen=True)
class Checkpoint:
    """The folder that weights were found in, and transformers' configuration for them."""

    folder: Path
    files: tuple[Path, ...]
    configuration: Any


def _ignore(__: str) -> None:
    """Whoever listens to nothing."""


def describe(weights: str, *, say: Callable[[str], None] = _ignore) -> Pretrained:
    """What is known of ``weights``, a folder or a name on the hub, before they are loaded.

    ``say`` is told before a download.

    Raises:
        ConfigError: no such weights, or weights that cannot be used, with the reason.
        DependencyDown: the hub does not answer, or transformers is not installed.
    """
    return described(weights, opened(weights, say=say))


def opened(weights: str, *, say: Callable[[str], None] = _ignore) -> Checkpoint:
    """Find the weights and read their configuration; errors as those of ``describe``."""
    library = transformers()
    folder = folder_of(weights, say)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            _("{weights} has no config.json.", weights=weights),
            remedy=_(
                "Give a folder as transformers' save_pretrained writes it: config.json and "
                "model.safetensors."
            ),
        )
    files = _safetensors(weights, folder)
    try:
        configuration = library.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except UNREADABLE as error:
        raise unusable(weights, error) from error
    if not kinds(library, configuration):
        raise ConfigError(
            _(
                "{weights} is a {architecture} network, which does not take pictures.",
                weights=weights,
                architecture=configuration.model_type,
            ),
            remedy=_(
                "Choose a network for image classification, such as microsoft/resnet-18 or "
                "facebook/dinov2-small."
            ),
        )
    return Checkpoint(folder, files, configuration)


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
    parameters = sum(_parameters(each) for each in checkpoint.files)
    digests = {each: _digest(each) for each in checkpoint.files}
    lines = "".join(f"{digest}  {path.name}\n" for path, digest in digests.items())
    return Pretrained(
        weights=weights,
        architecture=str(checkpoint.configuration.model_type),
        input_size=_input_size(weights, processor, checkpoint.configuration),
        mean=mean,
        deviation=deviation,
        blue_first=bool(processor.get("do_flip_channel_order", False)),
        parameters=parameters,
        digest=digests[checkpoint.files[0]] if len(digests) == 1 else _sha256(lines),
        revision=_revision(digests),
        licence=_licence(checkpoint.folder / "README.md"),
    )


def unusable(weights: str, error: BaseException) -> ConfigError:
    """What transformers said of a checkpoint that it cannot use, in one line."""
    said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    return ConfigError(
        _("The weights {weights} cannot be used: {reason}", weights=weights, reason=said),
        remedy=_("Download them again, or choose others."),
    )


def _safetensors(weights: str, folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights: one, or those that an index names."""
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if (folder / INDEX).is_file():
        index = _document(weights, folder / INDEX).get("weight_map")
        names = sorted({str(name) for name in index.values()}) if isinstance(index, dict) else []
        # A name with a path in it would open files elsewhere.
        beside = [folder / name for name in names if Path(name).name == name]
        if names and len(beside) == len(names) and all(each.is_file() for each in beside):
            return tuple(beside)
        raise ConfigError(
            _("Of the weights {weights} not every file is here.", weights=weights),
            remedy=_("Download them again, or choose others."),
        )
    safe = _("Only safetensors are opened: take weights that come as model.safetensors.")
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if not pickles:
        raise ConfigError(_("{weights} has no model.safetensors.", weights=weights), remedy=safe)
    raise ConfigError(
        _(
            "{weights} holds its weights as {file} alone; such a file can run whatever code its "
            "author put in.",
            weights=weights,
            file=pickles[0],
        ),
        remedy=safe,
    )


def _document(weights: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unusable(weights, error) from error
    return document if isinstance(document, dict) else {}


def _parameters(path: Path) -> int:
    """How many numbers a file holds; its header is checked against its length on the way."""
    try:
        with safe_open(path, framework="numpy") as tensors:
            names = tensors.keys()
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            _("{path} is damaged: {reason}", path=path, reason=str(error)),
            remedy=_("Delete it and download it again."),
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _revision(digests: Mapping[Path, str]) -> str | None:
    """The hub's commit, if the files came from there, each compared with what the hub promised."""
    revision = None
    for path, digest in digests.items():
        revision, promised = _origin(path)
        if _SHA256.fullmatch(promised) and promised != digest:
            raise ConfigError(
                _("{path} is damaged: its SHA-256 is not the one that the hub gave.", path=path),
                remedy=_("Delete it and download it again."),
            )
    return revision


def _origin(path: Path) -> tuple[str | None, str]:
    """Commit and SHA-256 as the hub's client wrote them down.

    In its cache ``snapshots/COMMIT/NAME`` is a link to ``blobs/SHA-256``. In a folder made by
    ``hf download --local-dir`` there is a note of three lines: commit, SHA-256, time.
    """
    note = path.parent / ".cache/huggingface/download" / f"{path.name}.metadata"
    if path.is_symlink() and path.parent.parent.name == "snapshots":
        return path.parent.name, path.resolve().name
    if note.is_file():
        commit, promised = [*note.read_text(encoding="utf-8").splitlines(), "", ""][:2]
        return commit or None, promised
    return None, ""


def _processor(weights: str, folder: Path) -> Mapping[str, Any]:
    """What the checkpoint says of pictures; empty where it says nothing."""
    if (folder / "preprocessor_config.json").is_file():
        return _document(weights, folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        inside = _document(weights, folder / "processor_config.json").get("image_processor")
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


def _licence(readme: Path) -> str | None:
    """The licence that the front matter of a model's README names."""
    if not readme.is_file():
        return None
    cards = importlib.import_module("huggingface_hub.repocard")
    yaml = importlib.import_module("yaml")
    try:
        data = cards.metadata_load(readme) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return None  # a README does not decide whether weights can be used
    said = data.get("license_name") or data.get("license")
    named = said if isinstance(said, list) else [said]
    return ", ".join(str(each) for each in named if each) or None
