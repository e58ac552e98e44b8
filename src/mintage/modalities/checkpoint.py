"""A folder of weights as transformers writes it: its files, its configuration, where it came from.

Nothing here runs what a stranger wrote: weights are safetensors alone, never pickle, and code that
comes with a checkpoint is never loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.modalities.hub import INDEX, SINGLE, folder_of, transformers
from mintage.modalities.safe_tensors import check_file

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.pkl")
_MOST_README_BYTES = 1_000_000
_LONGEST_LICENCE = 200
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
class Checkpoint:
    """The folder that weights were found in, and transformers' configuration for them."""

    folder: Path
    files: tuple[Path, ...]
    configuration: Any

    @property
    def architecture(self) -> str:
        """What transformers calls the kind of network, such as ``gpt2``."""
        return str(self.configuration.model_type)


@dataclass(frozen=True)
class Origin:
    """Which weights these are exactly.

    ``digest`` is the SHA-256 of the safetensors file, as ``sha256sum`` prints it; of several files
    that of those lines. ``revision`` is the hub's commit where it is known. ``licence`` is what
    the checkpoint's README says of it, None where it says nothing.
    """

    parameters: int
    digest: str
    revision: str | None
    licence: str | None


def ignore(__: str) -> None:
    """Whoever listens to nothing."""


def found(weights: str, *, say: Callable[[str], None] = ignore) -> Checkpoint:
    """The folder of ``weights``, a path or a name on the hub; ``say`` is told before a download.

    Raises:
        ConfigError: no such weights, or weights that cannot be used, with the reason.
        DependencyDown: the hub does not answer, or transformers is not installed.
    """
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
    return Checkpoint(folder, files, configuration)


def origin_of(checkpoint: Checkpoint) -> Origin:
    """Which weights they are; each file is read, and compared with what the hub promised.

    Raises:
        ConfigError: a file is damaged.
    """
    digests = {each: _digest(each) for each in checkpoint.files}
    lines = "".join(f"{digest}  {path.name}\n" for path, digest in digests.items())
    return Origin(
        parameters=sum(_parameters(each) for each in checkpoint.files),
        digest=digests[checkpoint.files[0]] if len(digests) == 1 else sha256_hex(lines.encode()),
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
        index = document(weights, folder / INDEX).get("weight_map")
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


def document(weights: str, path: Path) -> dict[str, Any]:
    """What a JSON file of a checkpoint holds; raises ConfigError where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unusable(weights, error) from error
    return content if isinstance(content, dict) else {}


def _parameters(path: Path) -> int:
    """How many numbers a file holds, once each of them was looked at."""
    try:
        return check_file(path).parameters
    except DataError as error:
        raise ConfigError(
            _("{path} is damaged: {reason}", path=path, reason=error.message),
            remedy=_("Delete it and download it again."),
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def _licence(readme: Path) -> str | None:
    """The licence that the front matter of a model's README names."""
    if not readme.is_file() or readme.stat().st_size > _MOST_README_BYTES:
        return None
    cards = importlib.import_module("huggingface_hub.repocard")
    yaml = importlib.import_module("yaml")
    try:
        data = cards.metadata_load(readme) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None  # a README does not decide whether weights can be used
    said = data.get("license_name") or data.get("license")
    named = said if isinstance(said, list) else [said]
    # Text alone: lists that name one another in YAML become without end where they are shown.
    return ", ".join(each for each in named if isinstance(each, str))[:_LONGEST_LICENCE] or None
