"""Whether what is signed is what was signed, and the log what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mintage.app.security.weakness import Weakness
from mintage.core.errors import MintageError, TrustError
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.store import inventory
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.keys import KeyRing, Role
from mintage.trust.signing import check_folder

_ROLES: tuple[Role, ...] = ("data", "bundle")


def examine_log(log: AuditLog, progress: Progress) -> Iterator[Weakness]:
    """Every entry hashed again, and all held against every head that was signed."""
    for checked in log.examine(progress=progress):
        if checked.is_frozen:
            yield Weakness(
                "log.frozen",
                "low",
                _(
                    "{origin} was frozen: {reason}",
                    origin=checked.log.origin,
                    reason=Message(checked.log.reason or ""),
                ),
                _("Another goes on in its place; see: mintage audit verify"),
            )
        elif checked.fault is not None:
            yield Weakness("log.damaged", "critical", checked.fault.message, checked.fault.remedy)


def examine_bundles(workspace: Workspace, keys: KeyRing, progress: Progress) -> Iterator[Weakness]:
    """Every file of every dataset and model hashed again, and held against its signature."""
    try:
        believed = {role: keys.public_keys(role) for role in _ROLES}
    except TrustError as error:  # a key's own weakness, such as a file that others can read
        said = _("what is signed cannot be checked: {reason}", reason=error.message)
        yield Weakness("bundle.unchecked", "high", said, error.remedy)
        return
    with workspace.database.read() as connection:
        datasets, models = inventory.all_datasets(connection), inventory.all_models(connection)
    progress.start(_("Checking what is signed"), len(datasets) + len(models))
    standing: list[tuple[str, Path, Role, str | None]] = [
        *(
            (
                f"{row['name']}#{row['version']}",
                workspace.dataset_folder(row["name"], row["version"]),
                "data",
                None,
            )
            for row in datasets
        ),
        *(
            (
                f"{row['name']}@{row['version']}",
                workspace.model_folder(row["name"], row["version"]),
                "bundle",
                row["bundle_digest"],
            )
            for row in models
        ),
    ]
    for number, (subject, folder, role, digest) in enumerate(standing, 1):
        remedy = _("Do not use it: restore it from a backup, or make it anew.")
        try:
            found = check_folder(folder, believed[role], subject=subject)
        except MintageError as error:
            yield Weakness("bundle.tampered", "critical", error.message, remedy)
        else:
            if digest not in (None, found.digest):
                said = _("{model} is not the bundle that was signed here.", model=subject)
                yield Weakness("bundle.tampered", "critical", said, remedy)
        progress.advance(number)
    progress.finish()
