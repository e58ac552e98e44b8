"""The Open Inference Protocol v2 (REST): a product under the names that its clients know.

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from mintage.api import models
from mintage.api.calls import metered_call
from mintage.api.customer import price_of
from mintage.api.documents import check_document
from mintage.api.openapi import AUTHORIZED, INFER_BODY, ONE_ANSWER, problems, sold
from mintage.api.service import Service
from mintage.api.tensors import HEADER, OUTPUTS, Asked, header_bytes, response_of
from mintage.api.uploads import read_json, too_large
from mintage.core.errors import NotReady
from mintage.core.messages import _
from mintage.core.version import __version__

_PLATFORM = "mintage_bundle"
_REMEDY = _(
    "Send JSON, as it is or with gzip, with 'Content-Type: application/json' and the picture in"
    " base64; or let a library write it, such as tritonclient."
)
_problems = partial(problems, of=models.InferProblem)


def oip_routes(service: Service) -> APIRouter:
    """Health and metadata, open to all."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])

    @router.get("", summary="Server metadata", response_model=models.ServerMetadata)
    async def server() -> dict[str, Any]:
        return {"name": "mintage", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("/health/live", summary="Server live", response_model=models.Live)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get(
        "/health/ready",
        summary="Server ready",
        response_model=models.Ready,
        responses=_problems(503),
    )
    async def ready() -> dict[str, bool]:
        return _ready(service, None)

    @router.get(
        "/models/{model}",
        summary="Model metadata",
        response_model=models.ModelMetadata,
        responses=_problems(404),
    )
    async def metadata(model: str) -> dict[str, Any]:
        card = await asyncio.to_thread(service.catalogue.card, model)
        return {
            "name": card.name,
            "versions": service.engine.versions(model) or [card.model_version],
            "platform": _PLATFORM,
            "inputs": [{"name": card.modality, "datatype": "BYTES", "shape": [1]}],
            "outputs": [
                {
                    "name": name,
                    "datatype": datatype,
                    "shape": [len(card.labels) if name == "probabilities" else 1],
                }
                for name, datatype in OUTPUTS.items()
            ],
        }

    @router.get(
        "/models/{model}/ready",
        summary="Model ready",
        response_model=models.Ready,
        responses=_problems(404, 503),
    )
    async def model_ready(model: str) -> dict[str, bool]:
        await asyncio.to_thread(service.catalogue.card, model)
        return _ready(service, model)

    @router.get(
        "/models/{model}/versions/{version}",
        summary="Metadata of a version",
        response_model=models.ModelMetadata,
        responses=_problems(404, 503),
    )
    async def version_metadata(model: str, version: str) -> dict[str, Any]:
        described = await metadata(model)
        await service.engine.current(model, version=version)
        return described

    @router.get(
        "/models/{model}/versions/{version}/ready",
        summary="Version ready",
        response_model=models.Ready,
        responses=_problems(404, 503),
    )
    async def version_ready(model: str, version: str) -> dict[str, bool]:
        await asyncio.to_thread(service.catalogue.card, model)
        await service.engine.current(model, version=version)
        return _ready(service, model)

    return router


def infer_routes(service: Service) -> APIRouter:
    """What is sold, by this protocol."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])
    describe: dict[str, Any] = {
        "response_model": models.InferResponse,
        "responses": sold(*ONE_ANSWER, of=models.InferProblem, binary=True),
        "openapi_extra": INFER_BODY | AUTHORIZED,
    }

    @router.post("/models/{model}/infer", summary="Infer", **describe)
    async def infer(model: str, request: Request) -> Response:
        return await _infer(service, request, model, None)

    @router.post(
        "/models/{model}/versions/{version}/infer", summary="Infer with a version", **describe
    )
    async def infer_version(model: str, version: str, request: Request) -> Response:
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


class _Reading:
    """Reads a call's body; once that is done, ``asked`` is what it asks for."""

    asked: Asked

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._request, self._most_bytes = request, most_bytes

    async def __call__(self) -> bytes:
        """The picture."""
        request, most = self._request, self._most_bytes
        check_document(request, _REMEDY)
        json_bytes = header_bytes(request.headers.get(HEADER))
        self.asked = await read_json(request, most, lambda body: Asked.read(body, json_bytes))
        if len(self.asked.picture) > most:
            raise too_large(most)
        return self.asked.picture


async def _infer(service: Service, request: Request, product: str, version: str | None) -> Response:
    reading = _Reading(request, service.settings.max_upload_bytes)
    answered = await metered_call(service, request, product, reading, version)
    asked = reading.asked
    document = {
        "model_name": product,
        "model_version": answered.model_version,
        "id": asked.id or answered.receipt.event_id,
        "parameters": {
            "receipt": answered.receipt.id,
            "price": price_of(answered.receipt)["amount"],
            "currency": answered.receipt.currency,
            "final": answered.receipt.final,
        },
    }
    response = response_of(asked, document, answered.output)
    response.headers.update(answered.headers)
    return response
