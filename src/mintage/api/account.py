"""A customer's own records: usage, invoices, receipts, and what those are checked with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from mintage.api import models
from mintage.api.invoice_forms import FORMS, ZIP, as_pdf, as_signed, as_zip, asked_form, written
from mintage.api.metered import any_caller_of, caller_of
from mintage.api.openapi import AUTHORIZED, problems
from mintage.api.paging import Limit, page
from mintage.api.service import Service
from mintage.core.errors import RequestError
from mintage.core.messages import _

_Product = Annotated[str | None, Query(description="Only this product's.")]
_MONTH = "The month, in UTC: 2026-11."
_MOST_SIZE = 2**62


def account_routes(service: Service) -> APIRouter:
    """Everything that a key may read."""
    router = APIRouter(prefix="/v1", tags=["account"])
    _add_usage(router, service)
    _add_limits(router, service)
    _add_invoices(router, service)
    _add_evidence(router, service)
    _add_receipts(router, service)
    _add_log(router, service)
    return router


def _add_usage(router: APIRouter, service: Service) -> None:
    @router.get(
        "/usage",
        summary="List your usage",
        response_model=models.UsageList,
        responses=problems(400, 401, 403, 404),
        openapi_extra=AUTHORIZED,
    )
    async def usage(
        request: Request,
        product: _Product = None,
        period: Annotated[str | None, Query(description=_MONTH)] = None,
        after: Annotated[
            str | None, Query(description="Go on after this receipt, a page's last.")
        ] = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """The key's customer's own usage events, newest first."""

        def read() -> dict[str, Any]:
            caller = caller_of(service, request, "usage")
            found = service.accounts.usage(
                caller, product=product, period=period, after=after, limit=limit + 1
            )
            return page("usage", found, limit, "receipt")

        return JSONResponse(await asyncio.to_thread(read))

    @router.get(
        "/usage/totals",
        summary="Add up your usage",
        response_model=models.UsageTotals,
        responses=problems(400, 401, 403),
        openapi_extra=AUTHORIZED,
    )
    async def totals(
        request: Request,
        period: Annotated[str, Query(description=_MONTH)],
        product: _Product = None,
    ) -> JSONResponse:
        """What was used in a month, by product and outcome; what it costs is on the invoice."""

        def read() -> dict[str, Any]:
            caller = caller_of(service, request, "usage")
            found = service.accounts.usage_totals(caller, period, product=product)
            return {"period": period, "totals": found}

        return JSONResponse(await asyncio.to_thread(read))


def _add_limits(router: APIRouter, service: Service) -> None:
    @router.get(
        "/limits",
        summary="See what is left",
        response_model=models.Limits,
        responses=problems(401, 403),
        openapi_extra=AUTHORIZED,
    )
    async def limits(request: Request) -> JSONResponse:
        """What limits the key's customer this month, how much of it is used, and their credit."""

        def read() -> dict[str, Any]:
            return service.accounts.limits(caller_of(service, request, "usage"))

        return JSONResponse(await asyncio.to_thread(read))


