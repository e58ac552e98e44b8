"""Where pretrained weights are: in a folder, in the hub's cache on this machine, or on the hub.

A folder is opened without the network. A name of the hub is looked for in the hub's own cache
first, and downloaded only because somebody named it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mintage.core.errors import ConfigError, DependencyDown, MintageError, missing_extra
from mintage.core.files import failure
from mintage.core.messages import _

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# Never pickle, and never code.
_WANTED = (
    "config.json",
    "*processor_config.json",
    "README.md",
    SINGLE,
    INDEX,
    "model-*.safetensors",
    # Of language models:
    "generation_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


def transformers() -> Any:
    """The library, made quiet: no telemetry, no bars of its own, no advice for programmers.

    Raises:
        DependencyDown: it is not installed.
    """
    # Its client of the hub reads these once, when it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise missing_extra("transformers", "hub") from error
    library.logging.disable_progress_bar()
    for each in (library, importlib.import_module("huggingface_hub.utils")):
        each.logging.set_verbosity_error()
    return library


def folder_of(weights: str, say: Callable[[str], None]) -> Path:
    """Where the files are: the folder itself, else the hub's cache, into which they are downloaded.

    ``say`` is told before a download.

    Raises:
        ConfigError: no such folder, no such name, or weights that are not for everybody.
        DependencyDown: the hub does not answer, or transformers is not installed.
    """
    path = Path(weights).expanduser()
    if weights and path.is_dir():
        return path
    if weights.startswith((".", "/", "~")) or weights.count("/") > 1 or path.is_file():
        raise ConfigError(
            _("There is no folder {path}.", path=weights),
            remedy=_(
                "Give the folder that holds config.json and model.safetensors, or a name on the "
                "hub such as microsoft/resnet-18."
            ),
        )
    hub = _client()
    name, __, revision = weights.partition("@")
    wanted = {"repo_id": name, "revision": revision or None, "allow_patterns": list(_WANTED)}
    try:
        here = _in_cache(hub, wanted)
        if here is not None:
            return here
        if not hub.constants.HF_HUB_OFFLINE:
            say(_("Downloading {weights} from {hub}", weights=weights, hub=hub.constants.ENDPOINT))
        return Path(hub.snapshot_download(**wanted))
    except (hub.errors.HTTPError, hub.errors.LocalEntryNotFoundError) as error:
        raise _not_had(hub, weights, name, error) from error
    except hub.errors.HFValidationError as error:
        raise ConfigError(
            _("{weights!r} is neither a folder nor a name on the hub.", weights=weights),
            remedy=_("A name on the hub is OWNER/NAME or OWNER/NAME@REVISION."),
        ) from error
    except OSError as error:
        raise failure(error, Path(hub.constants.HF_HUB_CACHE)) from error


def _client() -> Any:
    transformers()  # makes it quiet, and says what to install
    for part in ("constants", "errors"):
        importlib.import_module(f"huggingface_hub.{part}")
    return importlib.import_module("huggingface_hub")


def _in_cache(hub: Any, wanted: dict[str, Any]) -> Path | None:
    """The folder in the cache, if all that is needed is there: an interrupted download is not."""
    try:
        folder = Path(hub.snapshot_download(**wanted, local_files_only=True))
    except hub.errors.LocalEntryNotFoundError:
        return None
    whole = (folder / SINGLE).is_file() or (folder / INDEX).is_file()
    return folder if whole and (folder / "config.json").is_file() else None


def _not_had(hub: Any, weights: str, name: str, error: Exception) -> MintageError:
    """Why the hub gave nothing, and how to come by the weights without it."""
    page = f"{hub.constants.ENDPOINT}/{name}"
    if isinstance(error, hub.errors.GatedRepoError):
        return ConfigError(
            _("The weights {weights} are given only to those who accept terms.", weights=weights),
            remedy=_("Accept them at {page}, then run: hf auth login", page=page),
        )
    if isinstance(error, hub.errors.RepositoryNotFoundError | hub.errors.RevisionNotFoundError):
        return ConfigError(
            _("The hub has no weights {weights}, or keeps them private.", weights=weights),
            remedy=_("Look for them at {page}.", page=page),
        )
    offline = hub.constants.HF_HUB_OFFLINE
    return DependencyDown(
        _(
            "The weights {weights} are not in {cache}, and {hub} could not be asked: {reason}.",
            weights=weights,
            cache=hub.constants.HF_HUB_CACHE,
            hub=hub.constants.ENDPOINT,
            reason=_("HF_HUB_OFFLINE is set") if offline else _("it does not answer"),
        ),
        remedy=_(
            "Where there is a network, run: hf download {name} --local-dir {folder}. Bring the "
            "folder here and use hub:./{folder}",
            name=name,
            folder=name.rpartition("/")[2],
        ),
    )
