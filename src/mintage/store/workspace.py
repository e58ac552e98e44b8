"""The workspace: one folder that holds everything, opened by any number of processes at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from sqlalchemy import select

from mintage.core.clock import Clock, SystemClock, timestamp
from mintage.core.errors import ConfigError
from mintage.core.files import put_back, readable_failures, write_atomic
from mintage.core.messages import _
from mintage.store import schema
from mintage.store.blobs import FolderBlobs
from mintage.store.engine import Database

FORMAT = 1


class Workspace:
    """Paths, database and blobs of one workspace."""

    def __init__(self, home: Path, clock: Clock | None = None) -> None:
        """Open the folder, making it where it is new.

        Raises:
            ConfigError: it cannot be used: made by a newer Mintage, not a folder, not writable.
        """
        self.home = home.expanduser().absolute()
        self.clock = clock or SystemClock()
        if self.home.exists() and not self.home.is_dir():
            raise ConfigError(
                _("{home} is not a folder.", home=self.home), remedy=_("Name another with --home.")
            )
        with readable_failures(self.home):
            self.home.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.home / "workspace.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._check_format()
            self.database = Database(self.home / "mintage.db")
            self.blobs = FolderBlobs(self.home / "blobs")
            if self._alone():
                self.database.migrate()
                self._sweep()
            # From here on others may join, but nobody sweeps under our feet.
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        except BaseException:
            os.close(self._lock)
            raise

    def dataset_folder(self, name: str, version: str) -> Path:
        """Where a dataset's version lies."""
        return self.home / "datasets" / name / version

    def model_folder(self, name: str, version: int) -> Path:
        """Where a bundle lies."""
        return self.home / "models" / name / str(version)

    def run_folder(self, run: str) -> Path:
        """Where a run keeps its recipe, log, checkpoints and report."""
        return self.home / "runs" / run

    @property
    def cache_folder(self) -> Path:
        """Decoded arrays: may be deleted at any time."""
        return self.home / "cache"

    @property
    def key_folder(self) -> Path:
        """Signing keys, mode 0600."""
        return self.home / "keys"

    @contextmanager
    def name_lock(self, kind: Literal["datasets", "models"], name: str) -> Iterator[None]:
        """Held from looking at a name's versions until the new one's folder and row stand."""
        folder = self.home / kind
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def flush_blobs(self) -> None:
        """Put every written blob on disk: one system-wide flush instead of one a file."""
        os.sync()

    def now(self) -> str:
        """The present moment as it stands in rows and records."""
        return timestamp(self.clock.now())

    def close(self) -> None:
        """Finish writing and let go."""
        self.database.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_format(self) -> None:
        path = self.home / "workspace.json"
        if not path.exists():
            described = {"format": FORMAT, "created_at": self.now()}
            write_atomic(path, json.dumps(described).encode() + b"\n")
        try:
            found = json.loads(path.read_text())["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                _("{path} is not a workspace's description.", path=path),
                remedy=_("Name another folder with --home, or restore this one from a backup."),
            ) from error
        if found > FORMAT:
            raise ConfigError(
                _(
                    "{home} was made by a newer Mintage (format {found}, ours {format}).",
                    home=self.home,
                    found=found,
                    format=FORMAT,
                ),
                remedy=_("Upgrade with: pip install --upgrade mintage"),
            )

    def _alone(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody else is inside, or is just making the tables: wait until they are made.
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            return False
        return True

    def _sweep(self) -> None:
        """Undo what a crash cut short: folders set aside come back, those without a row go."""
        for kind in ("datasets", "models"):
            for parent in (self.home / kind).glob("*/"):
                put_back(parent)
        with self.database.read() as connection:
            datasets = connection.execute(select(schema.datasets.c.name, schema.datasets.c.version))
            models = connection.execute(select(schema.models.c.name, schema.models.c.version))
            known = {self.dataset_folder(name, version) for name, version in datasets}
            known |= {self.model_folder(name, version) for name, version in models}
        for folder in list(self._versions()):
            if folder not in known:
                shutil.rmtree(folder)

    def _versions(self) -> Iterator[Path]:
        for kind in ("datasets", "models"):
            yield from (path for path in (self.home / kind).glob("*/*") if path.is_dir())
