"""Capture: the ledger, and what it has to agree with."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.app.books import CheckedBooks
from mintage.capture.books import rendering
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, say, table, warn
from mintage.core.errors import BooksBroken
from mintage.core.messages import _

ledger = typer.Typer(help="The books: what they come to, and that they hold.", no_args_is_help=True)


@ledger.command("check")
def check_ledger(
    *,
    since: Annotated[
        str | None,
        typer.Option(help="Hold calls against the log from this month on: 2026-11. (default: all)"),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add up the ledger and the usage behind it, and hold both against the audit log; else exit 3.

    Of every call, the row that it is charged by is compared with the record that was logged; what
    is missing, was added or changed is named. So are documents, payments and credit that are not
    what was issued or booked. Whether the log itself is whole, mintage audit verify says.
    """
    with opened(home) as app, TerminalProgress() as progress:
        found = app.billing.check(since, progress)
    if as_json:
        emit(found.to_json())
    else:
        _checked(found, since)
    if found.faults:
        raise typer.Exit(BooksBroken.exit_status)


def _checked(found: CheckedBooks, since: str | None) -> None:
    if found.balances is not None:
        rows = [
            (name, rendering.amount_text(money.amount, money.currency))
            for name, some in sorted(found.balances.accounts.items())
            for money in some
        ]
        if rows:
            table((_("account"), _("balance")), rows, numbers=1)
        count = found.balances.transactions
        say(_("{transactions:,} transactions sum to zero, as logged.", transactions=count))
    if found.summed is not None:
        say(_("{events:,} calls are summed up as they are recorded.", events=found.summed))
    if not found.usage.faults and since is None:
        say(_("{events:,} calls are as they were logged.", events=found.usage.events))
    elif not found.usage.faults:
        said = {"events": found.usage.events, "month": since}
        say(_("{events:,} calls since {month} are as they were logged.", **said))
    if found.usage.erased:
        say(
            _(
                "Of {count:,} calls the customer was erased: the log has their hash, and nothing "
                "to hold them against.",
                count=found.usage.erased,
            )
        )
    for fault in found.faults:
        warn(fault.message)
    if found.usage.unnamed:
        warn(_("{count:,} more calls are not as they were logged.", count=found.usage.unnamed))
    for remedy in dict.fromkeys(fault.remedy for fault in found.faults):
        say(remedy)
