"""A backup becomes a workspace again: checked before anything is put in place, and after."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from pydantic import SecretStr

from mintage.app import backup
from mintage.app.backup import FILES, TABLES, Contents, not_whole, opened
from mintage.app.finding import Finding
from mintage.app.workspace_check import examine_workspace
from mintage.capture.books.ledger import Ledger
from mintage.capture.checking.documents import DocumentCheck
from mintage.capture.hours.rollup import Rollup
from mintage.core.clock import Clock, SystemClock
from mintage.core.errors import ConfigError, DataError, LogForked
from mintage.core.files import readable_failures, sync_folder, write_atomic
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.store import rows
from mintage.store.backend import backend_of
from mintage.store.engine import Database
from mintage.store.workspace import FORMAT, Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.keys import KeyRing
from mintage.trust.sealing.opening import WorkspaceSealing

_CHUNK = 1 << 20
_MOST_ROW_BYTES = 256_000_000


@dataclass(frozen=True)
class Restored:
    """What was restored, and what was found when it was looked through afterwards."""

    home: Path
    contents: Contents
    leaves: int
    transactions: int
    findings: list[Finding]


def restore(
    path: Path,
    home: Path,
    *,
    database_url: SecretStr | None = None,
    seal_key: str | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Make a workspace of a backup, in a folder and a database where nothing is yet.

    ``database_url`` is where its facts go, if not into SQLite in that folder; from which kind of
    database they come does not matter. ``seal_key`` says where the key of a sealed one is now.

    Raises:
        ConfigError: there is something in the folder or the database, or no such backup.
        DataError: the backup is not whole; nothing was put in place.
        TrustError: the backup is whole, but the log or the books in it do not hold.
        DependencyDown: the disk is full; nothing was put in place.
    """
    shown, clock = progress or Silent(), clock or SystemClock()
    home = home.expanduser().absolute()
    _check_free(home)
    contents = backup.verify(path, shown)
    staging = home.with_name(f".{home.name}.{new_id('tmp')}")
    with readable_failures(home):
        try:
            staging.mkdir(mode=0o700, parents=True)
            _put_files(path, contents, staging, shown)
            _describe(contents, staging, database_url, seal_key)
            _put_rows(path, contents, staging, database_url, shown)
            os.sync()  # every file at once
            if home.exists():
                home.rmdir()  # it is empty
            staging.rename(home)
            sync_folder(home.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return _examined(home, contents, database_url, clock)


def _check_free(home: Path) -> None:
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise ConfigError(
            _("{home} is not empty, and a backup is never restored over anything.", home=home),
            remedy=_("Name a new folder with --home, then look at it before you use it."),
        )


def _describe(
    contents: Contents, staging: Path, database_url: SecretStr | None, seal_key: str | None
) -> None:
    said: dict[str, object] = {"format": FORMAT, "created_at": contents.made_at}
    if database_url is not None:
        said["database"] = "postgresql"
    if contents.seal_key is not None:
        said["seal"] = {"key": seal_key or contents.seal_key}
    write_atomic(staging / "workspace.json", json.dumps(said).encode() + b"\n")


def _put_files(path: Path, contents: Contents, staging: Path, shown: Progress) -> None:
    shown.start(_("Writing the files"), contents.size_bytes)
    done = 0
    for member, stream in _members(path):
        name = member.name
        if name.startswith(f"{FILES}/"):
            target = staging / name.removeprefix(f"{FILES}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            private = target.is_relative_to(staging / "keys")
            if private:
                target.parent.chmod(0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(target, flags, 0o600 if private else 0o644), "wb") as out:
                shutil.copyfileobj(stream, out, _CHUNK)
            if private:
                # How old a key is that was never listed, its file alone says.
                os.utime(target, (member.mtime, member.mtime))
        done += contents.digests.get(name, ("", 0))[1]
        shown.advance(done)
    shown.finish()


def _put_rows(
    path: Path,
    contents: Contents,
    staging: Path,
    database_url: SecretStr | None,
    shown: Progress,
) -> None:
    """All rows in one transaction: a database has them all, or none."""
    with closing(Database(backend_of(staging, database_url))) as database:
        if _is_used(database):
            raise ConfigError(
                _(
                    "{database} is not empty, and a backup is never restored over anything.",
                    database=database.where,
                ),
                remedy=_("Make an empty database, and say its address in MINTAGE_DATABASE_URL."),
            )
        database.migrate()
        shown.start(_("Writing the rows"), len(contents.rows))

        def work(connection: rows.Connection) -> None:
            for done, name in enumerate(rows.tables(), start=1):
                with opened(path) as tar:
                    packed = tar.extractfile(f"{TABLES}/{name}.jsonl.gz")
                    with gzip.GzipFile(fileobj=cast("IO[bytes]", packed)) as lines:
                        count = rows.take_in(connection, name, _rows(path, lines))
                if count != contents.rows[name]:
                    raise not_whole(path)
                shown.advance(done, name)
            rows.go_on_counting(connection)

        try:
            database.write(work)
        except KeyError as error:  # a table is missing from it
            raise not_whole(path) from error
        shown.finish()


def _rows(path: Path, lines: gzip.GzipFile) -> Iterator[bytes]:
    """A table's lines; one that never ends is none of ours, and is not held."""
    while line := lines.readline(_MOST_ROW_BYTES + 1):
        if len(line) > _MOST_ROW_BYTES:
            raise not_whole(path)
        yield line


def _is_used(database: Database) -> bool:
    """Whether there is a row; tables with nothing in them are left by a restore that failed."""
    if database.is_empty():
        return False
    with database.read() as connection:
        return rows.has_any(connection)


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    with opened(path) as tar:
        member: tarfile.TarInfo
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                yield member, stream


def _examined(
    home: Path, contents: Contents, database_url: SecretStr | None, clock: Clock
) -> Restored:
    """Every record of the log is hashed again, the books are added up, files are looked for."""
    with Workspace(
        home, clock, database_url=database_url, opens_sealed=WorkspaceSealing
    ) as workspace:
        database = workspace.database
        log = AuditLog(database, KeyRing(workspace.key_folder), clock=clock)
        leaves = _checked(log, with_keys=contents.with_keys)
        is_whole = len(log.logs()) == 1  # else some was frozen, whose damage is known
        balances = Ledger(database).check()
        DocumentCheck(database).check()
        Rollup(database, clock).check()
    if is_whole and leaves != contents.leaves:
        raise DataError(
            _(
                "{count} records of the log were restored, of {leaves}.",
                count=leaves,
                leaves=contents.leaves,
            )
        )
    findings = list(examine_workspace(home, clock, database_url))
    return Restored(home, contents, leaves, balances.transactions, findings)


def _checked(log: AuditLog, *, with_keys: bool) -> int:
    """``AuditLog.check``; without its key, all but who signed the heads."""
    found = log.examine()
    for each in found:
        is_known = each.is_frozen or (not with_keys and not isinstance(each.fault, LogForked))
        if each.fault is not None and not is_known:
            raise each.fault
    return sum(each.entries for each in found)
