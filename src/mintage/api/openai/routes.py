"""Where language models are sold: the routes that clients of OpenAI's API call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from mintage.api import models, replays
from mintage.api.heads import header
from mintage.api.metered import (
    admitted,
    alone,
    bearer_key,
    caller_address,
    caller_of,
    note_refusal,
    place_of,
)
from mintage.api.metrics import UNKNOWN
from mintage.api.openai.asked import ASKED_WITH, Asked, Kind
from mintage.api.openai.call import LanguageCall, answer
from mintage.api.openai.stream import Stream, replayed
from mintage.api.openapi import AUTHORIZED, language_body, language_sold
from mintage.api.service import Gateway, Service
from mintage.core.errors import AccountError, RequestError
from mintage.core.messages import _
from mintage.deliver.upstreams.declared import Upstream


def language_routes(service: Service, gateway: Gateway) -> APIRouter:
    """Chat, completions, embeddings."""
    router = APIRouter(prefix="/v1", tags=["language models"])

    def describe(kind: Kind, model: type) -> dict[str, Any]:
        return {
            "response_model": model,
            "responses": language_sold(streams=kind != "embeddings"),
            "openapi_extra": language_body(ASKED_WITH[kind], streams=kind != "embeddings")
            | AUTHORIZED,
        }

    @router.post(
        "/chat/completions",
        summary="Answer a conversation",
        **describe("chat/completions", models.ChatCompletion),
    )
    async def chat(request: Request) -> Response:
        """By OpenAI's API, as a whole or as a stream; ``model`` is a product's name.

        What is not known here goes on to the model as it came. The end of the answer leaves when
        its usage event is on disk; its member ``mintage`` names the receipt and the price. Of a
        stream that breaks, or whose client leaves, what was delivered is charged; with an
        Idempotency-Key whoever left finds all of it under the same key, and is charged once.
        """
        return await _called(service, gateway, request, "chat/completions")

    @router.post(
        "/completions",
        summary="Go on with a text",
        **describe("completions", models.TextCompletion),
    )
    async def completions(request: Request) -> Response:
        return await _called(service, gateway, request, "completions")

    @router.post(
        "/embeddings",
        summary="Embed texts",
        **describe("embeddings", models.Embeddings),
    )
    async def embeddings(request: Request) -> Response:
        return await _called(service, gateway, request, "embeddings")

    return router


def model_routes(service: Service, gateway: Gateway) -> APIRouter:
    """What there is to ask."""
    router = APIRouter(prefix="/v1", tags=["language models"])

    @router.get(
        "/models",
        summary="List the language models",
        response_model=models.LanguageModels,
        responses=language_sold(streams=False, asked=False),
        openapi_extra=AUTHORIZED,
    )
    async def listed(request: Request) -> JSONResponse:
        """Those that the key may call, by OpenAI's API."""
        caller = await asyncio.to_thread(caller_of, service, request, "predict")
        found = [
            {"id": name, "object": "model", "created": created, "owned_by": "mintage"}
            for name, created in (await gateway.models()).items()
            if caller.products is None or name in caller.products
        ]
        return JSONResponse({"object": "list", "data": found})

    return router


async def _called(service: Service, gateway: Gateway, request: Request, kind: Kind) -> Response:
    """Run a whole call; a stream's goes on while its response is sent.

    Raises:
        MintageError: any; those after an upstream was asked are recorded, free of charge.
        ClientGone: the client left before anything was delivered.
    """
    started = service.clock.monotonic()
    event_id = replays.event_id(header(request.scope, replays.HEADER))
    try:
        service.gate.authenticate(bearer_key(request), caller_address(request))
    except AccountError as error:
        service.metrics.call(UNKNOWN, UNKNOWN, error.code)
        note_refusal(service, request, None, error)
        raise
    with ExitStack() as held:
        place = held.enter_context(place_of(service, request, UNKNOWN))
        asked = await Asked.read(service, request, kind, place)
        permit = admitted(service, request, asked.product)
        upstreams = await _standing(gateway, asked.product)
        if event_id is not None:
            held.enter_context(alone(service, request, permit, event_id))
        call = LanguageCall(
            service,
            request,
            permit,
            event_id,
            started,
            asked=asked,
            gateway=gateway,
            upstreams=upstreams,
        )
        held.callback(call.end)
        again = await _again(call)
        if again is not None:
            return again
        reply = await call.begin()
        if asked.streams:
            stream = await Stream.begin(call, reply)
            stream.held = held.pop_all()
            return stream
        try:
            return await call.whole(reply)
        except RequestError as error:
            # Another process may have been asked the same meanwhile, and answered first.
            conflict = error.http_status == HTTPStatus.CONFLICT
            again = await _again(call) if conflict else None
            if again is None:
                raise
            return again
        finally:
            reply.close()


async def _again(call: LanguageCall) -> Response | None:
    """The answer that this action got, if it did."""
    found = await call.found()
    if found is None:
        return None
    kept, receipt = found
    if "events" in kept:
        return replayed(kept, receipt, call.request.state.request_id)
    return answer(kept["body"].encode(), receipt, again=True)


async def _standing(gateway: Gateway, product: str) -> Sequence[Upstream]:
    """The upstreams that answer for a product.

    Raises:
        RequestError: no upstream answers for this product (404).
    """
    upstreams = await gateway.upstreams(product)
    if not upstreams:
        raise RequestError(
            _("{product} is no language model.", product=product),
            remedy=_("Ask it at POST /v1/products/{product}/predict.", product=product),
            http_status=404,
        )
    return upstreams
