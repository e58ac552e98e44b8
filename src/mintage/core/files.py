"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.ids import new_id


@contextmanager
def readable_failures(path: Path) -> Iterator[None]:
    """Turn a full disk or a refused permission into an error that says what to do."""
    try:
        yield
    except PermissionError as error:
        raise ConfigError(
            f"Not allowed to write {path}.", remedy="Check who owns the folder, or name another."
        ) from error
    except OSError as error:
        raise DependencyDown(
            f"Writing {path} failed: {error.strerror}.",
            remedy="Make room on the disk, then run the same command again: nothing was lost.",
        ) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries, so that a rename inside it survives power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Write beside the target, flush, rename. Readers see the old bytes or the new ones."""
    with readable_failures(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{new_id('tmp')}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a whole folder appear at once; an existing one is replaced as a whole."""
    staging = folder.with_name(f".{folder.name}.{new_id('tmp')}")
    try:
        for name, data in files.items():
            write_atomic(staging / name, data)
        with readable_failures(folder):
            if folder.exists():
                shutil.rmtree(folder)
            staging.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
