"""Sealed files: a line that says what it is, and Tink's stream, which vouches for that line too.

A reader compares the line with where the file lies and with the version that the database has, so
what was moved, exchanged or put back says so by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, SealBroken, SignatureMismatch
from mintage.core.files import is_temporary, read_stored, store_atomic
from mintage.core.messages import _
from mintage.core.vaults import Data
from mintage.store import data_keys as rows
from mintage.store.engine import Database
from mintage.store.sealed import WORKSPACE, dataset, not_sealed
from mintage.trust.sealing import tink_keys
from mintage.trust.sealing.data_keys import DataKey, DataKeys

FORMAT = "sealed/1"
SEALED_FOLDERS = frozenset({"datasets", "models", "runs", "cache"})
_LONGEST_LINE = 2000
KeyOf = Callable[[int], DataKey | None]
_REMEDY = _("Do not use it. Restore it from a backup.")


@dataclass(frozen=True)
class Label:
    """The first line of a sealed file: its format, its data key, what it is, and its version."""

    key: int
    name: str
    version: int
    format: str = FORMAT

    def line(self) -> bytes:
        """Canonical JSON and a line end."""
        return canonical_json(vars(self)) + b"\n"

    @classmethod
    def read(cls, sealed: bytes, what: str) -> tuple[Label, int]:
        """The line, and where the stream begins.

        Raises:
            SealBroken: there is none.
        """
        end = sealed.find(b"\n", 0, _LONGEST_LINE) + 1
        try:
            label = cls(**json.loads(sealed[:end]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise not_sealed(what) from error
        if label.format != FORMAT:
            raise not_sealed(what)
        return label, end


def sealed_file(key: DataKey, name: str, version: int, data: Data) -> bytes:
    """What lies at a place instead of the data."""
    sink = tink_keys.InMemory()
    write_sealed(sink, key, name, version, data)
    return sink.getvalue()


def write_sealed(sink: tink_keys.Sink, key: DataKey, name: str, version: int, data: Data) -> None:
    """The same into what is closed afterwards."""
    line = Label(key.number, name, version).line()
    sink.write(line)
    tink_keys.encrypt(key.files, data, _context(key.owner, line), sink)


def opened_file(key_of: KeyOf, owner: str, name: str, sealed: bytes) -> tuple[bytes, int]:
    """The data of a sealed file, and its version.

    Raises:
        SealBroken: it is no sealed file, another place's, another owner's, or not as it was sealed.
    """
    label, begin = Label.read(sealed, name)
    if label.name != name:
        raise SealBroken(
            _("{name} is the sealed file of {other}.", name=name, other=label.name), remedy=_REMEDY
        )
    key = key_of(label.key)
    if key is None:
        raise SealBroken(
            _("{name} is sealed under a key that was destroyed.", name=name),
            remedy=_("Nothing opens it any more."),
        )
    if key.owner != owner:
        raise SealBroken(
            _("{name} is sealed under the key of {other}.", name=name, other=key.owner),
            remedy=_REMEDY,
        )
    context = _context(key.owner, sealed[:begin])
    try:
        return tink_keys.decrypted(key.files, sealed, context, begin), label.version
    except tink_keys.tink_error() as error:
        raise _changed(name) from error


class FileVault:
    """Implements ``core.vaults.Vault`` for the folder of a workspace."""

    def __init__(self, home: Path, database: Database, keys: DataKeys) -> None:
        self._home, self._database, self._keys = home, database, keys
        self._sealed: dict[str, int] = {}

    def covers(self, name: str) -> bool:
        """Files of datasets, models, runs and the cache; blobs have names of their own."""
        return name.partition("/")[0] in SEALED_FOLDERS

    def seal(self, name: str, data: Data) -> bytes:
        """See ``Vault``; the version is the one after all that ever lay there."""
        version = self._least(name)
        path = self._home / name
        if path.exists():
            version = max(version, self._version_there(path, name))
        version += 1
        self._sealed[name] = version
        return sealed_file(self._keys.for_files(owner_of(name)), name, version, data)

    def open(self, name: str, sealed: bytes) -> bytes:
        """See ``Vault``."""
        data, version = opened_file(self._keys.numbered, owner_of(name), name, sealed)
        least = self._least(name)
        if version < least:
            raise SealBroken(
                _(
                    "{name} is version {version} of that file, and {least} was the last.",
                    name=name,
                    version=version,
                    least=least,
                ),
                remedy=_REMEDY,
            )
        return data

    def landed(self, names: Sequence[str]) -> None:
        """See ``Vault``; a crash before leaves a newer file than the database knows of."""
        versions = {name: self._sealed[name] for name in names if _is_kept(name)}
        if versions:
            self._database.submit(
                lambda connection: rows.keep_versions(connection, versions), only_adds=True
            ).result()

    def _least(self, name: str) -> int:
        with self._database.read() as connection:
            return rows.version_of(connection, name)

    def _version_there(self, path: Path, name: str) -> int:
        try:
            return Label.read(read_stored(path, _LONGEST_LINE), name)[0].version
        except (SealBroken, OSError):
            return 0  # it is to be replaced, whatever it is


class SealedBlobs:
    """Implements ``BlobStore``: named by HMAC, so that equal files show within one owner alone."""

    def __init__(self, folder: Path, keys: DataKeys, owner: str) -> None:
        """Blobs in ``folder``, a folder of the workspace, of one owner."""
        self._folder = folder
        self._keys, self._owner = keys, owner
        self._names = keys.for_names(owner)
        self._key_of = cache(keys.numbered)

    def path(self, sha256: str) -> Path:
        """Where the sealed bytes lie."""
        return Path(self._place(sha256)[1])

    def put(self, sha256: str, data: bytes, *, durable: bool = False) -> None:
        """See ``BlobStore``."""
        key, (name, path) = self._key, self._place(sha256)
        if not os.path.exists(path):  # noqa: PTH110 - ``Path`` takes a good part of a small file
            store_atomic(path, lambda sink: write_sealed(sink, key, name, 0, data), durable=durable)

    def get(self, sha256: str) -> bytes:
        """See ``BlobStore``.

        Raises:
            DataError: they are not here.
            SealBroken: they are not what was sealed there.
            SignatureMismatch: they are not what the name says.
        """
        name, path = self._place(sha256)
        try:
            sealed = read_stored(path)
        except FileNotFoundError as error:
            raise DataError(
                _("Blob {name}… is missing from the workspace.", name=sha256[:12]),
                remedy=_("Collect the dataset again from its source."),
            ) from error
        data, __ = opened_file(self._key_of, self._owner, name, sealed)
        if sha256_hex(data) != sha256:
            raise SignatureMismatch(
                _("Blob {name}… was changed after it was collected.", name=sha256[:12]),
                remedy=_("Remove the file and collect the dataset again."),
            )
        return data

    def has(self, sha256: str) -> bool:
        """See ``BlobStore``."""
        return self.path(sha256).exists()

    def remove(self, sha256: str) -> None:
        """See ``BlobStore``."""
        self.path(sha256).unlink(missing_ok=True)

    @cached_property
    def _key(self) -> DataKey:
        """Looked up once: under one that was retired meanwhile they open as well."""
        return self._keys.for_files(self._owner)

    def _place(self, sha256: str) -> tuple[str, str]:
        """What a blob is called in its label, and where it lies."""
        name = self._names.name(sha256)
        below = f"{name[:2]}/{name}"
        return f"{self._folder.name}/{below}", f"{self._folder}{os.sep}{below}"


def is_sealed(path: Path) -> bool:
    """Whether a file says that it is a sealed one."""
    try:
        Label.read(read_stored(path, _LONGEST_LINE), path.name)
    except SealBroken:
        return False
    return True


def owner_of(name: str) -> str:
    """Whose a sealed file is, by its name."""
    kind, __, rest = name.partition("/")
    return dataset(rest.partition("/")[0]) if kind == "datasets" else WORKSPACE


def _is_kept(name: str) -> bool:
    """Whether it is there for longer than what is written at the moment."""
    return not any(is_temporary(part) for part in name.split("/"))


def _context(owner: str, line: bytes) -> bytes:
    return f"mintage file 1\n{owner}\n".encode() + line


def _changed(name: str) -> SealBroken:
    return SealBroken(
        _("{name} was changed or cut short after it was sealed.", name=name), remedy=_REMEDY
    )
