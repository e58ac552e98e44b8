"""Around every route: a request id, a language, the security headers, a line in the log."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.api import logs, tracing
from mintage.api.exchange import EXCHANGE
from mintage.api.heads import header
from mintage.api.limits import headers as limited
from mintage.api.problems import unforeseen
from mintage.api.tracing import Tracer
from mintage.core.clock import Clock, SystemClock
from mintage.core.ids import new_id
from mintage.core.messages import accepted, speaking
from mintage.core.redaction import has_key

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}
_RAW_HEADERS = [(name.lower().encode(), text.encode()) for name, text in _HEADERS.items()]
_OURS = {b"x-request-id", *(name for name, __ in _RAW_HEADERS)}
_HSTS = (b"strict-transport-security", b"max-age=31536000")  # a year
WHOLE_BODY = "whole_body"
"""Under this name a request's state holds what gives its body, if it is here; else None."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ADMIN = "/v1/admin/"
_HEALTH = {"/v2/health/live", "/v2/health/ready", "/v2/models/{model}/ready"}


class Envelope:
    """Plain ASGI, so that bodies stream through it."""

    def __init__(
        self,
        app: ASGIApp,
        clock: Clock | None = None,
        *,
        dull: bool = False,
        tracer: Tracer | None = None,
    ) -> None:
        """``dull``: what is asked here is not worth a line of the log."""
        self._app = app
        self._tracer = tracer
        self._clock = clock or SystemClock()
        self._dull = dull

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, and see that something well-formed leaves."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id_of(header(scope, b"x-request-id") or "")
        logs.note(scope, request_id=state["request_id"], method=scope["method"])
        exchange = _Watched(scope, receive, send)
        state[WHOLE_BODY] = exchange.whole_body
        # A HEAD is a GET whose body the server keeps to itself.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        with tracing.begin(self._tracer, scope) as span:
            try:
                with speaking(accepted(header(scope, b"accept-language") or "")):
                    await self._answer(asked, exchange)
            finally:
                route = getattr(asked.get("route"), "path", None)
                admin = route is not None and route.startswith(_ADMIN)
                state["dull"] = (self._dull and not admin) or route in _HEALTH
                said = {
                    "route": route,
                    "status": exchange.status,
                    "bytes_in": exchange.bytes_in,
                    "latency_seconds": round(self._clock.monotonic() - began, 6),
                }
                logs.access(scope, **said)
                del state[WHOLE_BODY]  # which knows the state: see Exchange.run
                if span is not None:
                    tracing.describe(span, state["logged"] | said)

    async def _answer(self, scope: Scope, exchange: _Watched) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.status is not None:
                raise
            answer = unforeseen(error, scope["state"]["request_id"])
            await answer(scope, exchange.receive, exchange.send)


class _Watched:
    """One request's two directions, watched."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._state = scope["state"]
        self._over_tls = scope.get("scheme") == "https"
        self._receive = receive
        self._send = send
        self.status: int | None = None
        self.bytes_in = 0

    def whole_body(self) -> bytes | None:
        exchange = self._state.get(EXCHANGE)
        data: bytes | None = exchange.whole() if exchange is not None else None
        if data is not None:
            self.bytes_in += len(data)
            self._state["body_ended"] = True
        return data

    async def receive(self) -> Message:
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._state["body_ended"] = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = [pair for pair in message["headers"] if pair[0] not in _OURS]
            if not any(name == b"cache-control" for name, __ in given):
                given.append((b"cache-control", b"no-store"))
            request_id = str(self._state["request_id"]).encode()
            limits = limited(self._state)
            message["headers"] = [*given, (b"x-request-id", request_id), *limits, *_RAW_HEADERS]
            if self._over_tls:
                message["headers"].append(_HSTS)
        await self._send(message)


def request_id_of(given: str) -> str:
    """The client's own ``X-Request-Id`` where it is well-formed and no API key, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) and not has_key(given) else new_id("req")
