"""The customers' own routes, under ``/v1``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from mintage.api import models
from mintage.api.calls import caller_of, metered_batch, metered_call
from mintage.api.explanations import asked, none_asked
from mintage.api.feedback import feedback_routes
from mintage.api.heads import prefers
from mintage.api.openapi import (
    AS_PDF_TOO,
    AUTHORIZED,
    BATCH_BODY,
    MOST_AT_ONCE,
    ONE_ANSWER,
    PDF,
    PREDICT_BODY,
    problems,
    sold,
)
from mintage.api.problems import answer_to, unforeseen
from mintage.api.replays import Answered
from mintage.api.service import Service
from mintage.api.uploads import read_upload, read_uploads
from mintage.core.errors import MintageError, RequestError
from mintage.core.messages import _
from mintage.core.types import Receipt

_BY_TYPE = {"Vary": "Accept, Accept-Language"}


def customer_routes(service: Service) -> APIRouter:
    """What there is to buy, and a customer's own records."""
    router = APIRouter(prefix="/v1")
    _add_products(router, service)
    _add_account(router, service)
    _add_invoices(router, service)
    if service.feedback is not None:
        router.include_router(feedback_routes(service, service.feedback))
    return router


def predict_routes(service: Service) -> APIRouter:
    """What is sold."""
    router = APIRouter(prefix="/v1")

    @router.post(
        "/products/{product}/predict",
        summary="Answer one picture",
        response_model=models.Prediction,
        responses=sold(*ONE_ANSWER),
        openapi_extra=PREDICT_BODY | AUTHORIZED,
        tags=["predict"],
    )
    async def predict(product: str, request: Request) -> JSONResponse:
        """The picture as raw body, as multipart field ``file``, or as base64 in JSON.

        The answer leaves only when its usage event is on disk; ``receipt`` proves it. With an
        ``Idempotency-Key`` the same action is charged once: for 24 hours a repetition gets the
        same answer, free, with ``Idempotent-Replayed: true``; afterwards it is refused (409).
        With ``explain`` there are an answer and its explanation, or neither and no charge: 503
        where too many wait for one, 504 where it takes too long.
        """

        async def read() -> bytes:
            return await read_upload(request, service.settings.max_upload_bytes)

        answered = await metered_call(service, request, product, read, explain=asked(request))
        return _Prediction(prediction(answered), headers=answered.headers)

    @router.post(
        "/products/{product}/predict:batch",
        summary="Answer several pictures",
        response_model=models.Predictions,
        responses=sold(400, 401, 402, 403, 404, 408, 409, 413, 415, 429, 503, replayed=False),
        openapi_extra=BATCH_BODY | AUTHORIZED,
        tags=["predict"],
    )
    async def predict_batch(product: str, request: Request) -> JSONResponse:
        """At most 64 pictures, each answered, recorded and charged as if it came alone.

        ``results`` are in their order: an ``answer``, or the ``problem`` that it alone had. With an
        ``Idempotency-Key`` the same pictures in the same order are charged once.
        """
        none_asked(request)

        async def read() -> list[bytes]:
            return await read_uploads(request, service.settings.max_upload_bytes, MOST_AT_ONCE)

        results = await metered_batch(service, request, product, read)
        request_id = request.state.request_id
        return JSONResponse({"results": [_result(each, request_id) for each in results]})

    return router


class _Prediction(JSONResponse):
    """Spelled by one encoder for all; the framework makes one for each."""

    def render(self, content: Any) -> bytes:
        """As JSON, in UTF-8."""
        return _encode(content).encode()


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _result(answered: Answered | Exception, request_id: str) -> dict[str, Any]:
    """One of several, as it leaves."""
    if isinstance(answered, Answered):
        return {
            "status": 200,
            "answer": prediction(answered),
            "problem": None,
            "replayed": answered.replayed,
        }
    problem = (
        answer_to(answered, request_id)
        if isinstance(answered, MintageError)
        else unforeseen(answered, request_id)
    )
    return {
        "status": problem.status_code,
        "answer": None,
        "problem": json.loads(bytes(problem.body)),
        "replayed": False,
    }


def _add_products(router: APIRouter, service: Service) -> None:
    @router.get(
        "/products",
        summary="List the products",
        response_model=models.ProductList,
        tags=["products"],
    )
    async def products() -> JSONResponse:
        """The names of what is sold here; open to all."""
        names = await asyncio.to_thread(service.catalogue.names)
        return JSONResponse({"products": [{"name": name} for name in names]})

    @router.get(
        "/products/{product}",
        summary="Describe a product",
        response_model=models.ProductMetadata,
        responses=problems(404),
        tags=["products"],
    )
    async def describe(product: str) -> JSONResponse:
        """Task, labels, version and price; open to all."""
        card = await asyncio.to_thread(service.catalogue.card, product)
        price = {
            "amount": card.price.amount,
            "currency": card.price.currency,
            "per": card.price.per,
            "unit": card.unit,
            "explanation": card.explanation.amount,
        }
        rate = None if card.rate is None else asdict(card.rate)
        return JSONResponse(
            {
                "name": card.name,
                "task": card.task,
                "modality": card.modality,
                "labels": list(card.labels),
                "model": card.model,
                "model_version": card.model_version,
                "ready": service.engine.ready(product),
                "price": price,
                "rate": rate,
            }
        )


