"""One request and its response on a connection: what ASGI's two callables do, in few system calls.

uvicorn's own cycle writes head and body apart and copies a body three times; here a short answer
is one write, and a body that came in one piece stays that piece.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

EXCHANGE = "exchange"
"""Under this name a request's state holds its exchange, which knows whether its client left."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY = (204, 304)
_log = logging.getLogger(__name__)


class Exchange:
    """Has the attributes by which uvicorn's protocol ends it: it stands for its ``cycle``."""

    def __init__(
        self,
        scope: Any,
        transport: asyncio.Transport,
        flow: FlowControl,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        keep_alive: bool,
        expects_continue: bool,
        on_end: Callable[[], None],
    ) -> None:
        """``headers`` are those of every answer."""
        self.scope = scope
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.message_event = asyncio.Event()
        self.waiting: set[asyncio.Task[Any]] = set()
        """What works on the answer, and is cancelled when nobody wants it any more."""
        self._transport, self._flow, self._headers = transport, flow, headers
        self._on_end = on_end
        self._expects_continue = expects_continue
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._body_ended = False
        self._head: dict[str, Any] = {}
        self._chunked = False
        self._to_send = 0

    async def run(self, app: ASGIApp) -> None:
        """Have it answered; whatever the application forgets ends the connection."""
        state = self.scope["state"]
        state[EXCHANGE] = self
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - whatever it is, the others' connections live
            _log.exception("An answer failed as it left.")
            self._transport.close()
        else:
            if not self.response_complete and not self.disconnected:
                _log.error("A request was left without an answer.")
                self._transport.close()
        finally:
            del state[EXCHANGE]  # a circle would stay until garbage is looked for: a halt for all

    def leave(self) -> None:
        """The client is gone, or gets another answer."""
        self.disconnected = True
        self.message_event.set()
        for task in tuple(self.waiting):
            task.cancel()

    def feed(self, data: bytes) -> None:
        """Keep a part of the body until it is asked for."""
        self._parts.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self.message_event.set()

    def feed_end(self) -> None:
        """The body is complete."""
        self._body_ended = True
        self.message_event.set()

    @property
    def has_arrived(self) -> bool:
        """Whether all of the body has come."""
        return self._body_ended

    def whole(self) -> bytes | None:
        """The body, if all of it is here and none was received yet."""
        if not self._body_ended or self.disconnected or self.response_complete:
            return None
        return self._taken()

    async def receive(self) -> dict[str, Any]:
        """What has come of the body, or that the client is gone."""
        if self._expects_continue and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
            self._expects_continue = False
        if not (self.disconnected or self.response_complete):
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._taken(), "more_body": not self._body_ended}

    async def send(self, message: Any) -> None:
        """Write; a head waits for the first part of its body."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started, self._expects_continue = True, False
            self._head = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        head, self._head = self._head, {}
        prefix = self._opened(head) if head else b""
        self._transport.write(prefix + self._framed(body, more=more))
        if not more:
            self._end()

    def _taken(self) -> bytes:
        parts, self._parts, self._waiting_bytes = self._parts, [], 0
        self._flow.resume_reading()  # or nobody would notice that the client leaves
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _opened(self, head: dict[str, Any]) -> bytes:
        """The status line and the headers."""
        status, lines = head["status"], [STATUS_LINE[head["status"]]]
        length = closes = False
        for name, value in (*self._headers, *head["headers"]):
            if name == b"content-length":
                length, self._to_send = True, int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive, closes = False, True
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if not length and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        written = b"".join(lines)
        if written.count(b"\n") != len(lines) or b"\0" in written:
            raise RuntimeError("A header of the answer has a line end in it.")
        return written + b"\r\n"

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        """A part of the body as it goes over the wire."""
        if self.scope["method"] == "HEAD":
            return b""
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return framed if more else framed + b"0\r\n\r\n"
        self._to_send -= len(body)
        if self._to_send < 0 or (self._to_send and not more):
            raise RuntimeError("The answer's body has not the length that its head says.")
        return body

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._transport.close()
        self._on_end()
