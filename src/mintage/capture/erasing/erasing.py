"""Erase a customer: their key is destroyed, so that what is sealed under it says nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintage.capture.customers import found_customer
from mintage.capture.erasing import repository
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import _
from mintage.store import data_keys, sealed
from mintage.store.workspace import Workspace
from mintage.trust import audit

KIND = "customer.erased"


@dataclass(frozen=True)
class Erased:
    """What went of a customer, and what remains by law; ``datasets`` have pictures of theirs."""

    customer: str
    erased_at: str
    removed: Mapping[str, int]
    remains: Mapping[str, int]
    datasets: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As the log has it, and ``mintage erase --json`` prints it."""
        return {
            "customer": self.customer,
            "erased_at": self.erased_at,
            "removed": dict(self.removed),
            "remains": dict(self.remains),
            "datasets": list(self.datasets),
        }


def erase(workspace: Workspace, customer: str) -> Erased:
    """Destroy a customer's data key, remove what is not kept by law, and log it: all or nothing.

    Files go after that; under the destroyed key they are noise already.

    Raises:
        ConfigError: the workspace is not sealed: its log would say for ever what it says now.
        RequestError: there is no such customer (404), it was erased (409), or a draft waits (409).
    """
    if workspace.sealing is None:
        raise ConfigError(
            _("This workspace is not sealed, so what its audit log says cannot be erased."),
            remedy=_("Seal it first: mintage seal"),
        )
    now = workspace.now()
    with workspace.database.read() as connection:
        found = found_customer(connection, customer)
        files = repository.files_of(connection, found.id)
    pictures = workspace.feedback_of(found.id) if files else None
    paths = [pictures.path(each) for each in files] if pictures is not None else []

    def work(connection: repository.Connection) -> Erased:
        _check(connection, found.id)
        if not data_keys.destroy(connection, sealed.customer(found.id), now):
            raise RequestError(
                _("{customer} was erased already.", customer=found.id), http_status=409
            )
        datasets = repository.datasets_with(connection, found.id)
        removed = repository.remove(connection, found.id, now)
        remains = repository.remaining(connection, found.id)
        erased = Erased(found.id, now, {**removed, "pictures": len(files)}, remains, datasets)
        audit.append(connection, KIND, erased.to_json())
        return erased

    done = workspace.database.write(work)
    for path in paths:
        path.unlink(missing_ok=True)
    workspace.database.scrub(whole=False)
    return done


def _check(connection: repository.Connection, customer: str) -> None:
    drafts = repository.drafts_of(connection, customer)
    if drafts:
        raise RequestError(
            _("{count} invoices to {customer} are drafts.", count=drafts, customer=customer),
            remedy=_("Issue them first: mintage invoice issue"),
            http_status=409,
        )
