"""Invoices and the ledger behind them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from mintage.api.admin import models
from mintage.api.admin.bodies import read
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.invoice_forms import FORMS, as_pdf, as_signed, asked_form, written
from mintage.api.models import InvoicePreview
from mintage.api.paging import Limit, page
from mintage.capture.payments.desk import synced

_Customer = Annotated[
    str | None, Query(max_length=200, description="Only this customer, by name or id.")
]
_Standing = Literal["draft", "issued", "paid", "void", "credited", "replaced"]


def invoice_routes(desk: Desk) -> APIRouter:
    """As ``mintage invoice`` and ``mintage ledger``."""
    router = desk.router("invoices")
    _add_readings(router, desk)
    _add_changes(router, desk)
    _add_collecting(router, desk)
    _add_reports(router, desk)
    return router


def _add_readings(router: APIRouter, desk: Desk) -> None:
    app = desk.app

    @router.get(
        "/invoices",
        summary="List the invoices",
        response_model=models.InvoicePage,
        **desk.needs("viewer", 400, 404),
    )
    async def listed(
        customer: _Customer = None,
        period: Annotated[
            str | None, Query(max_length=100, description="Only this month: 2026-11.")
        ] = None,
        status: Annotated[_Standing | None, Query(description="Only those that stand so.")] = None,
        after: After = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """And credit notes, drafts too, the oldest first."""

        def work() -> object:
            found = app.billing.listed(customer, period, status, after=after, limit=limit + 1)
            return page("invoices", [each.to_json() for each in found], limit)

        return await answer(work)

    @router.get(
        "/invoices:preview",
        summary="Preview a customer's invoice of a month that is not over",
        response_model=InvoicePreview,
        **desk.needs("viewer", 400, 404),
    )
    async def preview(
        customer: Annotated[str, Query(max_length=200, description="By name or id.")],
        period: Annotated[
            str | None, Query(max_length=100, description="The month: 2026-11. Default: this one.")
        ] = None,
    ) -> JSONResponse:
        """What it comes to until now, by currency; none of it is final, kept or owed."""
        return await answer(lambda: app.billing.preview(customer, period))

    @router.get(
        "/invoices/{invoice}",
        summary="Show an invoice",
        response_model=models.AdminInvoice,
        **desk.needs("viewer", 404, 406, 409, more=FORMS),
    )
    async def show(invoice: str, request: Request) -> Response:
        """By number or id, as JSON, HTML, CSV, PDF or signed: by ``Accept``, or by its ending."""
        wanted, form = asked_form(request, invoice)

        def read() -> Response:
            if form == "pdf":
                return as_pdf(app.billing.asked_pdf(wanted), wanted)
            invoices = app.billing.invoices
            found = invoices.find(wanted)
            if form == "signed":
                return as_signed(invoices.signed(found).data, wanted)
            return written(request, invoices.confirmed(found).to_json(), form)

        return await asyncio.to_thread(read)

    @router.get(
        "/invoices/{invoice}/lines/{line}/events",
        summary="List the events of a line",
        response_model=models.EventsOfLine,
        **desk.needs("viewer", 404),
    )
    async def events(invoice: str, line: int) -> JSONResponse:
        """The usage events that a line of an invoice, counted from 1, was computed from."""

        def work() -> object:
            found = app.billing.invoices.events(invoice, line)
            return {"events": [each.to_json() for each in found]}

        return await answer(work)


def _add_changes(router: APIRouter, desk: Desk) -> None:
    billing = desk.app.billing

    @router.post(
        "/invoices:run",
        summary="Draft the invoices of a month",
        response_model=models.RanInvoices,
        **desk.needs("billing", 404, body=models.RunInvoices),
    )
    async def run(request: Request) -> JSONResponse:
        """Of one that is over. It can be repeated at any time: there is no second invoice."""
        asked = await read(request, models.RunInvoices)
        return await answer(lambda: billing.run(asked.period, asked.customer, issue=asked.issue))

    @router.post(
        "/invoices/{invoice}/issue",
        summary="Issue a draft",
        response_model=models.AdminInvoice,
        **desk.needs("billing", 404, 409),
    )
    async def issue(invoice: str) -> JSONResponse:
        """It gets its number and stands in the books; from then on it never changes."""
        return await answer(lambda: billing.invoices.issue(invoice))

    @router.post(
        "/invoices/{invoice}/pay",
        summary="Note a payment",
        response_model=models.AdminInvoice,
        **desk.needs("billing", 404, 409, body=models.PayInvoice),
    )
    async def pay(invoice: str, request: Request) -> JSONResponse:
        """In whole or in part, and of further invoices too. The same reference counts once."""
        asked = await read(request, models.PayInvoice)
        how = {"rest_to_credit": asked.rest_to_credit, "credit": asked.credit}

        def work() -> object:
            invoices = [invoice, *asked.also]
            return billing.pay(invoices, asked.amount, asked.reference, **how)[0]

        return await answer(work)

    @router.post(
        "/invoices/{invoice}/void",
        summary="Take an unpaid invoice back",
        response_model=models.AdminInvoice,
        **desk.needs("billing", 404, 409),
    )
    async def void(invoice: str) -> JSONResponse:
        """It keeps its number; its usage can be invoiced anew."""
        return await answer(lambda: billing.invoices.void(invoice))

    @router.post(
        "/invoices/{invoice}/credit",
        summary="Write a credit note",
        response_model=models.AdminInvoice,
        **desk.needs("billing", 404, 409, body=models.CreditInvoice),
    )
    async def credit(invoice: str, request: Request) -> JSONResponse:
        """Over an issued invoice, paid or not, or a part of a line; once under a ``reference``."""
        asked = await read(request, models.CreditInvoice)
        return await answer(lambda: billing.credit(invoice, **asked.model_dump()))


def _add_collecting(router: APIRouter, desk: Desk) -> None:
    """What payment providers collect."""
    counter = desk.app.billing.desk

    @router.post(
        "/invoices/{invoice}/push",
        summary="Have a provider collect an invoice",
        response_model=models.PushedInvoice,
        **desk.needs("billing", 404, 409, 503, body=models.PushInvoice),
    )
    async def push(invoice: str, request: Request) -> JSONResponse:
        """Again is the same: none is made twice."""
        asked = await read(request, models.PushInvoice)
        return await answer(lambda: counter.push(invoice, asked.provider))

    @router.post(
        "/invoices:sync",
        summary="Ask providers what was paid",
        response_model=models.SyncedPayments,
        **desk.needs("billing", 404, body=models.SyncPayments),
    )
    async def sync(request: Request) -> JSONResponse:
        """As their messages would tell it to a server: more than is owed becomes credit."""
        asked = await read(request, models.SyncPayments)

        def work() -> object:
            return synced(*counter.sync(asked.provider), counter.mismatches())

        return await answer(work)

    @router.post(
        "/invoices:dismiss",
        summary="Dismiss a payment that is in nobody's books",
        response_model=models.Mismatch,
        **desk.needs("billing", 400, 404, body=models.DismissPayment),
    )
    async def dismiss(request: Request) -> JSONResponse:
        """It was set right otherwise, and is listed no more."""
        asked = await read(request, models.DismissPayment)
        return await answer(lambda: counter.dismiss(asked.reference, asked.reason, asked.provider))


def _add_reports(router: APIRouter, desk: Desk) -> None:
    """What all invoices come to: for tax software, for who reminds, and in the books."""
    app = desk.app

    @router.get(
        "/invoices:export",
        summary="Write a month for tax software",
        response_model=models.ExportedInvoices,
        **desk.needs("viewer", 400, 404),
    )
    async def export(
        period: Annotated[str, Query(max_length=100, description="The month: 2026-11.")],
        form: Annotated[
            Literal["csv", "ubl", "fapiao"], Query(alias="format", description="How.")
        ] = "csv",
        customer: _Customer = None,
    ) -> JSONResponse:
        """csv: a row for each line and tax; ubl: an e-invoice each; fapiao: rows for 数电票."""

        def work() -> object:
            found = app.billing.export(period, form, customer)
            files = {name: text.decode() for name, text in found.files.items()}
            return {"files": files, **found.to_json()}

        return await answer(work)

    @router.get(
        "/invoices:overdue",
        summary="List what is overdue",
        response_model=models.OverdueInvoices,
        **desk.needs("viewer"),
    )
    async def overdue() -> JSONResponse:
        """What is not paid though it was due, the longest first."""

        def work() -> object:
            return {"invoices": [each.to_json() for each in app.billing.overdue.list()]}

        return await answer(work)

    @router.get(
        "/ledger",
        summary="Check the ledger",
        response_model=models.CheckedLedger,
        **desk.needs("viewer", 400),
    )
    async def check(
        since: Annotated[
            str | None,
            Query(max_length=100, description="From which month on; this one, if not said."),
        ] = None,
    ) -> JSONResponse:
        """Add up the ledger and the usage behind it, and hold both against the audit log.

        Calls are held against it since a month: 100,000 of them take a second or two.
        """

        def work() -> object:
            found = app.billing.check(since or str(app.billing.month))
            for fault in found.faults:
                raise fault
            return found.to_json()

        return await answer(work)
