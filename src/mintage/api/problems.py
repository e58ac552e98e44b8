"""Every error as ``application/problem+json`` (RFC 9457), in one shape."""

from __future__ import annotations

import http
import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.api.draining import read_on
from mintage.core.errors import Bug, MintageError, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


class ProblemResponse(Response):
    """An error. Where the rest of a body is unread, it is read on for a moment before closing.

    Closing a connection while the client still sends makes its system throw the answer away.
    """

    media_type = MEDIA_TYPE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; with ``Connection: close`` and more to come, linger."""
        if self.headers.get("connection") != "close" or scope["state"].get("body_ended"):
            await super().__call__(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await read_on(receive)
        await send({"type": "http.response.body", "body": b""})


def problem(error: MintageError, request_id: str, **more: Any) -> ProblemResponse:
    """The error as it leaves."""
    document = {
        "type": f"urn:mintage:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.http_status,
        "detail": error.message,
        "code": error.code,
        "remedy": error.remedy,
        "instance": request_id,
        **more,
    }
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.http_status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="mintage"'
    if error.http_status in (
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        http.HTTPStatus.REQUEST_TIMEOUT,
    ):
        headers["Connection"] = "close"
    body = json.dumps(document, ensure_ascii=False).encode()
    return ProblemResponse(body, error.http_status, headers)


def unforeseen(error: Exception, request_id: str) -> ProblemResponse:
    """A bug's problem: an incident id for the user, the traceback for the log alone."""
    incident = new_id("inc")
    _log.error("incident %s in request %s", incident, request_id, exc_info=error)
    bug = Bug(
        _("Something unforeseen happened; it is our mistake, not yours."),
        remedy=_("Tell whoever runs the service: incident {incident}.", incident=incident),
    )
    return problem(bug, request_id, incident=incident)


def install(app: FastAPI) -> None:
    """Have the framework's own errors answered in the same shape."""

    @app.exception_handler(MintageError)
    async def ours(request: Request, error: MintageError) -> Response:
        if isinstance(error, Bug):
            return unforeseen(error, request.state.request_id)
        return problem(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(RequestError(f"{place}: {first['msg']}."), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        answer = problem(_of_framework(request, error), request.state.request_id)
        answer.headers.update(error.headers or {})
        return answer


def _of_framework(request: Request, error: HTTPException) -> RequestError:
    status = error.status_code
    if status == http.HTTPStatus.NOT_FOUND:
        return RequestError(_("There is nothing at this address."), http_status=status)
    if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return RequestError(
            _("{method} is not possible at this address.", method=request.method),
            remedy=_("Use {get}.", get=(error.headers or {}).get("Allow", "another method")),
            http_status=status,
        )
    return RequestError(str(error.detail), http_status=status)
