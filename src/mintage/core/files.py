"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from mintage.core.errors import ConfigError, DependencyDown, MintageError, said_by
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.vaults import Mounted, mounted

_ASIDE = ".old-"
_PART_BYTES = 1 << 24
_TEMPORARY = re.compile(r"\..+\.(?:old-)?tmp_[0-9a-z]{26}")


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM})


@contextmanager
def readable_failures(path: Path | str) -> Iterator[None]:
    """Turn a full disk or a refused permission into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise failure(error, path) from error


def failure(error: OSError, path: Path | str | None = None) -> MintageError:
    """What the system refused, and what to do about it; ``path`` is what was to be written."""
    named = error.filename if path is None else path
    reason = said_by(error)
    if error.errno in _FULL:
        return disk_full(named, reason)
    if error.errno == errno.EROFS:
        return ConfigError(
            _("{path} is on a disk that can only be read.", path=named),
            remedy=_("Name another workspace with --home, or mount the disk for writing."),
        )
    if error.errno in _REFUSED:
        return ConfigError(
            _("Not allowed to write {path}.", path=named),
            remedy=_("Check who owns the folder, or name another."),
        )
    return DependencyDown(
        _("Writing {path} failed: {reason}.", path=named, reason=reason),
        remedy=_("Check the path and the disk, then run the same command again."),
    )


def disk_full(path: object, reason: str) -> DependencyDown:
    """There is no room left where ``path`` was to be written."""
    return DependencyDown(
        _("Writing {path} failed: {reason}.", path=path, reason=reason),
        remedy=_(
            "Make room on the disk, then run the same command again: nothing was lost. "
            "mintage gc frees what nothing needs."
        ),
    )


def reserve(path: Path) -> None:
    """Claim the disk for the whole length of a file that is to be written through a memory map.

    Otherwise a full disk is said by SIGBUS, which ends the process in the middle of a store.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, path.stat().st_size))


def sync_folder(folder: Path | str) -> None:
    """Flush a folder's own entries, so that a rename inside it survives power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_whole(path: Path | str, most: int = sys.maxsize) -> bytes:
    """A file's bytes, opened where they are sealed.

    Of a larger file than ``most`` come more bytes than that, not all of them.

    Raises:
        OSError: it is gone, or may not be read.
        SealBroken: it is not what was sealed there last.
    """
    sealed = mounted(path)
    if sealed is None:
        return read_stored(path, most)
    return sealed.vault.open(sealed.name, read_stored(path))


@contextmanager
def opened_file(path: Path | str) -> Iterator[BufferedReader]:
    """A file for reading, with a descriptor that can be mapped; a sealed one lies in memory.

    Raises:
        OSError, SealBroken: as ``read_whole``.
    """
    if mounted(path) is None:
        with Path(path).open("rb") as stream:
            yield stream
        return
    data = read_whole(path)
    with os.fdopen(_memory_file(), "rb") as stream:
        write_all(stream.fileno(), data)
        stream.seek(0)
        yield stream


def scratch_file(folder: Path, *, in_memory: bool) -> BinaryIO:
    """A nameless file that can be mapped, in a folder; ``in_memory`` it never touches a disk."""
    if not in_memory:
        return cast("BinaryIO", TemporaryFile(dir=folder))
    return os.fdopen(_memory_file(), "w+b")


def _memory_file() -> int:
    if not hasattr(os, "memfd_create"):  # such as on macOS
        raise ConfigError(
            _("This system has no files in memory, which a sealed workspace needs."),
            remedy=_("Use a sealed workspace on Linux."),
        )
    return os.memfd_create("mintage")


def read_stored(path: Path | str, most: int = sys.maxsize) -> bytes:
    """``read_whole`` of a file as it lies there, in four system calls where ``Path`` makes nine.

    That is a good part of what a small file takes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, min(size, most) + 1)
        if size == 0 or len(data) != size:  # it has no size, it grows, or it came in parts
            while len(data) <= most and (more := os.read(descriptor, 1 << 20)):
                data += more
        return data
    finally:
        os.close(descriptor)


def write_atomic(
    path: Path | str,
    data: bytes | mmap,
    *,
    mode: int = 0o644,
    durable: bool = True,
    scratch: Path | None = None,
) -> None:
    """Write beside the target, flush, rename. Readers see the old bytes or the new ones.

    ``scratch`` is a folder of the same disk to write in first, where the target's own is to hold
    nothing else at any moment. In a vault it is sealed, and always ``durable``: the vault takes
    nothing older from then on, so power may not bring that back. Names are strings here: ``Path``
    took half of the time that a small file takes, and 120 bytes for ever, since it interns each
    part.
    """
    sealed = mounted(path)
    if sealed is not None:
        data, durable = sealed.vault.seal(sealed.name, data), True
    store_atomic(path, data, mode=mode, durable=durable, scratch=scratch)
    if sealed is not None:
        sealed.vault.landed([sealed.name])


def append_line(path: Path, line: bytes) -> None:
    """Add a line, which brings its own end; a sealed file is sealed anew with it."""
    if mounted(path) is not None:
        before = read_whole(path) if path.exists() else b""
        write_atomic(path, before + line, durable=False)
        return
    with readable_failures(path), path.open("ab") as stream:
        stream.write(line)


