"""A backup: one file that holds a workspace as it stood at one moment, made while it is served.

Rows are read first, in one snapshot, and the files that they name after them: files are written
before their rows and never changed. The last member, ``manifest.jsonl``, has the SHA-256 of every
other one; without it, or with another digest, it is no backup.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from mintage.core.errors import ConfigError, DataError, said_by
from mintage.core.files import is_temporary, readable_failures, sync_folder
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.version import __version__
from mintage.store import inventory, rows
from mintage.store.workspace import Workspace
from mintage.trust.openings import log_reading
from mintage.trust.signing import SIGNATURE_FILE

FORMAT = 1
MANIFEST = "manifest.jsonl"
TABLES, FILES = "tables", "files"
_KEYS = "keys"
# What is made anew, is only held while somebody works, or is in the tables.
_NOT_COPIED = frozenset({"cache", "downloads", "workspace.lock", "workspace.json"})
_DATABASE = "mintage.db"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Contents:
    """What a backup holds, as its manifest says; ``digests`` are the members' by their names.

    ``seal_key`` says where the key of a sealed workspace was: what is sealed is so in the backup.
    """

    made_at: str
    version: str
    shape: str
    with_keys: bool
    rows: dict[str, int]
    leaves: int
    gone: list[str]
    digests: dict[str, tuple[str, int]] = field(repr=False)
    seal_key: str | None = None

    @property
    def size_bytes(self) -> int:
        """Of all members together."""
        return sum(size for __, size in self.digests.values())

    def to_json(self) -> dict[str, Any]:
        """As ``backup --json`` says it."""
        said = {name: value for name, value in vars(self).items() if name != "digests"}
        return said | {"members": len(self.digests), "size_bytes": self.size_bytes}


def make(
    workspace: Workspace, path: Path, *, with_keys: bool = False, progress: Progress | None = None
) -> Contents:
    """Write a backup of a workspace, which may be served meanwhile; it is there whole, or not.

    Raises:
        ConfigError: there is a file of that name, or it would be within the workspace.
        DataError: what a row names was removed while it was made.
        DependencyDown: the disk is full.
    """
    shown, path = progress or Silent(), path.expanduser().absolute()
    if path.exists():
        raise ConfigError(
            _("{path} is there already.", path=path),
            remedy=_("Name a new file for each backup, such as one with the date."),
        )
    if workspace.home in path.parents:
        raise ConfigError(
            _("{path} is within the workspace that it is to hold.", path=path),
            remedy=_("Name a file elsewhere, best on another disk."),
        )
    log_reading(workspace, "backup", with_keys=with_keys)
    temporary = path.with_name(f".{path.name}.{new_id('tmp')}")
    with readable_failures(path):
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                writer = _Writer(stream, path.parent, workspace, shown)
                contents = writer.written(with_keys=with_keys)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.rename(path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return contents


class _Writer:
    """Writes the members, and says of each what it was."""

    def __init__(
        self, stream: IO[bytes], folder: Path, workspace: Workspace, progress: Progress
    ) -> None:
        """``folder`` is where there has to be room anyway: for what is packed before it goes in."""
        self._folder = folder
        self._tar = tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._home, self._workspace = workspace.home, workspace
        self._progress = progress
        self._digests: dict[str, tuple[str, int]] = {}
        self._gone: list[str] = []

    def written(self, *, with_keys: bool) -> Contents:
        """Write all of it."""
        made_at = self._workspace.now()
        counts, needed = self._tables()
        self._files(with_keys=with_keys)
        lost = [name for name in needed if f"{FILES}/{name}/{SIGNATURE_FILE}" not in self._digests]
        if lost:
            raise DataError(
                _("{name} was removed while the backup was made.", name=lost[0]),
                remedy=_("Nothing was written; run the same command again."),
            )
        sealing = self._workspace.sealing
        contents = Contents(
            made_at=made_at,
            version=__version__,
            shape=rows.SHAPE,
            with_keys=with_keys,
            rows=counts,
            leaves=counts["log_leaves"],
            gone=self._gone,
            digests=self._digests,
            seal_key=None if sealing is None else sealing.reference,
        )
        self._manifest(contents)
        self._tar.close()
        return contents

    def _tables(self) -> tuple[dict[str, int], list[str]]:
        """All rows as of one moment: how many there are, and which folders they name."""
        counts: dict[str, int] = {}
        names = rows.tables()
        self._progress.start(_("Reading the rows"), len(names))
        with self._workspace.database.read() as connection:
            needed = [
                *(
                    f"datasets/{row['name']}/{row['version']}"
                    for row in inventory.all_datasets(connection)
                ),
                *(
                    f"models/{row['name']}/{row['version']}"
                    for row in inventory.all_models(connection)
                ),
            ]
            for done, name in enumerate(names, start=1):
                with tempfile.TemporaryFile(dir=self._folder) as spool:
                    counts[name] = _packed(rows.lines_of(connection, name), spool)
                    self._add(f"{TABLES}/{name}.jsonl.gz", spool)
                self._progress.advance(done, name)
        self._progress.finish()
        return counts, needed

    def _files(self, *, with_keys: bool) -> None:
        paths = list(_files_of(self._home, with_keys=with_keys))
        self._progress.start(_("Reading the files"), len(paths))
        for done, path in enumerate(paths, start=1):
            name = path.relative_to(self._home).as_posix()
            try:
                with path.open("rb") as stream:
                    self._add(f"{FILES}/{name}", stream)
            except FileNotFoundError:  # such as a checkpoint, of which there is a newer one
                self._gone.append(name)
            if done % 100 == 0 or done == len(paths):
                self._progress.advance(done)
        self._progress.finish()

    def _add(self, name: str, stream: IO[bytes]) -> None:
        """A member with the bytes that the stream has now; what is appended later is not in it."""
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        hashed = _Hashed(stream)
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        if name.startswith(f"{FILES}/{_KEYS}/"):
            member.mtime = os.fstat(stream.fileno()).st_mtime
        self._tar.addfile(member, cast("IO[bytes]", hashed))
        self._digests[name] = (hashed.hexdigest(), size)

    def _manifest(self, contents: Contents) -> None:
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            head = {name: value for name, value in vars(contents).items() if name != "digests"}
            for said in ({"format": FORMAT, **head}, *_members(contents)):
                spool.write(json.dumps(said, ensure_ascii=False).encode() + b"\n")
            size = spool.tell()
            spool.seek(0)
            member = tarfile.TarInfo(MANIFEST)
            member.size, member.mode = size, 0o600
            self._tar.addfile(member, spool)


def _members(contents: Contents) -> Iterator[dict[str, Any]]:
    for name, (digest, size) in contents.digests.items():
        yield {"name": name, "sha256": digest, "size": size}


class _Hashed(io.RawIOBase):
    """A stream whose bytes are hashed while they are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def hexdigest(self) -> str:
        """Of all that was read."""
        return self._hash.hexdigest()


