"""Sealing a workspace that stands, and exchanging its keys."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mintage.app.root import App
from mintage.app.stock import Stock, Thing
from mintage.bundle.language import is_language
from mintage.core.canonical import sha256_hex
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError, DataError
from mintage.core.files import (
    disk_full,
    is_temporary,
    read_stored,
    read_whole,
    size_on_disk,
    store_atomic,
)
from mintage.core.messages import _
from mintage.core.parallel import in_order
from mintage.core.ports import BlobStore
from mintage.core.progress import Progress, Silent
from mintage.core.settings import Settings
from mintage.core.units import format_size
from mintage.store import data_keys, inventory, sealed
from mintage.store.blobs import FolderBlobs
from mintage.store.workspace import (
    DESCRIPTION,
    HALF,
    Workspace,
    describe_sealing,
    sealed_by,
)
from mintage.trust import repository as log
from mintage.trust.leaves import append
from mintage.trust.sealing import tink_keys
from mintage.trust.sealing.files import SEALED_FOLDERS, is_sealed
from mintage.trust.sealing.opening import WorkspaceSealing
from mintage.trust.sealing.wrapping import (
    KeyEncryptionKey,
    make_key_file,
    read_key_file,
    write_key_file,
)

SEALED, ROTATED, RENEWED = "workspace.sealed", "seal.rotated", "seal.renewed"
_ROWS_AT_ONCE = 500
_FILE = "file:"
T = TypeVar("T")


@dataclass(frozen=True)
class Sealed:
    """How much of each kind was sealed, and how many files that lay open were ``removed``."""

    key: str
    rows: int
    files: int
    blobs: int
    removed: int

    def to_json(self) -> dict[str, Any]:
        """As ``mintage seal --json`` prints it."""
        return vars(self)


@dataclass(frozen=True)
class Rotated:
    """How many data keys the key-encryption key ``wrapped_by`` wraps anew."""

    wrapped_by: str
    wrapped: int


def usable_key(reference: str | None, home: Path) -> str:
    """Where the key-encryption key is to be; made where it is to be a file and there is none.

    It is never within the workspace, or whoever copies that has its key too.

    Raises:
        ConfigError: it is within, or cannot be made.
        DependencyDown: what seals is not installed.
    """
    tink_keys.demand()
    home = home.expanduser().absolute()
    if reference is None:
        name = f"seal-{sha256_hex(str(home).encode())[:12]}.key"
        reference = f"{_FILE}{_key_folder() / name}"
    if not reference.startswith(_FILE):
        return reference
    path = Path(reference.removeprefix(_FILE)).expanduser().absolute()
    if path.is_relative_to(home):
        raise ConfigError(
            _("{path} is within the workspace that it is to seal.", path=path),
            remedy=_("Name a place outside of it, best on another disk."),
        )
    if not path.exists():
        make_key_file(path)
    return f"{_FILE}{path}"


def seal_workspace(
    settings: Settings,
    key: str | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Sealed:
    """``seal`` the workspace of these settings, with a ``usable_key``."""
    place = settings.home.expanduser() / DESCRIPTION
    begun = sealed_by(settings.home, place.read_bytes()) if place.exists() else None
    reference = key or settings.seal_key
    # One that is not sealed yet is opened as it is, without the key that it will have.
    opening = settings.model_copy(update={"seal_key": None if begun is None else reference})
    with App(opening, clock, make=False, half_sealed=True) as app:
        if begun is None:
            reference = usable_key(reference, settings.home)
        return seal(app.workspace, begun["key"] if begun else reference or "", progress)


def seal(workspace: Workspace, key: str, progress: Progress | None = None) -> Sealed:
    """Seal all that a workspace holds, or go on where that was cut short; nobody else has it open.

    What is sealed takes the place of what lay open only once it is on the disk.

    Raises:
        ConfigError: it is sealed already, somebody else has it open, or it holds a language model.
        DataError: a manifest or a blob is damaged; mend that first.
        DependencyDown: there is no room for the copies.
    """
    begun = sealed_by(workspace.home, read_stored(workspace.home / DESCRIPTION))
    if begun is not None and begun.get("state") != HALF:
        raise ConfigError(_("The workspace {home} is sealed already.", home=workspace.home))
    shown = progress or Silent()
    with workspace.alone():
        stock = Stock.of(workspace)
        named = {each.reference: _blobs_named(workspace, each) for each in stock.datasets}
        if begun is None:
            _check_sealable(workspace, stock)
            home, database = workspace.home, workspace.database
            sealing = WorkspaceSealing(key, home, database, workspace.now)
            describe_sealing(home, {"key": key, "state": HALF})
            workspace.unseal(sealing)
        rows = _seal_rows(workspace, shown)
        files = _seal_files(workspace, shown)
        blobs = _seal_blobs(workspace, stock, named, shown)
        os.sync()  # every sealed blob, before any that lies open goes
        removed = _drop_open(workspace)
        workspace.database.write(lambda connection: _log_once(connection, workspace.now()))
        workspace.database.scrub(whole=True)
        describe_sealing(workspace.home, {"key": key})
    return Sealed(key, rows, files, blobs, removed)


def rotate(workspace: Workspace) -> Rotated:
    """Have another key-encryption key wrap every data key, while the workspace is served.

    In a file a new one is made, and the old one goes once nothing needs it. In a variable, or at a
    service, whoever keeps it there has put the new one first.

    Raises:
        ConfigError: the workspace is not sealed, or there is no new key in the variable.
    """
    keys = _sealing_of(workspace).sealer
    reference = keys.wrapping.reference
    path = _file_of(reference)
    if path is not None and len(held := read_key_file(path)) == 1:
        write_key_file(path, [KeyEncryptionKey.generate(), *held])

    def work(connection: data_keys.Connection) -> Rotated:
        rows = data_keys.everyone(connection)
        count = sum(keys.rewrapped(connection, row) for row in rows)
        done = Rotated(keys.wrapping.current(), count)
        if count:
            append(connection, ROTATED, {**vars(done), "rotated_at": workspace.now()})
        return done

    done = workspace.database.write(work)
    if path is not None:
        write_key_file(path, read_key_file(path)[:1])
    elif not done.wrapped:
        raise ConfigError(
            _(
                "{reference} still gives the key that wraps already.",
                reference=keys.wrapping.reference,
            ),
            remedy=_("Put the new key first and leave the old one behind it, then rotate."),
        )
    workspace.database.scrub(whole=False)
    return done


def renew(workspace: Workspace) -> int:
    """Have what is sealed from now on sealed under new data keys; how many were retired.

    What they sealed stays sealed under them, and opens.

    Raises:
        ConfigError: the workspace is not sealed.
    """
    _sealing_of(workspace)
    now = workspace.now()

    def work(connection: data_keys.Connection) -> int:
        count = data_keys.retire_all(connection, now)
        append(connection, RENEWED, {"retired": count, "renewed_at": now})
        return count

    return workspace.database.write(work)


def _sealing_of(workspace: Workspace) -> WorkspaceSealing:
    if not isinstance(workspace.sealing, WorkspaceSealing):
        raise ConfigError(
            _("The workspace {home} is not sealed.", home=workspace.home),
            remedy=_("Seal it: mintage seal"),
        )
    return workspace.sealing


def _check_sealable(workspace: Workspace, stock: Stock) -> None:
    for model in stock.models:
        if is_language(model.folder):
            raise ConfigError(
                _(
                    "{model} is a language model, which a sealed workspace cannot hold.",
                    model=model.reference,
                ),
                remedy=_("Export and remove it first; keep it in a workspace that is not sealed."),
            )
    home = workspace.home
    needed = sum(size_on_disk(home / kind) for kind in ("blobs", "feedback", "mintage.db"))
    if shutil.disk_usage(home).free < needed:
        raise disk_full(home, _("sealing needs {size} free", size=format_size(needed)))


def _blobs_named(workspace: Workspace, dataset: Thing) -> list[str]:
    """The digests in a manifest, sealed or not yet.

    Raises:
        DataError: it is gone or damaged.
    """
    path = dataset.folder / "manifest.jsonl"
    try:
        data = read_whole(path) if workspace.sealing and is_sealed(path) else read_stored(path)
    except OSError:
        data = b""
    if sha256_hex(data) != dataset.row["version"]:
        raise DataError(
            _("The manifest of {dataset} is damaged.", dataset=dataset.reference),
            remedy=_("Restore it from a backup, or remove it, then seal."),
        )
    return [json.loads(line)["sha256"] for line in data.splitlines()]


def _seal_rows(workspace: Workspace, shown: Progress) -> int:
    shown.start(_("Sealing the rows"))
    done = 0
    for name in sealed.COLUMNS:
        after: str | None = ""
        while after is not None:
            after, count = _written(workspace, partial(sealed.seal_rows, name=name, after=after))
            done += count
            shown.advance(done, name)
    first: int | None = 0
    while first is not None:
        first, count = _written(workspace, partial(log.seal_leaves, first=first))
        done += count
        shown.advance(done, "log_leaves")
    shown.finish()
    return done


def _written(workspace: Workspace, work: Callable[..., T]) -> T:
    return workspace.database.write(lambda connection: work(connection, most=_ROWS_AT_ONCE))


def _seal_files(workspace: Workspace, shown: Progress) -> int:
    vault, home = _sealing_of(workspace).vault, workspace.home
    paths = [
        path
        for kind in sorted(SEALED_FOLDERS - {"cache"})
        for path in sorted((home / kind).rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    ]
    shown.start(_("Sealing the files"), len(paths))
    count = 0
    for done, path in enumerate(paths, start=1):
        if is_temporary(path.name):
            path.unlink()
        elif not is_sealed(path):
            name, before = path.relative_to(home).as_posix(), path.stat()
            store_atomic(path, vault.seal(name, read_stored(path)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # a run counts by it
            vault.landed([name])
            count += 1
        shown.advance(done)
    shown.finish()
    return count


def _seal_blobs(
    workspace: Workspace, stock: Stock, named: Mapping[str, list[str]], shown: Progress
) -> int:
    """Beside those that lie open; the pictures of feedback too."""
    lying_open = FolderBlobs(workspace.home / "blobs")
    count = 0
    for dataset in stock.datasets:
        blobs = workspace.blobs_of(dataset.row["name"])

        def one(sha256: str, blobs: BlobStore = blobs) -> int:
            if blobs.has(sha256):
                return 0
            blobs.put(sha256, lying_open.get(sha256))
            return 1

        title = _("Sealing {dataset}", dataset=dataset.reference)
        count += sum(in_order(title, named[dataset.reference], one, shown))
    pictures = FolderBlobs(workspace.home / "feedback")
    with workspace.database.read() as connection:
        waiting = inventory.waiting_files(connection)
    for customer, sha256 in sorted(waiting):
        own = workspace.feedback_of(customer)
        if not own.has(sha256):
            own.put(sha256, pictures.get(sha256), durable=True)
            count += 1
    return count


def _drop_open(workspace: Workspace) -> int:
    """Remove what lies open: each blob has a sealed copy by now, but those that nobody named.

    What a crash left half-written goes too.
    """
    gone = [
        path
        for kind in ("blobs", "feedback")
        for path in (workspace.home / kind).glob("??/*")
        if is_temporary(path.name) or not is_sealed(path)
    ]
    for path in gone:
        path.unlink()
    for folder in (workspace.cache_folder, workspace.download_folder):
        shutil.rmtree(folder, ignore_errors=True)
    return len(gone)


def _log_once(connection: log.Connection, now: str) -> None:
    with closing(log.read_rows(connection, kinds=(SEALED,), most=1)) as rows:
        if next(rows, None) is None:
            append(connection, SEALED, {"sealed_at": now})


def _file_of(reference: str) -> Path | None:
    is_file = reference.startswith(_FILE)
    return Path(reference.removeprefix(_FILE)) if is_file else None


def _key_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "mintage"
