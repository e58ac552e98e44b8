"""A workspace's sealing: its key-encryption key, its data keys, and what they seal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mintage.core.ports import BlobStore, WrappingKey
from mintage.store.engine import Database
from mintage.trust.sealing.data_keys import DataKeys
from mintage.trust.sealing.files import FileVault, SealedBlobs
from mintage.trust.sealing.wrapping import wrapping_key


class WorkspaceSealing:
    """Implements ``store.workspace.Sealing``; the class itself is its ``OpensSealed``."""

    def __init__(
        self,
        reference: str,
        home: Path,
        database: Database,
        now: Callable[[], str],
        *,
        wrapping: WrappingKey | None = None,
    ) -> None:
        """With the key at a reference (see ``wrapping_key``).

        Raises:
            ConfigError: the key cannot be had.
        """
        self.sealer = DataKeys(database, wrapping or wrapping_key(reference), now)
        self.vault = FileVault(home, database, self.sealer)
        self.reference = self.sealer.wrapping.reference

    def check(self) -> None:
        """See ``Sealing``."""
        self.sealer.check()

    def blobs(self, folder: Path, owner: str) -> BlobStore:
        """See ``Sealing``."""
        return SealedBlobs(folder, self.sealer, owner)