def store_atomic(
    path: Path | str,
    data: bytes | mmap | Callable[[FileIO], object],
    *,
    mode: int = 0o644,
    durable: bool = True,
    scratch: Path | None = None,
) -> None:
    """``write_atomic`` of what is to lie there as it is, or of what is called to write it."""
    target = os.fspath(path)
    folder, name = os.path.split(target)
    with readable_failures(target):
        temporary = os.path.join(scratch or folder, f".{name}.{new_id('tmp')}")  # noqa: PTH118
        try:
            descriptor = _created(temporary, mode)
            try:
                if callable(data):
                    with FileIO(descriptor, "w", closefd=False) as stream:
                        data(stream)
                else:
                    write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(folder or os.curdir)


def write_parts(path: Path, parts: Iterable[bytes], *, mode: int = 0o644) -> int:
    """``write_atomic`` of what memory might not hold; how many bytes it is. Not for a vault."""
    _refuse_vault(path)
    size = 0
    with readable_failures(path):
        temporary = path.with_name(f".{path.name}.{new_id('tmp')}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as stream:
                for part in parts:
                    size += stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    return size


def write_all(descriptor: int, data: bytes | mmap) -> None:
    """However many parts the system takes it in; no view of a map outlives a failure."""
    done = 0
    with memoryview(data) as whole:
        while done < len(whole):
            with whole[done:] as left:
                done += os.write(descriptor, left)


def _created(path: str, mode: int) -> int:
    """The descriptor of a new file, and its folder if that is not there yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, mode)


@contextmanager
def alone(part: Path, *beside: Path) -> Iterator[BinaryIO | None]:
    """A file that grows until it is whole, opened for appending by this process alone.

    None where another process has it, or has just finished and renamed it. An empty one is not left
    behind, nor what lies ``beside`` it. The lock is a ``flock``: it ends with the process.
    """
    with readable_failures(part):
        stream = part.open("a+b")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat())
        except BlockingIOError:
            ours = False
        if not ours:
            yield None
            return
        try:
            yield stream
        finally:
            if part.exists() and not stream.seek(0, os.SEEK_END):
                for path in (part, *beside):
                    path.unlink(missing_ok=True)


def write_folder(folder: Path, files: Mapping[str, bytes | mmap]) -> None:
    """Make a whole folder appear at once; an existing one is replaced as a whole.

    The old one is renamed aside before the new one takes its place, and removed last: a crash
    in between leaves a whole copy that ``put_back`` finds. Writers of one folder take turns.
    """
    landing: list[Mounted] = []
    with _staged(folder) as staging:
        for name, data in files.items():
            sealed = mounted(folder / name)
            if sealed is not None:
                data = sealed.vault.seal(sealed.name, data)  # noqa: PLW2901 - that is what it is now
                landing.append(sealed)
            store_atomic(staging / name, data)
    if landing:
        landing[0].vault.landed([each.name for each in landing])


def copy_folder(
    source: Path, names: Sequence[str], folder: Path, check: Callable[[Path], object]
) -> Iterator[int]:
    """``write_folder`` of files that memory might not hold; yields how many bytes each part has.

    ``check`` is called with the copy before it appears, and raises where it may not. It is not for
    vaults.
    """
    for name in names:
        _refuse_vault(source / name)
        _refuse_vault(folder / name)
    with _staged(folder) as staging:
        staging.mkdir(parents=True)
        for name in names:
            with (source / name).open("rb") as read, (staging / name).open("xb") as written:
                while part := read.read(_PART_BYTES):
                    written.write(part)
                    yield len(part)
                written.flush()
                os.fsync(written.fileno())
        check(staging)
        sync_folder(staging)


def _refuse_vault(path: Path) -> None:
    """What memory might not hold is not sealed."""
    if mounted(path) is not None:
        raise ConfigError(
            _("{name} is too large for a sealed workspace.", name=path.name),
            remedy=_("Keep language models of your own in a workspace that is not sealed."),
        )


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Where to make what then takes the folder's place."""
    staging = folder.with_name(f".{folder.name}.{new_id('tmp')}")
    try:
        with readable_failures(folder):
            yield staging
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


def is_temporary(name: str) -> bool:
    """Whether a file or folder of that name is one that ``write_atomic`` or its kin makes."""
    return _TEMPORARY.fullmatch(name) is not None


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; 0 where there is nothing. Links count not."""
    if path.is_file() and not path.is_symlink():
        return path.stat().st_size
    total = 0
    for folder, __, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):  # somebody else may just be removing it
                total += (Path(folder) / name).lstat().st_size
    return total


def is_only_copy(path: Path) -> bool:
    """Whether it is a folder set aside whose successor never came: ``put_back`` brings it back."""
    name, aside, __ = path.name.removeprefix(".").rpartition(_ASIDE)
    return bool(aside) and not path.with_name(name).exists()


def put_back(parent: Path) -> None:
    """Bring back each folder of ``parent`` of which a crash left only the copy set aside."""
    for aside in sorted(parent.glob(f".*{_ASIDE}*"), reverse=True):  # the newest first
        folder = parent / aside.name.removeprefix(".").rpartition(_ASIDE)[0]
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(folder)
