"""Capture: invoices."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len

from mintage.capture.books import rendering
from mintage.capture.books.documents import Document, lacking
from mintage.capture.books.invoice import Invoice
from mintage.capture.books.running import Ran
from mintage.capture.payments.booking import Found
from mintage.capture.payments.desk import synced
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import (
    emit,
    line,
    say,
    say_renewed,
    stdout,
    table,
    warn,
)
from mintage.cli.words import word
from mintage.core.errors import BooksBroken, ConfigError, MintageError
from mintage.core.files import write_atomic, write_parts
from mintage.core.messages import Language, Message, _, speaking, told
from mintage.core.money import Money

invoice = typer.Typer(
    help="What is owed: draft, issue, show, take back and note as paid.", no_args_is_help=True
)

_TAKEN = {"paid": word("paid"), "part": _("paid in part"), "credited": _("kept as credit")}
"""What came of a payment that is in the books now."""

_Reference = Annotated[str, typer.Argument(help="An invoice's number or id: INV-2026-000001.")]


class Form(StrEnum):
    """What an invoice can be written as."""

    TEXT = "text"
    HTML = "html"
    PDF = "pdf"
    CSV = "csv"
    JSON = "json"
    SIGNED = "signed"


class ExportForm(StrEnum):
    """What a month's invoices can be written as."""

    CSV = "csv"
    UBL = "ubl"
    FAPIAO = "fapiao"


class Tongue(StrEnum):
    """What an invoice can be written in."""

    EN = "en"
    ZH = "zh"


class Standing(StrEnum):
    """How an invoice can stand."""

    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    VOID = "void"
    CREDITED = "credited"
    REPLACED = "replaced"