def _add_invoices(router: APIRouter, service: Service) -> None:
    @router.get(
        "/invoices",
        summary="List your invoices",
        response_model=models.InvoiceList,
        responses=problems(401, 403),
        openapi_extra=AUTHORIZED,
        tags=["account"],
    )
    async def invoices(request: Request) -> JSONResponse:
        """The key's customer's own invoices and credit notes, the oldest first."""

        def read() -> list[dict[str, Any]]:
            return service.accounts.invoices(caller_of(service, request, "usage"))

        return JSONResponse({"invoices": await asyncio.to_thread(read)})

    @router.get(
        "/invoices/{number}",
        summary="Fetch an invoice",
        response_model=models.InvoiceDocument,
        responses={200: AS_PDF_TOO, **problems(401, 403, 404, 406)},
        openapi_extra=AUTHORIZED,
        tags=["account"],
    )
    async def invoice(number: str, request: Request) -> Response:
        """An invoice or a credit note with all its lines, if it is this customer's.

        With ``Accept: application/pdf`` it comes as PDF; 406 where the server can make none.
        """
        accounts, as_pdf = service.accounts, prefers(request.headers.get("Accept", ""), PDF)

        def read() -> Response:
            caller = caller_of(service, request, "usage")
            if not as_pdf:
                return JSONResponse(accounts.invoice(caller, number), headers=_BY_TYPE)
            return Response(accounts.invoice_pdf(caller, number), headers=_BY_TYPE, media_type=PDF)

        return await asyncio.to_thread(read)


def _add_account(router: APIRouter, service: Service) -> None:
    @router.get(
        "/usage",
        summary="List your usage",
        response_model=models.UsageList,
        responses=problems(400, 401, 403, 404),
        openapi_extra=AUTHORIZED,
        tags=["account"],
    )
    async def usage(
        request: Request,
        product: Annotated[str | None, Query(description="Only this product's.")] = None,
        after: Annotated[
            str | None, Query(description="Go on after this receipt, a page's last.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> JSONResponse:
        """The key's customer's own usage events, newest first."""

        def read() -> list[dict[str, Any]]:
            caller = caller_of(service, request, "usage")
            return service.accounts.usage(caller, product=product, after=after, limit=limit)

        return JSONResponse({"usage": await asyncio.to_thread(read)})

    @router.get(
        "/limits",
        summary="See what is left",
        response_model=models.Limits,
        responses=problems(401, 403),
        openapi_extra=AUTHORIZED,
        tags=["account"],
    )
    async def limits(request: Request) -> JSONResponse:
        """What limits the key's customer this month, how much of it is used, and their credit."""

        def read() -> dict[str, Any]:
            return service.accounts.limits(caller_of(service, request, "usage"))

        return JSONResponse(await asyncio.to_thread(read))

    @router.get(
        "/receipts/{receipt_id}",
        summary="Fetch a receipt again",
        response_model=models.SignedReceipt,
        responses=problems(401, 403, 404),
        openapi_extra=AUTHORIZED,
        tags=["account"],
    )
    async def receipt(receipt_id: str, request: Request) -> JSONResponse:
        """The receipt of one call, if it was this customer's: the same statement, signed anew."""

        def read() -> Mapping[str, Any]:
            return service.accounts.receipt(caller_of(service, request, "usage"), receipt_id)

        return JSONResponse(dict(await asyncio.to_thread(read)))

    @router.get(
        "/keys",
        summary="Fetch the public keys",
        response_model=models.PublicKeys,
        responses=problems(404),
        tags=["account"],
    )
    async def keys() -> JSONResponse:
        """What receipts and the audit log's tree heads are verified with; open to all."""
        found = await asyncio.to_thread(service.public_keys)
        if not found:
            raise RequestError(
                _("This server publishes no keys."),
                remedy=_("Ask whoever runs it for them."),
                http_status=404,
            )
        return JSONResponse({role: dict(key) for role, key in found.items()})


def prediction(answered: Answered) -> dict[str, Any]:
    """The answer as it leaves."""
    document: dict[str, Any] = {
        "id": answered.receipt.event_id,
        "task": answered.task,
        "output": dict(answered.output),
        "model": answered.model,
        "model_version": answered.model_version,
        "receipt": answered.receipt.to_json(),
        "price": price_of(answered.receipt),
    }
    if answered.explain != "false":
        document["explanation"] = answered.explanation
    return document


def price_of(receipt: Receipt) -> dict[str, Any]:
    """The call's price as it leaves: a decimal string, never a float."""
    return {"amount": receipt.price, "currency": receipt.currency, "final": receipt.final}
