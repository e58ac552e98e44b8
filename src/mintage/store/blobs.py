"""Blobs: the examples' bytes, each stored once under its SHA-256."""

from __future__ import annotations

import os
from pathlib import Path

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.files import read_whole, write_atomic
from mintage.core.messages import _


class FolderBlobs:
    """A folder of 256 folders; the name is the digest, so a reader can always check."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begins = f"{folder}{os.sep}"

    def path(self, sha256: str) -> Path:
        """Where the bytes lie."""
        return Path(self._name(sha256))

    def _name(self, sha256: str) -> str:
        return f"{self._begins}{sha256[:2]}{os.sep}{sha256}"

    def put(self, sha256: str, data: bytes, *, durable: bool = False) -> None:
        """Keep the bytes; the same name twice is the same bytes.

        Unless ``durable``, not flushed one by one (2.5 ms each would make collecting 4,000
        pictures take ten seconds more): ``Workspace.flush_blobs`` flushes them all before the
        dataset's row is written.
        """
        if not self.has(sha256):
            write_atomic(self._name(sha256), data, durable=durable)

    def get(self, sha256: str) -> bytes:
        """The bytes, checked against their name.

        Raises:
            DataError: they are not here.
            SignatureMismatch: they are not what the name says.
        """
        try:
            data = read_whole(self._name(sha256))
        except FileNotFoundError as error:
            raise DataError(
                _("Blob {name}… is missing from the workspace.", name=sha256[:12]),
                remedy=_("Collect the dataset again from its source."),
            ) from error
        if sha256_hex(data) != sha256:
            raise SignatureMismatch(
                _("Blob {name}… was changed after it was collected.", name=sha256[:12]),
                remedy=_("Remove the file and collect the dataset again."),
            )
        return data

    def has(self, sha256: str) -> bool:
        """Whether the bytes are here."""
        return os.access(self._name(sha256), os.F_OK)

    def remove(self, sha256: str) -> None:
        """Forget the bytes; nothing happens if they are not here."""
        self.path(sha256).unlink(missing_ok=True)
