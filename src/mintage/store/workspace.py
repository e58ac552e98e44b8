"""The workspace: one folder that holds everything, opened by any number of processes at once."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from pydantic import SecretStr

from mintage.core.clock import Clock, SystemClock, timestamp
from mintage.core.errors import ConfigError, SealBroken
from mintage.core.files import readable_failures, write_atomic
from mintage.core.messages import _
from mintage.core.ports import BlobStore
from mintage.core.vaults import Vault, mount, unmount
from mintage.store import data_keys
from mintage.store.backend import backend_of
from mintage.store.blobs import FolderBlobs
from mintage.store.engine import Database
from mintage.store.leftovers import folders, sweep
from mintage.store.lock import WorkspaceLock
from mintage.store.place import why_not_written, workspace_folder
from mintage.store.sealed import Sealer, dataset

FORMAT = 1
_POSTGRESQL = "postgresql"
DESCRIPTION = "workspace.json"
HALF = "sealing"
"""The state of a workspace that is being sealed."""


class Sealing(Protocol):
    """What seals a workspace: its database's columns, its files, and its blobs."""

    reference: str
    """Where its key-encryption key is."""

    @property
    def sealer(self) -> Sealer:
        """What columns are sealed with."""
        ...

    @property
    def vault(self) -> Vault:
        """What files are."""
        ...

    def check(self) -> None:
        """Whether the key is this workspace's.

        Raises:
            SealBroken: it is not.
        """
        ...

    def blobs(self, folder: Path, owner: str) -> BlobStore:
        """The sealed blobs of one owner in a folder."""
        ...


class OpensSealed(Protocol):
    """Makes the sealing of a workspace, with the key at a reference."""

    def __call__(
        self, reference: str, home: Path, database: Database, now: Callable[[], str]
    ) -> Sealing:
        """Raises ConfigError where the key cannot be had."""
        ...


