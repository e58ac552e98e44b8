"""Data that was read or erased: one entry of the log an opening, never one a file."""

from __future__ import annotations

from typing import Any, Literal

from mintage.store.workspace import Workspace
from mintage.trust.leaves import append
from mintage.trust.repository import Connection

READ, ERASED = "data.read", "data.erased"
What = Literal["receipt", "feedback", "bundle", "backup", "files"]


def log_reading(workspace: Workspace, what: What, **said: Any) -> None:
    """Log that data is read, before it is; not of a workspace where nothing can be written.

    Raises:
        DependencyDown: the log cannot be written, so that nothing is to be read.
    """
    _log(workspace, READ, {"what": what, **said, "read_at": workspace.now()})


def log_erasing(workspace: Workspace, what: What, **said: Any) -> None:
    """Log that data was erased.

    Raises:
        DependencyDown: the log cannot be written.
    """
    _log(workspace, ERASED, {"what": what, **said, "erased_at": workspace.now()})


def _log(workspace: Workspace, kind: str, record: dict[str, Any]) -> None:
    if workspace.refusal is not None:
        return

    def work(connection: Connection) -> None:
        append(connection, kind, record)

    workspace.database.submit(work, only_adds=True).result()