def _add_invoices(router: APIRouter, service: Service) -> None:
    @router.get(
        "/invoices",
        summary="List your invoices",
        response_model=models.InvoiceList,
        responses=problems(400, 401, 403, 404),
        openapi_extra=AUTHORIZED,
    )
    async def invoices(
        request: Request,
        after: Annotated[
            str | None, Query(description="Go on after this invoice, a page's last.")
        ] = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """The key's customer's own invoices and credit notes, the oldest first."""

        def read() -> dict[str, Any]:
            caller = caller_of(service, request, "usage")
            found = service.accounts.invoices(caller, after=after, limit=limit + 1)
            return page("invoices", found, limit)

        return JSONResponse(await asyncio.to_thread(read))

    @router.get(
        "/invoices/preview",
        summary="Preview this month's invoice",
        response_model=models.InvoicePreview,
        responses=problems(401, 403),
        openapi_extra=AUTHORIZED,
    )
    async def preview(request: Request) -> JSONResponse:
        """What the present month comes to until now, with tax, by currency. None of it is final.

        Fees are those of all of the month; usage is what there was at the moment
        ``preview.until``, at most a minute ago.
        """

        def read() -> dict[str, Any]:
            return service.accounts.preview(caller_of(service, request, "usage"))

        return JSONResponse(await asyncio.to_thread(read))

    @router.get(
        "/invoices/{number}",
        summary="Fetch an invoice",
        response_model=models.InvoiceDocument,
        responses=problems(401, 403, 404, 406) | FORMS,
        openapi_extra=AUTHORIZED,
    )
    async def invoice(number: str, request: Request) -> Response:
        """An invoice or a credit note with all its lines, if it is this customer's.

        As JSON, as a page or PDF to read and print, as rows for accounting software, or signed, to
        be believed without this server: by ``Accept``, or by ``.json``, ``.html``, ``.csv``,
        ``.pdf`` or ``.signed`` behind the number; 406 where the server can make no PDF. HTML and
        CSV speak the language of ``Accept-Language``; without it, the one in the customer's
        details.
        """
        wanted, form = asked_form(request, number)

        def read() -> Response:
            caller = caller_of(service, request, "usage")
            if form == "pdf":
                return as_pdf(service.accounts.invoice_pdf(caller, wanted), wanted)
            if form == "signed":
                return as_signed(service.accounts.invoice_signed(caller, wanted), wanted)
            return written(request, service.accounts.invoice(caller, wanted), form)

        return await asyncio.to_thread(read)


def _add_evidence(router: APIRouter, service: Service) -> None:
    @router.get(
        "/invoices/{number}/evidence",
        summary="Fetch what shows that an invoice is right",
        response_class=StreamingResponse,
        responses=problems(401, 403, 404, 503) | ZIP,
        openapi_extra=AUTHORIZED,
    )
    async def evidence(number: str, request: Request) -> StreamingResponse:
        """Its events, their places on the audit log, receipts, and what is signed behind them.

        One zip, to be checked without this server: ``mintage verify --chain FILE --key ...``.
        """

        def begun() -> Iterator[bytes]:
            caller = caller_of(service, request, "usage")
            return service.accounts.invoice_evidence(caller, number)

        return as_zip(await asyncio.to_thread(begun), number)


def _add_receipts(router: APIRouter, service: Service) -> None:
    @router.get(
        "/receipts/{receipt_id}",
        summary="Fetch a receipt again",
        response_model=models.FetchedReceipt,
        responses=problems(401, 403, 404),
        openapi_extra=AUTHORIZED,
    )
    async def receipt(receipt_id: str, request: Request) -> JSONResponse:
        """The receipt of one call, if it was this customer's: the same statement, signed anew.

        ``inclusion`` proves that its event is in the audit log, once a tree head is over it: that
        takes a second at most.
        """

        def read() -> Mapping[str, Any]:
            return service.accounts.receipt(caller_of(service, request, "usage"), receipt_id)

        return JSONResponse(dict(await asyncio.to_thread(read)))

    @router.get(
        "/keys",
        summary="Fetch the public keys",
        response_model=models.PublicKeys,
        responses=problems(404),
    )
    async def keys() -> JSONResponse:
        """What is verified with which key: receipts, tree heads, models and data; open to all.

        Nothing signs this answer: a key is believed by whoever has it, or its id, from its owner by
        another way. The signed list is at ``/v1/keys/list``.
        """
        found = await asyncio.to_thread(service.public_keys)
        if not found:
            raise RequestError(
                _("This server publishes no keys."),
                remedy=_("Ask whoever runs it for them."),
                http_status=404,
            )
        return JSONResponse({role: dict(key) for role, key in found.items()})

    @router.get(
        "/keys/list",
        summary="Fetch the signed list of keys",
        response_class=Response,
        responses={
            200: {"content": {"application/json": {"schema": {"type": "object"}}}},
            **problems(404),
        },
    )
    async def key_list() -> Response:
        """Every signing key, former and revoked ones too, as the operator's root key signed it.

        The bytes are those of `mintage signing-key publish`, for `mintage trust update`.
        """
        content = await asyncio.to_thread(service.key_list)
        if not content:
            raise RequestError(
                _("This server publishes no list of keys."),
                remedy=_("Ask whoever runs it for one: mintage signing-key publish"),
                http_status=404,
            )
        return Response(content, media_type="application/json")


def _add_log(router: APIRouter, service: Service) -> None:
    @router.get(
        "/log",
        summary="Fetch the audit log's head",
        response_model=models.AuditLog,
        responses=problems(401, 403),
        openapi_extra=AUTHORIZED,
    )
    async def log(request: Request) -> JSONResponse:
        """The audit log's newest signed tree head, for any key: keep it, and you are a witness.

        Ask later whether the log still begins with it, at ``/v1/log/consistency``.
        """

        def read() -> Mapping[str, Any]:
            return service.accounts.log(any_caller_of(service, request))

        return JSONResponse(dict(await asyncio.to_thread(read)))

    @router.get(
        "/log/consistency",
        summary="Prove that the audit log only grew",
        response_model=models.LogConsistency,
        responses=problems(400, 401, 403),
        openapi_extra=AUTHORIZED,
    )
    async def consistency(
        request: Request,
        earlier: Annotated[
            int,
            Query(alias="from", ge=1, le=_MOST_SIZE, description="The size of a head you kept."),
        ],
        size: Annotated[
            int | None,
            Query(alias="to", ge=1, le=_MOST_SIZE, description="A larger one; else the newest."),
        ] = None,
        log: Annotated[
            int | None, Query(ge=1, le=1_000_000, description="Which log; else the newest.")
        ] = None,
    ) -> JSONResponse:
        """A consistency proof (RFC 9162, 2.1.4) between two sizes of the log, for any key."""

        def read() -> Mapping[str, Any]:
            caller = any_caller_of(service, request)
            return service.accounts.consistency(caller, earlier, size, log)

        return JSONResponse(dict(await asyncio.to_thread(read)))
