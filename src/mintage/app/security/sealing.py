"""Personal data that lies open: all of it in an open workspace, planted values in a sealed one."""

from __future__ import annotations

from collections.abc import Iterator

from mintage.app.security.weakness import Weakness
from mintage.core.messages import _
from mintage.store.sealed import lying_open
from mintage.store.workspace import Workspace


def examine_sealing(workspace: Workspace) -> Iterator[Weakness]:
    """Every column of personal data that holds a value which is not sealed."""
    with workspace.database.read() as connection:
        found = lying_open(connection)
    if not found:
        return
    columns = ", ".join(found)
    if workspace.sealing is None:
        yield Weakness(
            "data.unsealed",
            "medium",
            _("personal data lies open in the database: {columns}", columns=columns),
            _("Seal the workspace: mintage seal; docs/how-to/seal-a-workspace.md says how."),
        )
    else:
        yield Weakness(
            "data.planted",
            "critical",
            _("values lie open in a sealed workspace: {columns}", columns=columns),
            _("Somebody put them there. Restore the workspace from a backup."),
        )