@invoice.command("run")
def run_invoices(
    *,
    period: Annotated[str, typer.Option(help="The month: 2026-11.")],
    customer: Annotated[str | None, typer.Option(help="Only this customer (name or id).")] = None,
    issue: Annotated[bool, typer.Option("--issue", help="Issue what is drafted.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Draft the invoices of a month that is over. It can be repeated at any time.

    A draft is drawn up anew; an issued invoice stays as it is, and there is no second one. Usage
    that came late goes where its plan says. Where calls are not what was recorded of them, nothing
    is issued of them, all others are, and it exits with 3.
    """
    with opened(home) as app:
        ran = app.billing.run(period, customer, issue=issue)
    _warn_of_seller(ran.drafted)
    if as_json:
        emit(ran.to_json())
    else:
        _say_ran(ran, issue=issue)
    if ran.is_broken:
        raise typer.Exit(BooksBroken.exit_status)


def _say_ran(ran: Ran, *, issue: bool) -> None:
    made = [*ran.credited, *ran.drafted]
    if made:
        _list(made)
    if ran.standing:
        say(_("{count} stand already.", count=len(ran.standing)))
    for name, reason in ran.waiting:
        say(f"{name}: {told(reason)}")
    if not ran.is_over:
        hint = _(
            "{period} is not over. Until now: mintage invoice preview CUSTOMER", period=ran.period
        )
        say(hint)
    elif not made and not ran.standing and not ran.waiting:
        say(_("Nothing is to be invoiced of {period}.", period=ran.period))
    if ran.drafted and not issue:
        say(_("Issue one with: mintage invoice issue ID; all with --issue."))


def _warn_of_seller(made: Sequence[Invoice]) -> None:
    """A document that does not say who sells is no invoice to a tax office."""
    lacks = sorted({name for each in made for name in lacking(each.document)})
    if lacks:
        warn(
            _(
                "Who sells is not said in full: {names}. Write it into a file that MINTAGE_SELLER "
                "names; what was issued without can be voided.",
                names=", ".join(lacks),
            )
        )


@invoice.command("list")
def list_invoices(
    *,
    customer: Annotated[str | None, typer.Option(help="Only this customer (name or id).")] = None,
    period: Annotated[str | None, typer.Option(help="Only this month: 2026-11.")] = None,
    status: Annotated[Standing | None, typer.Option(help="Only those that stand so.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List invoices and credit notes, the oldest first."""
    with opened(home) as app:
        listed = app.billing.listed(customer, period, status)
    if as_json:
        emit([each.to_json() for each in listed])
    else:
        _list(listed)


@invoice.command("show")
def show_invoice(
    reference: _Reference,
    *,
    form: Annotated[Form, typer.Option("--format", help="How it is written.")] = Form.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file. (default: stdout)")
    ] = None,
    lang: Annotated[
        Tongue | None, typer.Option(help="en or zh. (default: the customer's, or yours)")
    ] = None,
    font: Annotated[
        Path | None,
        typer.Option(help="A font for the PDF. (default: MINTAGE_FONT, or one that is found)"),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show an invoice: as text, as a page or PDF to print, as rows for accounting, or as JSON.

    signed is the document with its signature, which mintage verify checks without this workspace.
    Of an issued one nothing else is shown than what was signed; exit 3 where it was changed since.
    """
    form = Form.JSON if as_json else form
    with opened(home) as app:
        invoices = app.billing.invoices
        found = invoices.find(reference)
        language = rendering.language_for(found.document, lang)
        if form is Form.SIGNED:
            kept = invoices.signed(found)
            written = kept.data
            if kept.is_renewed:
                say_renewed()
        elif form is Form.PDF:
            written = app.billing.pdf(invoices.confirmed(found), language, font)
        else:
            with speaking(language):
                written = _written(invoices.confirmed(found), form, language).encode()
        doubt = invoices.doubt(found)
    if doubt is not None:
        warn(f"{found.number}: {told(doubt)}")
    if output is not None:
        write_atomic(output, written)
        line(str(output))
        return
    if form is Form.PDF and sys.stdout.isatty():
        raise ConfigError(
            _("A PDF is not for a terminal."), remedy=_("Name a file: --output invoice.pdf")
        )
    stdout.file.flush()
    sys.stdout.buffer.write(written)
    sys.stdout.buffer.flush()


@invoice.command("preview")
def preview_invoice(
    customer: Annotated[str, typer.Argument(help="A customer's name or id.")],
    *,
    period: Annotated[
        str | None, typer.Option(help="The month: 2026-11. (default: this one)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what a month that is not over comes to until now. It is not final, and not kept."""
    with opened(home) as app:
        found = app.billing.preview(customer, period)
    if as_json:
        emit(found)
        return
    for each in found["documents"]:
        said = _(
            "NOT FINAL: {customer}, {period}, with usage until {moment}",
            customer=each["customer"]["name"],
            period=each["period"],
            moment=each["preview"]["until"][:16],
        )
        stdout.print(_sums(told(said), each), end="", markup=False, highlight=False)
    if found["documents"]:
        say(_("Fees are of the whole month, and usage goes on: nobody owes this yet."))
    else:
        say(_("Nothing is to be invoiced of it until now."))


@invoice.command("export")
def export_invoices(
    output: Annotated[Path, typer.Argument(help="The file; a folder for ubl.")],
    *,
    period: Annotated[str, typer.Option(help="The month: 2026-11.")],
    form: Annotated[ExportForm, typer.Option("--format", help="How they are written.")],
    customer: Annotated[str | None, typer.Option(help="Only this customer (name or id).")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write what was issued of a month for tax software.

    csv: a row for each line and tax. ubl: an e-invoice each, UBL 2.1 by EN 16931, for the EU.
    fapiao: rows for the batch import of 数电票 in China.
    """
    with opened(home) as app:
        exported = app.billing.export(period, form.value, customer)
    if form is ExportForm.UBL:
        for name, written in exported.files.items():
            write_atomic(output / name, written)
    else:
        (written,) = exported.files.values()
        write_atomic(output, written)
    if as_json:
        emit({"output": str(output), **exported.to_json()})
        return
    for __, reason in exported.left_out:
        say(_("Left out: {reason}", reason=reason))
    say(_("Documents written: {count}.", count=len(exported.numbers)))
    if exported.numbers:
        line(str(output))


@invoice.command("events")
def list_events(
    reference: _Reference,
    number: Annotated[int, typer.Argument(min=1, help="Which line, counted from 1.")] = 1,
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the usage events that a line of an invoice was computed from."""
    with opened(home) as app:
        events = app.billing.invoices.events(reference, number)
    if as_json:
        emit([each.to_json() for each in events])
        return
    rows = [
        (each.recorded_at[:19].replace("T", " "), each.product, word(each.outcome), each.receipt)
        for each in events
    ]
    table((_("when"), _("product"), _("outcome"), _("receipt")), rows)


@invoice.command("evidence")
def write_evidence(
    reference: _Reference,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file: INV-2026-000001.zip.")],
    with_costs: Annotated[
        bool,
        typer.Option(
            "--with-costs",
            help="For auditors: with what upstreams asked, which customers never see.",
        ),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write all that shows that an issued invoice is right, as one zip to be believed without us.

    Its events as they were logged, the paths to the log's signed head, their receipts, and what
    is signed of the plans, bundles, evaluations and datasets behind them. mintage verify --chain
    checks it, on any machine.
    """
    with opened(home) as app:
        evidence = app.billing.evidence(reference, with_costs=with_costs)
        size = write_parts(out, evidence.archived(), mode=0o600)
    if as_json:
        emit({"output": str(out), "bytes": size})
    else:
        line(str(out))


@invoice.command("issue")
def issue_invoice(reference: _Reference, *, home: Home = None, as_json: Json = False) -> None:
    """Give a draft its number and put it in the books; from then on it never changes."""
    with opened(home) as app:
        done = app.billing.invoices.issue(reference)
    _done(done, as_json=as_json)
    _warn_of_seller([done])


@invoice.command("pay")
def pay_invoice(
    references: Annotated[
        list[str], typer.Argument(help="An invoice's number or id; several that one payment pays.")
    ],
    *,
    payment: Annotated[
        str | None,
        typer.Option("--reference", help="What tells the payment from others: the bank's own."),
    ] = None,
    amount: Annotated[
        str | None, typer.Option(help="What came: 12.50. (default: all that is owed)")
    ] = None,
    rest_to_credit: Annotated[
        bool, typer.Option("--rest-to-credit", help="What is more than is owed becomes credit.")
    ] = False,
    credit: Annotated[
        bool, typer.Option("--credit", help="From the customer's credit, as far as it goes.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Note that an invoice was paid, in whole or in part. The same reference counts once.

    Of several invoices, each is paid in its turn.
    """
    with opened(home) as app:
        paid = app.billing.pay(
            references, amount, payment, rest_to_credit=rest_to_credit, credit=credit
        )
    if as_json and len(paid) > 1:
        emit([each.to_json() for each in paid])
        return
    for each in paid:
        _done(each, as_json=as_json)


@invoice.command("push")
def push_invoice(
    reference: _Reference,
    *,
    provider: Annotated[str, typer.Option(help="Who collects it: stripe or alipay.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have a payment provider collect an issued invoice. Again is the same: none is made twice."""
    with opened(home) as app:
        done = app.billing.desk.push(reference, provider)
    if as_json:
        emit(done.to_json())
        return
    asked = rendering.amount_text(done.asked.amount, done.asked.currency)
    line(f"{done.number}  {done.provider}  {done.reference}  {asked}")
    if done.url:
        line(done.url)


@invoice.command("sync")
def sync_payments(
    *,
    provider: Annotated[
        str | None, typer.Option(help="Only this one. (default: all that were asked)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask payment providers what was paid, as their messages would tell it to a server.

    What is more than an invoice owes is the customer's credit, and less pays a part. What the books
    cannot say, such as another currency, pays nothing: it is listed each time, until it is
    dismissed.
    """
    with opened(home) as app:
        found, failed = app.billing.desk.sync(provider)
        mismatches = app.billing.desk.mismatches()
    if as_json:
        emit(synced(found, failed, mismatches))
    else:
        _synced(found, failed, mismatches)
    if failed:
        raise typer.Exit(failed[0][1].exit_status)


@invoice.command("dismiss")
def dismiss_payment(
    payment: Annotated[str, typer.Argument(help="A payment's reference, as sync names it.")],
    *,
    reason: Annotated[str, typer.Option(help="How it was set right, such as: sent back.")],
    provider: Annotated[
        str | None, typer.Option(help="Who took it, where several have the reference.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List a payment that is in nobody's books no more, since it was set right otherwise."""
    with opened(home) as app:
        done = app.billing.desk.dismiss(payment, reason, provider)
    if as_json:
        emit(done)
        return
    amount = rendering.amount_text(done["amount"], done["currency"])
    line(f"{done['number']}  {done['provider']}  {done['reference']}  {amount}")
    say(_("Dismissed: {reason}", reason=done["dismissed_reason"]))


@invoice.command("overdue")
def list_overdue(*, home: Home = None, as_json: Json = False) -> None:
    """List what is not paid though it was due, the longest first.

    It is told by webhook after the days that MINTAGE_OVERDUE_DAYS says; calls are refused with 402
    from MINTAGE_OVERDUE_STOP_DAYS on, if that is set.
    """
    with opened(home) as app:
        listed = app.billing.overdue.list()
    if as_json:
        emit([each.to_json() for each in listed])
        return
    rows = [
        (
            each.invoice.number,
            each.invoice.document["customer"]["name"],
            (each.invoice.due_at or "")[:10],
            (each.refused_from or "—")[:10],
            each.days,
            rendering.amount_text(each.owed.amount, each.owed.currency),
        )
        for each in listed
    ]
    head = (_("id"), _("customer"), _("due"), _("refused from"), _("days"), _("owed"))
    table(head, rows, numbers=2)


@invoice.command("void")
def void_invoice(reference: _Reference, *, home: Home = None, as_json: Json = False) -> None:
    """Take an unpaid invoice back. It keeps its number; its usage can be invoiced anew."""
    with opened(home) as app:
        done = app.billing.invoices.void(reference)
    _done(done, as_json=as_json)


@invoice.command("credit")
def credit_invoice(
    reference: _Reference,
    *,
    reason: Annotated[str, typer.Option(help="Why; the credit note says it.")],
    of_line: Annotated[
        int | None, typer.Option("--line", min=1, help="Only a part: of this line, from 1.")
    ] = None,
    amount: Annotated[
        str | None,
        typer.Option(help="How much of it, without tax: 12.50. (default: all that is left)"),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Let the usage that it took be invoiced again.")
    ] = False,
    named: Annotated[
        str | None,
        typer.Option("--reference", help="What tells it from others, so that it is written once."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a credit note over an issued invoice, paid or not, or over a part of a line.

    The tax on a part is credited with it. Its usage stays invoiced. The same --reference again
    shows the note that was written under it.
    """
    with opened(home) as app:
        done = app.billing.credit(
            reference, reason, line=of_line, amount=amount, anew=anew, reference=named
        )
    _done(done, as_json=as_json)


def _synced(
    found: list[Found], failed: list[tuple[str, MintageError]], mismatches: list[dict[str, Any]]
) -> None:
    new = [each for each in found if each.status in _TAKEN]
    for each in new:
        came = each.payment.amount
        amount = rendering.amount_text(came.amount, came.currency)
        line(f"{each.payment.number}  {told(_TAKEN[each.status])}  {amount}")
        if each.status == "paid" and each.credit is not None:
            say(_("{credit} of it was not owed: it is the customer's credit.", credit=each.credit))
    if not new:
        say(_("Nothing new was paid."))
    for row in mismatches:
        warn(
            _(
                "{provider} took {amount} {currency} for {number} ({reference}): {reason}.",
                **{name: row[name] for name in ("provider", "amount", "currency", "number")},
                reference=row["reference"],
                reason=Message(row["reason"]),
            )
        )
    for number, error in failed:
        warn(f"{number}: {error}")


def _list(listed: list[Invoice]) -> None:
    rows = [
        (
            each.number or each.id,
            each.document["customer"]["name"],
            each.period,
            word(each.status),
            rendering.amount_text(each.total.amount, each.currency),
            rendering.amount_text(each.to_pay.amount, each.currency),
        )
        for each in listed
    ]
    head = (_("id"), _("customer"), _("month"), _("status"), _("total"), _("to pay"))
    table(head, rows, numbers=2)


def _text(found: Invoice) -> str:
    document = rendering.standing(found.to_json())
    title = f"{told(rendering.title_of(document))} {found.number or found.id}"
    head = f"{title}, {document['customer']['name']}, {found.period}, {told(word(found.status))}"
    return _sums(head, document)


def _sums(head: str, document: Document) -> str:
    """A document's lines, taxes and total under a head."""
    currency = document["currency"]
    rows = [(told(rendering.described(each)), each["amount"]) for each in document["lines"]]
    rows += [(f"{each['name']} {each['percent']} %", each["amount"]) for each in document["taxes"]]
    rows.append((told(_("Total")), document["total"]))
    rows += [(told(name), amount) for name, amount in rendering.settled_of(document)]
    said = [(name, rendering.amount_text(amount, currency)) for name, amount in rows]
    widest = max(cell_len(name) for name, __ in said)
    longest = max(len(amount) for __, amount in said)
    padded = (
        f"{name}{' ' * (widest - cell_len(name))}  {amount:>{longest}}" for name, amount in said
    )
    return "\n".join([head, *padded]) + "\n"


def _written(found: Invoice, form: Form, language: Language) -> str:
    if form is Form.TEXT:
        return _text(found)
    if form is Form.HTML:
        return rendering.html(rendering.standing(found.to_json()), found.status, language)
    if form is Form.CSV:
        return rendering.csv_text([found.document])
    return json.dumps(found.to_json(), ensure_ascii=False, indent=2) + "\n"


def _done(done: Invoice, *, as_json: bool) -> None:
    if as_json:
        emit(done.to_json())
        return
    amount = rendering.amount_text(done.total.amount, done.currency)
    line(f"{done.number or done.id}  {told(word(done.status))}  {amount}")
    if done.status == "issued" and done.to_pay not in (done.total, Money(0, done.currency)):
        say(_("{left} of it is still to be paid.", left=done.to_pay))
