"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.ids import new_id
from mintage.core.messages import _

_ASIDE = ".old-"


@contextmanager
def readable_failures(path: Path) -> Iterator[None]:
    """Turn a full disk or a refused permission into an error that says what to do."""
    try:
        yield
    except PermissionError as error:
        raise ConfigError(
            _("Not allowed to write {path}.", path=path),
            remedy=_("Check who owns the folder, or name another."),
        ) from error
    except OSError as error:
        raise DependencyDown(
            _("Writing {path} failed: {reason}.", path=path, reason=error.strerror),
            remedy=_("Make room on the disk, then run the same command again: nothing was lost."),
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
    """Make a whole folder appear at once; an existing one is replaced as a whole.

    The old one is renamed aside before the new one takes its place, and removed last: a crash
    in between leaves a whole copy that ``put_back`` finds. Writers of one folder take turns.
    """
    staging = folder.with_name(f".{folder.name}.{new_id('tmp')}")
    try:
        for name, data in files.items():
            write_atomic(staging / name, data)
        with readable_failures(folder):
            _swap(folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(folder: Path, staging: Path) -> None:
    aside = folder.with_name(f".{folder.name}{_ASIDE}{new_id('tmp')}")
    replaces = folder.exists()
    if replaces:
        folder.rename(aside)
    try:
        staging.rename(folder)
    except OSError:
        if replaces:
            aside.rename(folder)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def put_back(parent: Path) -> None:
    """Bring back each folder of ``parent`` of which a crash left only the copy set aside."""
    for aside in sorted(parent.glob(f".*{_ASIDE}*"), reverse=True):  # the newest first
        folder = parent / aside.name.removeprefix(".").rpartition(_ASIDE)[0]
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(folder)
