"""A streamed answer: its parts leave as they come, its end when it is recorded.

What comes after the last choice has ended is held back until the event is on disk, so whoever has
seen the end has a receipt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.api import replays
from mintage.api.exchange import EXCHANGE
from mintage.api.openai.call import (
    LanguageCall,
    headers_of,
    mintage_of,
    outcome_of,
    spelled,
    text_of,
)
from mintage.api.problems import openai_error
from mintage.api.routing import ClientGone
from mintage.core.errors import DataError, MintageError, NotReady
from mintage.core.messages import _
from mintage.core.types import Receipt
from mintage.deliver.upstreams.events import DONE, Events, event
from mintage.deliver.upstreams.gateway import Reply
from mintage.deliver.upstreams.tokens import Tokens, said_by_upstream

_TYPE = "text/event-stream; charset=utf-8"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Stream(Response):
    """Sends what an upstream streams. Whatever the call ``held`` is held until its end."""

    media_type = _TYPE

    def __init__(self, call: LanguageCall, reply: Reply, parts: _Parts) -> None:
        super().__init__(headers=_HEADERS, media_type=_TYPE)
        del self.headers["content-length"]
        self.held = ExitStack()
        self._call, self._reply, self._parts = call, reply, parts

    @classmethod
    async def begin(cls, call: LanguageCall, reply: Reply) -> Stream:
        """The response, once its first part is here: until then an error is an error's answer."""
        parts = _Parts(call, reply)
        try:
            await call.or_recorded(parts.first(), reply)
        except BaseException:
            reply.close()
            raise
        return cls(call, reply, parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it; who leaves meanwhile pays for what was delivered."""
        with self.held:
            try:
                await self._run(scope, send)
            finally:
                self._reply.close()

    async def _run(self, scope: Scope, send: Send) -> None:
        call, parts = self._call, self._parts
        exchange = scope["state"].get(EXCHANGE)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def deliver() -> None:
            async for part in parts:
                await send({"type": "http.response.body", "body": event(part), "more_body": True})
                if exchange is not None and exchange.disconnected:
                    raise ClientGone
                parts.delivered(part)

        try:
            await call.wanted(deliver())
            receipt = await self._recorded()
        except ClientGone:
            await self._broken("cancelled")
            raise
        except MintageError as error:
            if parts.unsettled:
                await self._broken(outcome_of(error))
            said = openai_error(error, call.request.state.request_id)
            await send({"type": "http.response.body", "body": event(said)})
            return
        call.service.metrics.answered(call.permit.product, call.elapsed)
        ending = _ended(parts.held, receipt)
        await send({"type": "http.response.body", "body": ending})

    async def _recorded(self) -> Receipt:
        """The receipt of the whole answer."""
        call, parts = self._call, self._parts
        tokens = parts.tokens or call.counted(self._reply, parts.text)
        kept = None
        if call.event_id is not None:
            kept = call.kept(events=[each.decode() for each in parts.kept])
        parts.unsettled = False
        return await call.record(call.usage("ok", self._reply, tokens, parts.sha256, kept))

    async def _broken(self, nothing: Any) -> None:
        """Record the part that was delivered; where none was, how it ended."""
        call, parts = self._call, self._parts
        if not parts.delivered_text:
            await call.record_failure(call.failed(nothing, self._reply))
            return
        tokens = call.counted(self._reply, parts.delivered_text)
        parts.held.clear()
        await call.record_failure(call.usage("partial", self._reply, tokens, parts.sha256))


def replayed(events: Sequence[str], receipt: Receipt) -> Response:
    """The stream that this action got, again."""
    data = [each.encode() for each in events]
    body = b"".join(map(event, data[:-1])) + _ended(data[-1:], receipt)
    headers = _HEADERS | headers_of(receipt) | replays.REPLAYED
    return Response(body, headers=headers, media_type=_TYPE)


def _ended(held: Sequence[bytes], receipt: Receipt) -> bytes:
    """The end of a stream: what was held back, the receipt in the first part of it, ``[DONE]``."""
    if not held:
        return event(DONE)
    said = b',"mintage":%b}' % spelled(mintage_of(receipt))
    first, *rest = held
    return b"".join(map(event, [first[:-1] + said, *rest, DONE]))


class _Parts:
    """The data of a stream's events, as they leave; and what is to be known of them."""

    def __init__(self, call: LanguageCall, reply: Reply) -> None:
        self.tokens: Tokens | None = None
        self.held: list[bytes] = []
        """What leaves when all is recorded."""
        self.kept: list[bytes] = []
        self.unsettled = True
        self._call = call
        self._texts: list[str] = []
        self._delivered = 0
        self._left = call.asked.choices
        self._hash = hashlib.sha256()
        self._parts = self._read(reply.parts())
        self._first: bytes | None = None
        self._keeps = call.event_id is not None

    async def first(self) -> None:
        """Wait for the first part."""
        self._first = await anext(self._parts, None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._all()

    def delivered(self, part: bytes) -> None:
        """What was given last has left."""
        self._delivered = len(self._texts)
        self._hash.update(part + b"\n")

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self._texts)

    @property
    def delivered_text(self) -> str:
        """As much of it as left."""
        return "".join(self._texts[: self._delivered])

    @property
    def sha256(self) -> str:
        """Of the data of all events that left, and of those held back, a line each."""
        whole = self._hash.copy()
        for part in self.held:
            whole.update(part + b"\n")
        return whole.hexdigest()

    async def _all(self) -> AsyncIterator[bytes]:
        if self._first is not None:
            yield self._first
            async for part in self._parts:
                yield part

    async def _read(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Each part that may leave at once.

        Raises:
            ServiceError: the stream broke.
        """
        events = Events()
        async for part in parts:
            try:
                found = events.feed(part)
            except DataError as error:
                raise _broke(self._call) from error
            for data in found:
                if data == DONE:
                    return
                spelled_part = self._taken(data)
                if spelled_part is None:
                    continue
                if self._keeps:
                    self.kept.append(spelled_part)
                if self.held or self._left <= 0:
                    self.held.append(spelled_part)
                else:
                    yield spelled_part
        if self._left > 0:
            raise _broke(self._call)

    def _taken(self, data: bytes) -> bytes | None:
        """A part as it leaves; None where only we asked for it."""
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _broke(self._call) from error
        if not isinstance(chunk, dict) or ("error" in chunk and "choices" not in chunk):
            raise _broke(self._call)
        self.tokens = said_by_upstream(chunk.get("usage")) or self.tokens
        choices = chunk.get("choices") or []
        for choice in choices:
            self._texts.append(text_of(choice))
            if isinstance(choice, dict) and choice.get("finish_reason") is not None:
                self._left -= 1
        if not choices and "usage" in chunk and not self._call.asked.wants_usage:
            return None
        chunk["model"] = self._call.permit.product
        return spelled(chunk)


def _broke(call: LanguageCall) -> NotReady:
    return NotReady(
        _("The answer of {product} broke off.", product=call.permit.product),
        remedy=_("Send it again in a moment; what was delivered of it is charged, no more."),
        retry_after_seconds=1,
    )
