"""What is sold, under ``/v1``: products, and answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mintage.api import models
from mintage.api.calls import metered_batch, metered_call
from mintage.api.explanations import asked, none_asked
from mintage.api.openapi import (
    AUTHORIZED,
    BATCH_BODY,
    MOST_AT_ONCE,
    ONE_ANSWER,
    PREDICT_BODY,
    problems,
    sold,
)
from mintage.api.problems import answer_to, unforeseen
from mintage.api.replays import Answered
from mintage.api.service import Service
from mintage.api.uploads import read_upload, read_uploads
from mintage.core.errors import MintageError
from mintage.core.types import Receipt


def customer_routes(service: Service) -> APIRouter:
    """What there is to buy."""
    router = APIRouter(prefix="/v1")
    _add_products(router, service)
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
                "ready": service.engine.ready(product) or await _has_upstream(service, product),
                "price": price,
                "prices": {unit: asdict(each) for unit, each in card.prices.items()},
                "rate": rate,
                "answers": card.detail.to_json(),
            }
        )


async def _has_upstream(service: Service, product: str) -> bool:
    """Whether some upstream of a language model may be asked now."""
    gateway = service.gateway
    return gateway is not None and await gateway.ready(product)


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