class Workspace:
    """Paths, database and blobs of one workspace."""

    def __init__(
        self,
        home: Path,
        clock: Clock | None = None,
        *,
        database_url: SecretStr | None = None,
        reading: bool = False,
        make: bool = True,
        opens_sealed: OpensSealed | None = None,
        seal_key: str | None = None,
        half_sealed: bool = False,
    ) -> None:
        """Open the folder; where it is new, make it, unless ``make`` is False.

        ``database_url`` is where the facts are, if not in SQLite in that folder. ``seal_key`` says
        where the key-encryption key is: a new workspace is then a sealed one, and one that is
        sealed is opened with that instead of the key that it names. ``half_sealed`` opens one whose
        sealing was begun and not finished.

        On a disk that can only be read, what is there can be read. ``reading`` writes nothing
        in the database either, so that a workspace opens even where its disk is full.

        Raises:
            ConfigError: it cannot be used: made by a newer Mintage, not a folder, not permitted,
                on a network file system, or in use where it has to be alone.
            DependencyDown: the disk is full, or the database damaged.
        """
        self.clock = clock or SystemClock()
        self.home = workspace_folder(home, make=make and not reading)
        self.refusal = why_not_written(self.home, reading=reading)
        self.sealing: Sealing | None = None
        self._blobs: dict[str, BlobStore] = {}
        self._lock = WorkspaceLock(self.home / "workspace.lock", writable=self.refusal is None)
        try:
            sealed = self._described(database_url, seal_key)
            backend = backend_of(self.home, database_url, writable=self.refusal is None)
            self.database = Database(backend, self.refusal)
            try:
                self._enter()
                self._unseal(sealed, opens_sealed, seal_key, half_sealed=half_sealed)
            except BaseException:
                self.database.close()
                raise
        except BaseException:
            self._lock.close()
            raise

    def blobs_of(self, name: str) -> BlobStore:
        """The bytes of a dataset's examples; all datasets of an open workspace share theirs."""
        found = self._blobs.get(name)
        if found is None:
            found = self._blobs[name] = self._in_folder("blobs", dataset(name))
        return found

    def feedback_of(self, customer: str) -> BlobStore:
        """The pictures that a customer sent with feedback."""
        return self._in_folder("feedback", f"customer/{customer}")

    def _in_folder(self, name: str, owner: str) -> BlobStore:
        if self.sealing is None:
            return FolderBlobs(self.home / name)
        return self.sealing.blobs(self.home / name, owner)

    def stored(self, kind: Literal["blobs", "feedback"]) -> dict[Path, int]:
        """Bytes of every file of a kind, by where it lies."""
        return {
            path: path.stat().st_size
            for path in (self.home / kind).glob("??/*")
            if not path.name.startswith(".")
        }

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
    def download_folder(self) -> Path:
        """Sources that were fetched: may be deleted while nobody fetches."""
        return self.home / "downloads"

    @property
    def key_folder(self) -> Path:
        """Signing keys, mode 0600."""
        return self.home / "keys"

    @contextmanager
    def name_lock(self, kind: Literal["datasets", "models"], name: str) -> Iterator[None]:
        """Held from looking at a name's versions until the new one's folder and row stand."""
        folder = self.home / kind
        with readable_failures(folder):
            folder.mkdir(exist_ok=True)
            descriptor = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def run_lock(self, run: str) -> Iterator[None]:
        """Held by the one process that trains a run; it ends with that process.

        Raises:
            ConfigError: another process holds it.
        """
        folder = self.run_folder(run)
        with readable_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    _("Another process is training {run}.", run=run),
                    remedy=_("Wait for it, or stop it first."),
                ) from error
            yield
        finally:
            os.close(descriptor)

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else has the workspace open, or ConfigError says that somebody has."""
        return self._lock.alone()

    def flush_blobs(self) -> None:
        """Put every written blob on disk: one system-wide flush instead of one a file."""
        os.sync()

    def now(self) -> str:
        """The present moment as it stands in rows and records."""
        return timestamp(self.clock.now())

    def close(self) -> None:
        """Finish writing and let go."""
        if self.sealing is not None:
            unmount(self.sealing.vault)
        self.database.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _described(
        self, database_url: SecretStr | None, seal_key: str | None
    ) -> dict[str, str] | None:
        """What the description says of its sealing; None where it is open."""
        path = self.home / DESCRIPTION
        with readable_failures(path):
            if not path.exists():
                if self.refusal is not None:
                    raise self.refusal
                described: dict[str, Any] = {"format": FORMAT, "created_at": self.now()}
                if database_url is not None:
                    described["database"] = _POSTGRESQL
                if seal_key is not None:
                    described["seal"] = {"key": seal_key}
                write_atomic(path, json.dumps(described).encode() + b"\n")
            text = path.read_bytes()
        found = described_format(text)
        if found is None:
            raise ConfigError(
                _("{path} is not a workspace's description.", path=path),
                remedy=_("Name another folder with --home, or restore this one from a backup."),
            )
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
        misplaced = elsewhere(self.home, text, database_url)
        if misplaced is not None:
            raise misplaced
        return sealed_by(self.home, text)

    def _unseal(
        self,
        sealed: dict[str, str] | None,
        opens: OpensSealed | None,
        seal_key: str | None,
        *,
        half_sealed: bool,
    ) -> None:
        """Open a sealed workspace with its key, or none of it."""
        if sealed is None:
            self._check_open(seal_key)
            return
        if sealed.get("state") == HALF and not half_sealed:
            raise ConfigError(
                _("The sealing of {home} was begun and is not finished.", home=self.home),
                remedy=_("Finish it: mintage seal"),
            )
        if opens is None:
            raise ConfigError(_("The workspace {home} is sealed.", home=self.home))
        self.unseal(opens(seal_key or sealed["key"], self.home, self.database, self.now))

    def unseal(self, sealing: Sealing) -> None:
        """From here on columns, files and blobs are closed on the way in and opened on the way out.

        Raises:
            SealBroken: its key is not this workspace's.
        """
        sealing.check()
        self.database.seal_with(sealing.sealer)
        mount(self.home, sealing.vault)
        self.sealing = sealing
        self._blobs.clear()

    def _check_open(self, seal_key: str | None) -> None:
        """Whether one that says that it is open was never sealed."""
        with self.database.read() as connection:
            was_sealed = data_keys.any_of(connection)
        if was_sealed:
            raise SealBroken(
                _("{home} says that it is open, but its database is sealed.", home=self.home),
                remedy=_("Somebody changed {file}. Restore it.", file=DESCRIPTION),
            )
        if seal_key is not None:
            raise ConfigError(
                _("MINTAGE_SEAL_KEY names a key, but {home} is not sealed.", home=self.home),
                remedy=_("Seal it: mintage seal. Or unset MINTAGE_SEAL_KEY."),
            )

    def _enter(self) -> None:
        """Alone: bring the tables up to date and clear up. With others inside: join them."""
        if self.refusal is not None:
            self._lock.share()
            if not self.database.is_current():
                raise self.refusal
            return
        if not self._lock.try_alone():
            # Somebody else is inside, or is just making the tables: wait until they are made.
            self._lock.share()
            if self.database.is_current():
                return
            if not self._lock.try_alone():
                raise self._lock.in_use()
        if self.database.is_empty() and any(folders(self.home)):
            raise ConfigError(
                _("The database of {home} is missing or empty, but it holds data.", home=self.home),
                remedy=_(
                    "Restore {database} from a backup; nothing was changed. Without one: move "
                    "the folders datasets, models and runs elsewhere and collect again.",
                    database=self.database.where,
                ),
            )
        self.database.migrate()
        sweep(self.home, self.database)
        # From here on others may join, but nobody sweeps under our feet.
        self._lock.share()


def describe_sealing(home: Path, sealing: Mapping[str, str]) -> None:
    """Write where the key is, and how far its sealing is, into the description."""
    path = home / DESCRIPTION
    said = json.loads(path.read_bytes())
    write_atomic(path, json.dumps({**said, "seal": dict(sealing)}).encode() + b"\n")


def sealed_by(home: Path, description: bytes) -> dict[str, str] | None:
    """Where the key-encryption key is (``key``), and ``state``; None where nothing is sealed.

    Raises:
        ConfigError: the description is damaged.
    """
    found = json.loads(description).get("seal")
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("key"), str):
        raise ConfigError(
            _("{path} is not a workspace's description.", path=home / DESCRIPTION),
            remedy=_("Name another folder with --home, or restore this one from a backup."),
        )
    return found


def described_format(text: bytes) -> int | None:
    """The format that a ``workspace.json`` names; None where it is none."""
    try:
        found = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def elsewhere(home: Path, description: bytes, database_url: SecretStr | None) -> ConfigError | None:
    """Why this is not where the workspace's facts are; None where it is.

    Otherwise a forgotten setting would show an empty workspace in place of the full one.
    """
    in_postgresql = json.loads(description).get("database") == _POSTGRESQL
    if in_postgresql and database_url is None:
        return ConfigError(
            _("The facts of the workspace {home} are in PostgreSQL.", home=home),
            remedy=_("Say in which with MINTAGE_DATABASE_URL."),
        )
    if database_url is not None and not in_postgresql:
        return ConfigError(
            _("The facts of the workspace {home} are in its own mintage.db.", home=home),
            remedy=_("Unset MINTAGE_DATABASE_URL, or begin another workspace with --home."),
        )
    return None
