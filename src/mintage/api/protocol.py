"""HTTP on the wire: uvicorn's own, with bounds on a request's head and problems before routing."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mintage.api import logs
from mintage.api.exchange import Exchange
from mintage.api.heads import header_of
from mintage.api.middleware import request_id_of
from mintage.api.problems import problem
from mintage.api.turned_away import Overload
from mintage.api.turns import Turns
from mintage.core.errors import RequestError
from mintage.core.messages import _, accepted, speaking

_MOST_HEAD_BYTES = 65_536
_PIECE_BYTES = 8192  # what is parsed at once of a head, whose parts the parser keeps until complete
_HEAD_SECONDS = 30.0
_LINGER_SECONDS, _MOST_LINGER_SECONDS = 2.0, 30.0
_MOST_WAITING = 16  # requests that were sent behind the one that is answered
_MOST_THROWN_AWAY_BYTES = 1_000_000  # of a body that nobody wants


class Protocol(HttpToolsProtocol):
    """Refuses a head that is too large, too slow or no HTTP, with a problem like any other."""

    cycle: Any  # uvicorn's name for the newest Exchange; those before it may be under way yet

    def __init__(
        self,
        *args: Any,
        overload: Overload | None = None,
        turns: Turns | None = None,
        **options: Any,
    ) -> None:
        """``overload`` says when calls are turned away, and with what; ``turns`` counts this."""
        super().__init__(*args, **options)
        self._overload = overload
        self._turns = turns
        self.headers = []
        self._in_head = self._head_begun = True
        self._head_bytes = self._beside_body = self._turned_away = 0
        self._body_came = False
        self._answering: Exchange | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused = self._still_sends = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first head, but not for ever."""
        super().connection_made(transport)
        if self._turns is not None:
            self._turns.come()
        self.flow = _Flow(transport, self.pipeline)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more, and whoever still answers is told."""
        if self._turns is not None:
            self._turns.left()
        self._forget_head()
        under_way: list[Any] = [self._answering, *(waiting for waiting, __ in self.pipeline)]
        for exchange in under_way:
            if exchange is not None and not exchange.response_complete:
                exchange.leave()
        super().connection_lost(exc)
        self.cycle = self._answering = None  # they know this connection: see Exchange.run

    def data_received(self, data: bytes) -> None:
        """Parse a head piece by piece, so that none grows without bound."""
        self._still_sends = True
        self._turned_away = 0
        left = memoryview(data)
        while self._in_head and left and not self._closing():
            piece, left = left[:_PIECE_BYTES], left[_PIECE_BYTES:]
            self._head_bytes += len(piece)
            super().data_received(piece)  # type: ignore[arg-type]
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse(_too_large())
        if left and not self._closing():
            self._body_came = False
            super().data_received(left)  # type: ignore[arg-type]
            # What comes with a body and is none: the sizes of its chunks, and trailers behind it.
            self._beside_body = 0 if self._body_came else self._beside_body + len(left)
            if self._beside_body > _MOST_HEAD_BYTES:
                self._end_body()
        # Whatever came ended the wait for a next request. Where nothing is answered something else
        # has to: a head, what is left of a body that was refused, or bytes that are neither.
        waits = self._head_timer is not None or self.timeout_keep_alive_task is not None
        if (self._head_begun or self._is_idle()) and not waits and not self._closing():
            self._expect_head()

    def _end_body(self) -> None:
        """Take no more of a body that goes on without one; it may have been answered already."""
        if self._is_idle():
            self._refused = True
            self.transport.close()
        else:
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        """A head begins; most have ended with the piece that they began in."""
        super().on_message_begin()
        self._unset_keepalive_if_required()  # armed by a call that ended in this piece
        self._head_begun = True
        self._head_bytes = max(self._head_bytes, 1)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head; trailers, behind a body, say nothing here."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head has ended: its request begins, or waits for those before it."""
        if self._refused:
            return
        self._forget_head()
        version, method = self.parser.get_http_version(), self.parser.get_method()
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        is_next, overload = self._is_idle(), self._overload
        if is_next and method == b"POST" and overload is not None and overload.is_full():
            self._turn_away(overload, keep_alive=keep_alive)
            return
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"
        path = raw_path.decode("ascii")
        self.scope |= {
            "http_version": version,
            "method": method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": url.query or b"",
        }
        if len(self.pipeline) >= _MOST_WAITING:
            self._refuse(_too_large())  # what was taken is answered; the rest has to come again
            return
        self.cycle = Exchange(
            self.scope,
            self.transport,
            self.flow,
            self.server_state.default_headers,
            keep_alive=keep_alive,
            expects_continue=self.expect_100_continue,
            on_end=self.on_response_complete,
        )
        if is_next:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A part of a body, which nobody wants once the answer is out."""
        self._body_came = True
        if not (self._refused or self._is_idle()):
            self.cycle.feed(body)

    def on_message_complete(self) -> None:
        """A body has ended; what comes now is another head."""
        if self.cycle is None and not self._refused:  # of a call that was turned away
            self._forget_head()
            self.on_response_complete()
        elif not (self._refused or self.cycle.response_complete):
            self.cycle.feed_end()
        self._in_head = True

    def on_response_complete(self) -> None:
        """The next request begins; when none waits, more are read."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """What could not be parsed is answered with a problem; ``msg`` says no more than that."""
        del msg
        self._refuse(
            RequestError(
                _("What came is not well-formed HTTP."),
                remedy=_("Let a library write the request: a browser, curl or mintage.Client."),
            )
        )

    def _is_idle(self) -> bool:
        """Whether whatever was asked here is answered."""
        return self.cycle is None or self.cycle.response_complete

    def _turn_away(self, overload: Overload, *, keep_alive: bool) -> None:
        """Refuse the call whose head has come, before its body.

        Where it can the connection stays, and a body that says how short it is is thrown away as it
        comes: a new connection costs more than that.
        """
        self.cycle = None
        self._turned_away += 1
        announced = header_of(self.headers, b"content-length") or ""
        if (
            keep_alive
            and announced.isdecimal()
            and int(announced) <= _MOST_THROWN_AWAY_BYTES
            and self._turned_away < _MOST_WAITING
            and not (self.flow.write_paused or self.expect_100_continue)
            and not self.parser.should_upgrade()
        ):
            self.transport.write(overload.refusal(keep_alive=True))
        else:
            self._end_with(overload.refusal())

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        task = self.loop.create_task(cycle.run(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if self._overload is not None and cycle.scope["method"] == "POST":
            self._overload.begun += 1
            task.add_done_callback(self._overload.ended)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._late)

    def _forget_head(self) -> None:
        self._in_head = self._head_begun = False
        self._head_bytes = self._beside_body = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        if self._closing():
            return
        if self._head_bytes:
            self._refuse(_too_slow())
        else:
            self.transport.close()

    def _closing(self) -> bool:
        return self._refused or self.transport.is_closing()

    def _refuse(self, error: RequestError) -> None:
        """Answer, unless an answer is on its way already, and end the connection."""
        self._refused = True
        self._forget_head()
        running = self._answering
        if running is not None and not running.response_complete:
            if running is not self.cycle or running.has_arrived:  # this came behind it
                self.pipeline.clear()
                running.keep_alive = False
                return
            if running.response_started:
                self.transport.close()
                return
            running.leave()
        request_id = request_id_of(header_of(self.headers, b"x-request-id") or "")
        with speaking(accepted(header_of(self.headers, b"accept-language") or "")):
            answer = problem(error, request_id).at("/v2/")  # the address may not have come yet
        answer.headers.update({"Connection": "close", "X-Request-Id": request_id})
        logs.access(
            {"state": {}}, request_id=request_id, status=answer.status_code, code=error.code
        )
        lines = [b"%s: %s\r\n" % pair for pair in answer.raw_headers]
        status = STATUS_LINE[answer.status_code]
        self._end_with(b"".join((status, *lines, b"\r\n", bytes(answer.body))))

    def _end_with(self, answer: bytes) -> None:
        """The last that this connection says.

        Closed while the client still sends, its system would throw the answer away: what comes is
        read on until it pauses.
        """
        self._refused = True
        self._forget_head()
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger(self.loop.time() + _MOST_LINGER_SECONDS)

    def _linger(self, until: float) -> None:
        self._still_sends = False
        self.loop.call_later(_LINGER_SECONDS, self._leave, until)

    def _leave(self, until: float) -> None:
        if self._still_sends and self.loop.time() < until:
            self._linger(until)
        else:
            self.transport.close()


class _Flow(FlowControl):
    """Reads no more while requests wait behind the one that is answered."""

    def __init__(self, transport: asyncio.Transport, pipeline: Collection[object]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Go on reading, if what was read is under way."""
        if not self._pipeline:
            super().resume_reading()


def _too_large() -> RequestError:
    return RequestError(
        _("The address and the headers have more than {most:,} bytes.", most=_MOST_HEAD_BYTES),
        remedy=_("Send fewer or shorter headers; the picture belongs into the body."),
        http_status=http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    )


def _too_slow() -> RequestError:
    return RequestError(
        _("The request's headers took longer than {seconds:g} seconds.", seconds=_HEAD_SECONDS),
        remedy=_("Send it again, over a faster line."),
        http_status=http.HTTPStatus.REQUEST_TIMEOUT,
    )
