"""Data that was read or erased: one entry of the log an opening, never one a file."""

from __future__ import annotations

from typing import Any, Literal

from mintage.store.workspace import Workspace
from mintage.trust.leaves import append
from mintage.trust.repository import Connection

READ, ERASED = "data.read", "data.erased"
What = Literal["receipt", "feedback", "bundle", "backup", "evidence", "log", "files"]


def log_reading(workspace: Workspace, what: What, **said: Any) -> int | None:
    """Log that data is read, before it is; the position of that entry.

    None: of a workspace where nothing can be written nothing is logged.

    Raises:
        DependencyDown: the log cannot be written, so that nothing is to be read.
    """
    return _log(workspace, READ, {"what": what, **said, "read_at": workspace.now()})


def log_erasing(workspace: Workspace, what: What, **said: Any) -> None:
    """Log that data was erased.

    Raises:
        DependencyDown: the log cannot be written.
    """
    _log(workspace, ERASED, {"what": what, **said, "erased_at": workspace.now()})


def _log(workspace: Workspace, kind: str, record: dict[str, Any]) -> int | None:
    if workspace.refusal is not None:
        return None

    def work(connection: Connection) -> int:
        return append(connection, kind, record).position

    return workspace.database.submit(work, only_adds=True).result()
