"""Freeing what nothing needs; the workspace has to be ours alone meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mintage.app.listing import blob_paths
from mintage.app.stock import Stock
from mintage.core.files import is_only_copy, is_temporary, readable_failures, size_on_disk
from mintage.core.messages import Message, _
from mintage.store import inventory
from mintage.store.leftovers import orphans
from mintage.store.workspace import Workspace
from mintage.trust.openings import log_erasing

_WEIGHTS = ("checkpoints", "model.onnx")  # the bundle has what was kept of them


@dataclass(frozen=True)
class Freed:
    """How much of one kind was freed, or would be."""

    kind: str
    count: int
    size_bytes: int


@dataclass(frozen=True)
class Cleared:
    """What was freed, kind by kind, and what had to be left alone, and why."""

    freed: tuple[Freed, ...]
    left: tuple[Message, ...]

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(each.size_bytes for each in self.freed)


def clear(workspace: Workspace, *, dry_run: bool = False) -> Cleared:
    """Free what nothing needs, or (``dry_run``) say what that would be.

    A collect writes its blobs before the manifest that names them, so this needs the workspace
    alone; where its database cannot be written, files are freed all the same.

    Raises:
        ConfigError: another process has it open.
    """
    with workspace.alone():
        stock = Stock.of(workspace)
        found = {
            "cache": _children(workspace.cache_folder),
            "downloads": _children(workspace.download_folder),
            "removed": orphans(workspace.home, workspace.database),
            "runs": list(_runs_without_model(stock)),
            "weights": list(_weights(stock)),
            "blobs": _unnamed_blobs(workspace, stock),
            "feedback": _unclaimed(workspace),
            "temporary": list(_temporary(workspace)),
        }
        freed = [_freed(kind, paths or [], dry_run=dry_run) for kind, paths in found.items()]
        freed.append(_expired(workspace, dry_run=dry_run))
        gone = {each.kind: each.count for each in freed if each.count}
        if gone and not dry_run:
            log_erasing(workspace, "files", counts=gone)
    return Cleared(
        tuple(freed), () if found["blobs"] is not None else (_damaged(workspace, stock),)
    )


def _freed(kind: str, paths: list[Path], *, dry_run: bool) -> Freed:
    """Empty folders go too, uncounted: they hold nothing."""
    size = sum(size_on_disk(path) for path in paths)
    count = sum(not _is_empty(path) for path in paths)
    for path in paths if not dry_run else ():
        with readable_failures(path), suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return Freed(kind, count, size)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _runs_without_model(stock: Stock) -> Iterator[Path]:
    """Runs that ended, made nothing and cannot be resumed: they had learned nothing yet."""
    for run in stock.runs:
        ended = run.row["status"] in ("failed", "interrupted")
        made_nothing = ended and run.row["model"] is None and run.folder.is_dir()
        if made_nothing and not any(run.folder.glob("checkpoints/**/state.safetensors")):
            yield run.folder


def _weights(stock: Stock) -> Iterator[Path]:
    """The weights of finished runs, which their bundles have; record, log and report stay."""
    for run in stock.runs:
        if run.row["status"] == "finished":
            yield from (path for name in _WEIGHTS if (path := run.folder / name).exists())


def _unnamed_blobs(workspace: Workspace, stock: Stock) -> list[Path] | None:
    """Blobs that no dataset names; None where a manifest is damaged, and so nobody can tell."""
    named: set[Path] = set()
    for dataset in stock.datasets:
        paths = blob_paths(workspace, dataset)
        if paths is None:
            return None
        named |= paths
    return [path for path in workspace.stored("blobs") if path not in named]


def _unclaimed(workspace: Workspace) -> list[Path]:
    """Pictures that no feedback has any more: a crash stood between the file and its row."""
    with workspace.database.read() as connection:
        waiting = inventory.waiting_files(connection)
    wanted = {workspace.feedback_of(customer).path(sha256) for customer, sha256 in waiting}
    return [path for path in workspace.stored("feedback") if path not in wanted]


def _damaged(workspace: Workspace, stock: Stock) -> Message:
    damaged = [each.reference for each in stock.datasets if blob_paths(workspace, each) is None]
    return _(
        "No blob was freed: the manifest of {datasets} is damaged, so that nobody can tell which "
        "blobs it needs. Restore it from a backup, or remove it: mintage remove {first}",
        datasets=", ".join(damaged),
        first=damaged[0],
    )


def _temporary(workspace: Workspace) -> Iterator[Path]:
    """What a crash left of files that were being written; the cache's own go with it."""
    passed = {workspace.cache_folder, workspace.download_folder}
    for place, folders, names in os.walk(workspace.home):
        folder = Path(place)
        begun = [folder / name for name in (*names, *folders) if is_temporary(name)]
        yield from (path for path in begun if not is_only_copy(path))
        folders[:] = [
            name for name in folders if not is_temporary(name) and folder / name not in passed
        ]


def _expired(workspace: Workspace, *, dry_run: bool) -> Freed:
    """Stored answers past their time, unless the database can only be read."""
    if workspace.refusal is not None:
        return Freed("answers", 0, 0)
    now = workspace.now()
    with workspace.database.read() as connection:
        count, size = inventory.expired_answers(connection, now)
    if count and not dry_run:
        workspace.database.write(lambda each: inventory.remove_expired_answers(each, now))
    return Freed("answers", count, size)
