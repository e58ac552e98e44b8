"""The Open Inference Protocol v2 (REST): a product under the names that its clients know.

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from mintage.api import models
from mintage.api.calls import metered_call
from mintage.api.customer import price_of
from mintage.api.openapi import AUTHORIZED, INFER_BODY, problems
from mintage.api.problems import malformed
from mintage.api.replays import Answered
from mintage.api.routing import SoldRoute
from mintage.api.service import Service
from mintage.api.uploads import content_type, decode_base64, read_json, too_large
from mintage.core.canonical import canonical_json
from mintage.core.errors import NotReady, RequestError
from mintage.core.messages import _
from mintage.core.version import __version__

_PLATFORM = "mintage_bundle"


def oip_routes(service: Service) -> APIRouter:
    """Health and metadata, open to all."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])

    @router.get("", summary="Server metadata", response_model=models.ServerMetadata)
    async def server() -> dict[str, Any]:
        return {"name": "mintage", "version": __version__, "extensions": []}

    @router.get("/health/live", summary="Server live", response_model=models.Live)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get(
        "/health/ready",
        summary="Server ready",
        response_model=models.Ready,
        responses=problems(503),
    )
    async def ready() -> dict[str, bool]:
        return _ready(service, None)

    @router.get(
        "/models/{model}",
        summary="Model metadata",
        response_model=models.ModelMetadata,
        responses=problems(404),
    )
    async def metadata(model: str) -> dict[str, Any]:
        card = await asyncio.to_thread(service.catalogue.card, model)
        return {
            "name": card.name,
            "versions": [card.model_version],
            "platform": _PLATFORM,
            "inputs": [{"name": card.modality, "datatype": "BYTES", "shape": [1]}],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [1]},
                {"name": "probability", "datatype": "FP64", "shape": [1]},
                {"name": "probabilities", "datatype": "FP64", "shape": [len(card.labels)]},
                {"name": "unusual", "datatype": "BOOL", "shape": [1]},
            ],
        }

    @router.get(
        "/models/{model}/ready",
        summary="Model ready",
        response_model=models.Ready,
        responses=problems(404, 503),
    )
    async def model_ready(model: str) -> dict[str, bool]:
        await asyncio.to_thread(service.catalogue.card, model)
        return _ready(service, model)

    return router


def infer_routes(service: Service) -> APIRouter:
    """What is sold, by this protocol."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=SoldRoute)
    describe: dict[str, Any] = {
        "response_model": models.InferResponse,
        "responses": problems(400, 401, 402, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504),
        "openapi_extra": INFER_BODY | AUTHORIZED,
    }

    @router.post("/models/{model}/infer", summary="Infer", **describe)
    async def infer(model: str, request: Request) -> JSONResponse:
        return await _infer(service, request, model, None)

    @router.post(
        "/models/{model}/versions/{version}/infer", summary="Infer with a version", **describe
    )
    async def infer_version(model: str, version: str, request: Request) -> JSONResponse:
        return await _infer(service, request, model, version)

    return router


def _ready(service: Service, product: str | None) -> dict[str, bool]:
    if not service.engine.ready(product):
        raise NotReady(
            _("Nothing is ready to answer.")
            if product is None
            else _("{product} is not ready.", product=product),
            remedy=_("Ask again in a moment."),
            retry_after_seconds=1,
        )
    return {"ready": True}


async def _infer(
    service: Service, request: Request, product: str, version: str | None
) -> JSONResponse:
    asked = ""

    async def read() -> bytes:
        nonlocal asked
        content_type(request)
        most = service.settings.max_upload_bytes
        asked, data = await read_json(request, most, _asked)
        if len(data) > most:
            raise too_large(most)
        return data

    answered = await metered_call(service, request, product, read, version)
    return JSONResponse(_response(product, asked, answered), headers=answered.headers)


def _asked(document: dict[str, Any]) -> tuple[str, bytes]:
    """The request's id and its picture."""
    body = _parsed(document)
    return body.id or "", _picture(body)


def _parsed(document: dict[str, Any]) -> models.InferRequest:
    try:
        return models.InferRequest.model_validate(document)
    except ValidationError as error:
        raise malformed(error.errors(include_input=False, include_url=False)[0]) from error


def _picture(body: models.InferRequest) -> bytes:
    """The one encoded picture of a request."""
    if len(body.inputs) != 1 or body.inputs[0].datatype != "BYTES":
        raise RequestError(
            _("The request has to have one input of datatype BYTES."),
            remedy=_("Send one encoded picture in base64 as its data."),
        )
    data = body.inputs[0].data
    items = [data] if isinstance(data, str) else data
    while len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    if len(items) != 1:
        raise RequestError(
            _("The input holds {count} pictures, not one.", count=len(items)),
            remedy=_("Send one picture a call."),
        )
    return decode_base64(items[0], "data")


def _response(product: str, asked: str, answered: Answered) -> dict[str, Any]:
    output = answered.output
    return {
        "model_name": product,
        "model_version": answered.model_version,
        "id": asked or answered.receipt.event_id,
        "outputs": [_tensor(name, value) for name, value in output.items() if value is not None],
        "parameters": {
            "receipt": answered.receipt.id,
            "price": price_of(answered.receipt)["amount"],
            "currency": answered.receipt.currency,
            "final": answered.receipt.final,
        },
    }


def _tensor(name: str, value: Any) -> dict[str, Any]:
    """A value of an answer as a tensor; probabilities by label lie in the labels' order."""
    data: list[Any]
    match value:
        case bool():
            kind, data = "BOOL", [value]
        case int():
            kind, data = "INT64", [value]
        case float():
            kind, data = "FP64", [value]
        case str():
            kind, data = "BYTES", [value]
        case dict() if all(isinstance(item, float) for item in value.values()):
            kind, data = "FP64", list(value.values())
        case _:
            kind, data = "BYTES", [canonical_json(value).decode()]
    return {"name": name, "datatype": kind, "shape": [len(data)], "data": data}
