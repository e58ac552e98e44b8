"""Arrays computed of a dataset, kept beside its decoded pictures: a cache, never truth."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mintage.core.files import opened_file, write_atomic
from mintage.create.dataset import Dataset
from mintage.store.workspace import Workspace

Arrays = dict[str, NDArray[np.generic]]


def place(workspace: Workspace, dataset: Dataset, name: str) -> Path:
    """Where arrays called ``name``, algorithm and version in it, lie for this dataset's version."""
    return workspace.cache_folder / dataset.version[:32] / f"{name}.npz"


def read(path: Path) -> Arrays | None:
    """What ``write`` wrote; None where there is nothing that can be read."""
    try:
        with opened_file(path) as stream, np.load(stream, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Keep the arrays; the file is there wholly or not at all.

    Raises:
        MintageError: the disk is full or cannot be written.
    """
    stream = io.BytesIO()
    np.savez(stream, **dict(arrays))  # type: ignore[arg-type]  # its flags stand among the names
    write_atomic(path, stream.getvalue(), durable=False)
