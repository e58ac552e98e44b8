"""Every error as ``application/problem+json`` (RFC 9457): one shape, the reader's language."""

from __future__ import annotations

import http
import json
import logging
from collections.abc import Mapping
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from mintage.api import logs
from mintage.api.draining import read_on
from mintage.api.titles import title_of
from mintage.core.errors import Bug, DependencyDown, MintageError, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import Message, _, current, told
from mintage.core.redaction import without_keys

MEDIA_TYPE = "application/problem+json"
_OIP = "/v2"
LANGUAGE = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models")
"""Where clients of OpenAI's API call: errors have its shape there."""
_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
_CLOSING = {
    http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    http.HTTPStatus.REQUEST_TIMEOUT,
    http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
_RULES = {
    "missing": _("it is missing"),
    "int_parsing": _("a whole number"),
    "int_type": _("a whole number"),
    "int_from_float": _("a whole number"),
    "string_type": _("a text"),
    "list_type": _("a list"),
    "dict_type": _("an object"),
    "model_type": _("an object"),
    "bool_type": _("true or false"),
    "extra_forbidden": _("no such field"),
    "model_attributes_type": _("an object"),
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_log = logging.getLogger(__name__)


class ProblemResponse(Response):
    """An error. Where the rest of a body is unread, it is read on for a moment before closing.

    Closing a connection while the client still sends makes its system throw the answer away.
    """

    media_type = MEDIA_TYPE

    def __init__(self, document: Mapping[str, Any], headers: Mapping[str, str], said: str) -> None:
        """``said`` is the document's words as one text."""
        super().__init__(_encoded(document), document["status"], headers)
        self._document, self._said = document, said

    def at(self, path: str) -> Self:
        """The error as it leaves at an address.

        Under ``/v2`` the text is its member ``error`` too: clients of the Open Inference Protocol
        read nothing else. Where clients of OpenAI's API call, it is as that has it.
        https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
        """
        if path in LANGUAGE:
            document = {**self._document, "detail": self._said}
            self.body = _encoded({"error": _as_openai(document)})
            self.headers["Content-Type"] = "application/json"
            self.headers["Content-Length"] = str(len(self.body))
        elif path == _OIP or path.startswith(f"{_OIP}/"):
            self.body = _encoded({**self._document, "error": self._said})
            self.headers["Content-Length"] = str(len(self.body))
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; with ``Connection: close`` and more to come, linger."""
        self.at(scope["path"])
        logs.note(scope, **{name: self._document.get(name) for name in ("code", "incident")})
        if self.headers.get("connection") != "close" or scope["state"].get("body_ended"):
            await super().__call__(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await read_on(receive)
        await send({"type": "http.response.body", "body": b""})


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def problem(error: MintageError, request_id: str, **more: Any) -> ProblemResponse:
    """The error as it leaves, told in the current language; its ``code`` is no word.

    What it quotes of a call may be a key in a wrong place, such as the address.
    """
    document = {
        "type": f"urn:mintage:problem:{error.code}",
        "title": told(title_of(error)),
        "status": error.http_status,
        "detail": without_keys(told(error.message)),
        "code": error.code,
        "remedy": without_keys(told(error.remedy)),
        "instance": request_id,
        **more,
    }
    headers = {"Content-Language": current(), "Vary": "Accept-Language"}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.http_status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="mintage"'
    if error.http_status in _CLOSING:
        headers["Connection"] = "close"
    return ProblemResponse(document, headers, without_keys(str(error)))


def unforeseen(error: Exception, request_id: str) -> ProblemResponse:
    """A bug's problem: an incident id for the user, the traceback for the log alone."""
    incident = new_id("inc")
    _log.error("a bug", exc_info=error, extra={"incident": incident, "request_id": request_id})
    bug = Bug(
        _("Something unforeseen happened; it is our mistake, not yours."),
        remedy=_("Tell whoever runs the service: incident {incident}.", incident=incident),
    )
    return problem(bug, request_id, incident=incident)


def openai_error(error: MintageError, request_id: str) -> bytes:
    """An error within a stream: what of it is data."""
    found = answer_to(error, request_id).at(LANGUAGE[0])
    return bytes(found.body)


def _as_openai(document: Mapping[str, Any]) -> dict[str, Any]:
    """An error as OpenAI's API has it."""
    status = document["status"]
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    said = {
        "message": document["detail"],
        "type": kind,
        "param": None,
        "code": document["code"],
        "instance": document["instance"],
    }
    incident = document.get("incident")
    return said if incident is None else said | {"incident": incident}


def answer_to(error: MintageError, request_id: str) -> ProblemResponse:
    """What leaves for one of our errors: no particulars of a bug, nor of what is down."""
    if isinstance(error, Bug):
        return unforeseen(error, request_id)
    if isinstance(error, DependencyDown):
        return problem(_without_particulars(error, request_id), request_id)
    return problem(error, request_id)


def install(app: FastAPI) -> None:
    """Have the framework's own errors answered in the same shape."""

    @app.exception_handler(MintageError)
    async def ours(request: Request, error: MintageError) -> Response:
        return answer_to(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(malformed(error.errors()[0]), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed(request)
        found = _of_framework(request, error.status_code, headers)
        answer = problem(found, request.state.request_id)
        answer.headers.update(headers)
        return answer


def _without_particulars(error: DependencyDown, request_id: str) -> DependencyDown:
    """Paths and disks are for whoever runs the service, who reads of them in the log."""
    _log.error("%s", error.message, extra={"request_id": request_id, "code": error.code})
    return DependencyDown(
        _("Something that the service needs does not answer."),
        remedy=_("Send it again in a moment; if it stays so, tell whoever runs the service."),
        http_status=error.http_status,
        retry_after_seconds=error.retry_after_seconds or 5,
    )


def malformed(fault: Mapping[str, Any]) -> RequestError:
    """The refusal of a field, from the first of pydantic's errors: its place and what it has to be.

    The path says which field; what it held is not repeated.
    """
    place = ".".join(str(part) for part in fault["loc"])
    return RequestError(
        _("The field {field!r} is not as it has to be: {rule}.", field=place, rule=_rule(fault)),
        remedy=_("Mend the field, then send it again."),
    )


def _rule(fault: Mapping[str, Any]) -> Message:
    found: Mapping[str, Any] = fault.get("ctx", {})
    match fault["type"]:
        case "greater_than_equal":
            return _("at least {least}", least=found["ge"])
        case "less_than_equal":
            return _("at most {most}", most=found["le"])
        case "literal_error":
            return _("one of {expected}", expected=str(found["expected"]).replace("'", ""))
        case "string_too_long":
            return _("at most {most} characters", most=found["max_length"])
        case kind:
            return _RULES.get(kind, _("of another kind"))


def _allowed(request: Request) -> str:
    """Every method of an address; the framework names those of one of its routes alone."""
    routes, scope = request.app.routes, request.scope
    return ", ".join(
        method
        for method in _METHODS
        if any(each.matches({**scope, "method": method})[0] is Match.FULL for each in routes)
    )


def _of_framework(request: Request, status: int, headers: Mapping[str, str]) -> RequestError:
    if status == http.HTTPStatus.NOT_FOUND:
        return RequestError(
            _("There is nothing at this address."),
            remedy=_("GET /v1/products lists what is sold here; / is the upload page."),
            http_status=status,
        )
    if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return RequestError(
            _("{method} is not possible at this address.", method=request.scope["method"]),
            remedy=_("Use {methods}.", methods=headers["Allow"]),
            http_status=status,
        )
    return RequestError(
        _("This request cannot be answered ({status}).", status=status),
        remedy=_("Send it as the API's description says."),
        http_status=status,
    )
