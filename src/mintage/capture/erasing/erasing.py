"""Erase a customer: their key is destroyed, so that what is sealed under it says nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintage.capture.books.account import Account
from mintage.capture.books.owing import first_uninvoiced
from mintage.capture.customers import found_customer
from mintage.capture.erasing import repository
from mintage.capture.hours.rollup import Rollup
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import _
from mintage.store import data_keys, sealed
from mintage.store.workspace import Workspace
from mintage.trust import audit
from mintage.trust.erasures import ERASED, Gone, Leaving


@dataclass(frozen=True)
class Erased:
    """What went of a customer, and what remains by law; ``datasets`` have pictures of theirs.

    ``data_keys`` are the numbers of those that were destroyed, and ``gone`` the entries of the log
    that say nothing without them; ``damaged`` of these, in frozen logs, were not what was logged.
    """

    customer: str
    erased_at: str
    removed: Mapping[str, int]
    remains: Mapping[str, int]
    datasets: Sequence[str]
    data_keys: Sequence[int]
    gone: Gone
    damaged: int

    def to_json(self) -> dict[str, Any]:
        """As the log has it, and ``mintage erase --json`` prints it."""
        return {
            "customer": self.customer,
            "erased_at": self.erased_at,
            "removed": dict(self.removed),
            "remains": dict(self.remains),
            "datasets": list(self.datasets),
            "data_keys": list(self.data_keys),
            **self.gone.to_json(),
            "damaged": self.damaged,
        }


def erase(workspace: Workspace, customer: str) -> Erased:
    """Destroy a customer's data key, remove what is not kept by law, and log it: all or nothing.

    Files go after that; under the destroyed key they are noise already. An invoice has to name whom
    it is to and to have their tax, so what they owe is invoiced and paid before.

    Raises:
        ConfigError: the workspace is not sealed: its log would say for ever what it says now.
        RequestError: there is no such customer (404), it was erased, or something is not invoiced
            or not paid yet (409).
        LogForked: an entry of the log is not what was logged, which nobody could tell afterwards.
    """
    if workspace.sealing is None:
        raise ConfigError(
            _("This workspace is not sealed, so what its audit log says cannot be erased."),
            remedy=_("Seal it first: mintage seal"),
        )
    now, rollup = workspace.now(), Rollup(workspace.database, workspace.clock)
    rollup.catch_up()  # before the write, which then adds up no more than a few calls
    with workspace.database.read() as connection:
        found = found_customer(connection, customer)
        files = repository.files_of(connection, found.id)
    pictures = workspace.feedback_of(found.id) if files else None
    paths = [pictures.path(each) for each in files] if pictures is not None else []

    leaving, goes_on = Leaving(sealed.customer(found.id)), True
    while goes_on:
        with workspace.database.read() as connection:
            goes_on = leaving.read(connection)

    def work(connection: repository.Connection) -> Erased:
        if found.erased_at is None:
            _check(connection, found.id, rollup.catch_up_within(connection), workspace.clock)
        while leaving.read(connection):
            continue
        destroyed = data_keys.destroy(connection, sealed.customer(found.id), now)
        if not destroyed:
            raise RequestError(
                _("{customer} was erased already.", customer=found.id), http_status=409
            )
        datasets = repository.datasets_with(connection, found.id)
        removed = repository.remove(connection, found.id, now)
        remains = repository.remaining(connection, found.id)
        removed["pictures"] = len(files)
        erased = Erased(
            found.id, now, removed, remains, datasets, destroyed, leaving.gone(), leaving.damaged
        )
        audit.append(connection, ERASED, erased.to_json())
        return erased

    done = workspace.database.write(work)
    for path in paths:
        path.unlink(missing_ok=True)
    workspace.database.scrub(whole=False)
    return done


def _check(connection: repository.Connection, customer: str, until: int, clock: Clock) -> None:
    """Refuse while something is due, with usage up to a step of the rollup."""
    drafts = repository.drafts_of(connection, customer)
    if drafts:
        raise RequestError(
            _("{count} invoices to {customer} are drafts.", count=drafts, customer=customer),
            remedy=_("Issue them first: mintage invoice issue"),
            http_status=409,
        )
    period = first_uninvoiced(Account(connection, customer), until, clock.now())
    if period is not None:
        said = {"customer": customer, "period": period}
        raise RequestError(
            _("What {customer} owes for {period} is not invoiced yet.", **said),
            remedy=_(
                "Who is erased cannot be invoiced. End their plans and revoke their keys; when "
                "{period} is over, run: mintage invoice run --period {period} --customer {customer}"
                " --issue. Erase them when that is paid.",
                **said,
            ),
            http_status=409,
        )
    unpaid = repository.unpaid_by(connection, customer)
    if unpaid:
        raise RequestError(
            _("{customer} has not paid {numbers}.", customer=customer, numbers=", ".join(unpaid)),
            remedy=_(
                "Note the payment: mintage invoice pay; or forgo it: mintage invoice credit. Then "
                "erase them."
            ),
            http_status=409,
        )
