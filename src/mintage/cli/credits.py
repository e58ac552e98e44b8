"""Capture: credit, which customers pay in advance or are given."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line, say, table
from mintage.cli.words import word
from mintage.core.clock import timestamp
from mintage.core.messages import _
from mintage.core.money import Money

credit = typer.Typer(
    help="Credit that customers pay in advance, or are given.", no_args_is_help=True
)

_Customer = Annotated[str, typer.Argument(help="A customer's name or id.")]


@credit.command("add", context_settings={"ignore_unknown_options": True})
def add_credit(
    customer: _Customer,
    amount: Annotated[str, typer.Argument(help="How much: '50 EUR'.")],
    *,
    payment: Annotated[
        str | None,
        typer.Option(help="The payment's reference, such as the bank's. (default: it is given)"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 365d, 2027-12-31. (default: never)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Note what a customer paid in advance, once by its reference; or give them credit.

    Calls of prepaid plans are answered as long as credit lasts; of other plans invoices take it.
    """
    with opened(home) as app:
        added = app.billing.add_credit(customer, amount, payment, expires)
        now = timestamp(app.workspace.clock.now())
        balances = app.billing.credits.balances(customer)
    if as_json:
        emit(added.to_json(now))
        return
    line(added.id)
    for each in balances:
        say(_("{customer} has {left}.", customer=customer, left=each.left))


@credit.command("list")
def list_credits(
    customer: Annotated[str | None, typer.Argument(help="A customer. (default: all)")] = None,
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List credits and what is left of them, the oldest first."""
    with opened(home) as app:
        listed = app.billing.credits.list(customer)
        now = timestamp(app.workspace.clock.now())
        names = {each.id: each.name for each in app.capture.customers.list()}
    if as_json:
        emit([each.to_json(now) for each in listed])
        return
    rows = [
        (
            each.id,
            names.get(each.customer, each.customer),
            word(each.origin),
            each.amount.amount,
            each.left(now).amount,
            each.currency,
            each.added_at[:16],
            (each.expires_at or "")[:16],
        )
        for each in listed
    ]
    table(
        (
            _("credit"),
            _("customer"),
            _("origin"),
            _("amount"),
            _("left"),
            _("currency"),
            _("since"),
            _("expires"),
        ),
        rows,
    )


@credit.command("refund")
def refund_credit(
    credit_id: Annotated[str, typer.Argument(help="A credit's id, from credit list.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Note that what is left of a credit was paid back; one that was given is taken back."""
    with opened(home) as app:
        ended = app.billing.credits.refund(credit_id)
        now = timestamp(app.workspace.clock.now())
    if as_json:
        emit(ended.to_json(now))
        return
    line(ended.id)
    left = Money(ended.nanos - ended.spent_nanos, ended.currency)
    if ended.origin == "given":
        say(_("{left} of it was left and is taken back.", left=left))
    else:
        say(_("{left} of it was left and is noted as paid back.", left=left))
