"""The verbs that keep a workspace in order: list, show, remove, clear."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from mintage.app.clearing import Cleared, clear
from mintage.app.listing import KINDS, Listing
from mintage.app.removing import Removal, removal, remove
from mintage.app.showing import Showing
from mintage.core.clock import Clock
from mintage.core.errors import DependencyDown
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing
from mintage.trust.sealing.opening import WorkspaceSealing


class Housekeeping:
    """Over one opened workspace; ``keys`` verify what is shown."""

    def __init__(self, workspace: Workspace, keys: KeyRing) -> None:
        self._workspace = workspace
        self._keys = keys

    def listing(self, kinds: Collection[str] = KINDS) -> dict[str, Any]:
        """What stands here, with sizes; ``kinds`` are of ``KINDS``."""
        return Listing(self._workspace).to_json(kinds)

    def show(self, reference: str) -> list[dict[str, Any]]:
        """Everything known of what a reference names: a name alone may be several things.

        Raises:
            RequestError: there is nothing of that name (404).
        """
        return Showing(self._workspace, self._keys).of(reference)

    def removal(self, reference: str, *, force: bool = False) -> Removal:
        """What ``remove`` would do; raises as it does."""
        return removal(self._workspace, reference, force=force)

    def remove(self, reference: str, *, force: bool = False) -> Removal:
        """Remove a model's version, a dataset's version or a run.

        Raises:
            RequestError: there is no such thing (404).
            ConfigError: it names no one version, or something stands on it.
        """
        return remove(self._workspace, reference, force=force)


def clear_workspace(
    home: Path,
    clock: Clock | None = None,
    *,
    database_url: SecretStr | None = None,
    seal_key: str | None = None,
    dry_run: bool = False,
) -> Cleared:
    """Free what nothing needs in the workspace at ``home``, even where the disk is full.

    Raises:
        ConfigError: another process has it open.
    """
    asked: dict[str, Any] = {
        "database_url": database_url,
        "opens_sealed": WorkspaceSealing,
        "seal_key": seal_key,
    }
    try:
        workspace = Workspace(home, clock, **asked)
    except DependencyDown:
        # On a full disk a database opens for reading only, and what it names is all we need.
        workspace = Workspace(home, clock, reading=True, **asked)
    with workspace:
        return clear(workspace, dry_run=dry_run)
