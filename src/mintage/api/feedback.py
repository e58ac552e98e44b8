"""The customers' word on an answer: given with the picture and consent, and taken back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from mintage.api import models
from mintage.api.documents import check_document
from mintage.api.metered import caller_of
from mintage.api.openapi import AUTHORIZED, FEEDBACK_BODY, problems
from mintage.api.problems import malformed
from mintage.api.routing import ClientGone
from mintage.api.service import Feedback, Service
from mintage.api.uploads import decode_base64, json_object, placed, read_json, too_large
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.types import Said

_ADDRESS = "/receipts/{receipt_id}/feedback"
_REMEDY = _("Send one JSON object, as it is or with gzip, with 'Content-Type: application/json'.")
_SHOWN = tuple(models.KeptFeedback.model_fields)


@dataclass(frozen=True)
class _Given:
    said: Said
    data: bytes


def feedback_routes(service: Service, feedback: Feedback) -> APIRouter:
    """One word a receipt: a second one takes the first one's place."""
    router = APIRouter(prefix="/v1", tags=["feedback"])

    @router.put(
        _ADDRESS,
        summary="Say whether an answer was right",
        response_model=models.KeptFeedback,
        responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
        openapi_extra=FEEDBACK_BODY | AUTHORIZED,
    )
    async def keep(receipt_id: str, request: Request) -> JSONResponse:
        """Keep the picture, its answer and the true label, for the next dataset.

        The picture is sent again, since uploads are not kept; its digest and the answer's have to
        be those of the receipt. Without consent nothing is kept. A repetition takes the place of
        what was said before; metadata of the picture, such as its place, is never kept.
        """
        caller = await asyncio.to_thread(caller_of, service, request, "feedback")
        check_document(request, _REMEDY)
        most = service.settings.max_upload_bytes
        calls = service.settings.max_queue
        with placed(request, service.intake, most_bytes=most, most_calls=calls):
            try:
                given = await read_json(request, most, lambda body: _given(json_object(body)))
            except ClientDisconnect as gone:
                raise ClientGone from gone
            if len(given.data) > most:
                raise too_large(most)
            kept = await asyncio.to_thread(
                feedback.keep,
                caller.customer,
                receipt_id,
                given.said,
                given.data,
                caller.products,
            )
        return JSONResponse({name: kept[name] for name in _SHOWN})

    @router.delete(
        _ADDRESS,
        summary="Take back what was said of an answer",
        status_code=204,
        responses=problems(401, 403, 404, 409),
        openapi_extra=AUTHORIZED,
    )
    async def withdraw(receipt_id: str, request: Request) -> Response:
        """Forget it and the picture, unless they are part of a dataset by now (409)."""
        caller = await asyncio.to_thread(caller_of, service, request, "feedback")
        await asyncio.to_thread(feedback.withdraw, receipt_id, caller.customer, caller.products)
        return Response(status_code=204)

    return router


def _given(document: dict[str, Any]) -> _Given:
    if document.get("consent") is not True:
        raise RequestError(
            _("Nothing is kept without consent."),
            remedy=_('Send "consent": true if the picture may be kept to train a better model.'),
            http_status=422,
        )
    try:
        body = models.FeedbackDocument.model_validate(document)
    except ValidationError as error:
        raise malformed(error.errors(include_input=False, include_url=False)[0]) from error
    return _Given(Said(body.right, body.label, body.output), decode_base64(body.image, "image"))