def _packed(lines: Iterator[bytes], spool: BinaryIO | IO[bytes]) -> int:
    """Write lines compressed; how many rows there were."""
    count = -1  # the first line names the columns
    with gzip.GzipFile(fileobj=cast("BinaryIO", spool), mode="wb", compresslevel=3, mtime=0) as out:
        for line in lines:
            out.write(line)
            count += 1
    return count


def _files_of(home: Path, *, with_keys: bool) -> Iterator[Path]:
    """Every file that a backup holds, in order."""
    for top in sorted(home.iterdir()):
        name = top.name
        if (
            name in _NOT_COPIED
            or name.startswith((_DATABASE, "."))
            or (name == _KEYS and not with_keys)
        ):
            continue
        if top.is_file():
            yield top
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(each for each in folders if not is_temporary(each))
            for each in sorted(names):
                path = Path(folder) / each
                if not each.endswith(".lock") and not is_temporary(each) and path.is_file():
                    yield path


@contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """A backup for reading.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
        DataError: it is no backup, or is cut off.
    """
    try:
        stream = path.expanduser().open("rb")
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
    with stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                yield tar
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise not_whole(path) from error


def not_whole(path: Path) -> DataError:
    """It is no backup of ours, or not all of one."""
    return DataError(
        _("{path} is no backup, or not a whole one.", path=path),
        remedy=_("Name another backup; this one cannot be relied on."),
    )


def verify(path: Path, progress: Progress | None = None) -> Contents:
    """Hash every byte of a backup, and hold it against the manifest.

    Raises:
        ConfigError: it cannot be read, or a newer Mintage made it.
        DataError: it is not whole, or a member is not what it was; that is named.
    """
    shown = progress or Silent()
    found: dict[str, tuple[str, int]] = {}
    said: list[bytes] | None = None
    shown.start(_("Checking the backup"), path.stat().st_size if path.exists() else None)
    with opened(path) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None or not _is_safe(member.name):
                raise not_whole(path)
            if member.name == MANIFEST:
                said = stream.read().splitlines()
                continue
            digest = hashlib.sha256()
            while data := stream.read(_CHUNK):
                digest.update(data)
            found[member.name] = (digest.hexdigest(), member.size)
            shown.advance(member.offset_data + member.size)
    shown.finish()
    contents = _contents(path, said)
    for name, expected in contents.digests.items():
        if found.get(name) != expected:
            raise DataError(
                _("{name} in the backup {path} is not what was put there.", name=name, path=path),
                remedy=_("Name another backup; this one cannot be relied on."),
            )
    if len(found) != len(contents.digests):
        raise not_whole(path)
    return contents


def _contents(path: Path, said: list[bytes] | None) -> Contents:
    if not said:
        raise not_whole(path)
    try:
        head, *members = map(json.loads, said)
        made_by = head.pop("format")
        if made_by > FORMAT or head["shape"] != rows.SHAPE:
            raise ConfigError(
                _(
                    "{path} was made by another version of Mintage: {version}.",
                    path=path,
                    version=head["version"],
                ),
                remedy=_("Restore it with that version, then upgrade."),
            )
        digests = {each["name"]: (each["sha256"], each["size"]) for each in members}
        return Contents(**head, digests=digests)
    except (ValueError, KeyError, TypeError) as error:
        raise not_whole(path) from error


def _is_safe(name: str) -> bool:
    """Whether a member lies where ours do, and nowhere else."""
    parts = PurePosixPath(name).parts
    ours = name == MANIFEST or (len(parts) > 1 and parts[0] in {TABLES, FILES})
    return ours and ".." not in parts and not name.startswith("/") and "\0" not in name
