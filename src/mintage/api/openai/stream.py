"""A streamed answer: its parts leave as they come, its end when it is recorded.

What comes after the last choice has ended is held back until the event is on disk, so whoever has
seen the end has a receipt. Under an Idempotency-Key there is one charge at most, and what was
charged is what the key gives again: all of the answer, or the part that was delivered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from http import HTTPStatus
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
    replaced_in,
    text_of,
)
from mintage.api.problems import openai_error
from mintage.api.recording import COMMIT_SECONDS
from mintage.api.routing import ClientGone
from mintage.core.errors import MintageError, NotReady
from mintage.core.messages import _
from mintage.core.types import Receipt
from mintage.deliver.upstreams.declared import LONGEST_SECONDS
from mintage.deliver.upstreams.events import DONE, event, spelled
from mintage.deliver.upstreams.gateway import Reply
from mintage.deliver.upstreams.tokens import Tokens, choices_of, said_by_upstream

_READING_SECONDS = 60.0
"""Who reads nothing for so long gets no more."""
_TYPE = "text/event-stream; charset=utf-8"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Stream(Response):
    """Sends what an upstream streams. Whatever the call ``held`` is held until its end."""

    media_type = _TYPE

    def __init__(self, call: LanguageCall, reply: Reply, parts: _Parts) -> None:
        super().__init__(headers=_HEADERS | replaced_in(reply), media_type=_TYPE)
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
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        delivered = self._deliver(scope, send)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await (call.wanted(delivered) if call.event_id is None else delivered)
            receipt = await self._recorded()
        except ClientGone:
            await self._broken("cancelled")
        except TimeoutError:  # who does not read it gets no more of it, and no end
            await self._broken("timeout")
        except MintageError as error:
            told = await self._failed(error)
            said = openai_error(told, call.request.state.request_id)
            await send(_body(event(said)))
        except BaseException:  # such as the server's end
            if parts.unsettled:
                await asyncio.shield(self._broken("cancelled"))
            raise
        else:
            call.service.metrics.answered(call.permit.product, call.elapsed)
            await send(_body(_ended(parts.held, receipt)))

    async def _deliver(self, scope: Scope, send: Send) -> None:
        """Send each part as it comes. Whose client left can ask by its key: that is read on.

        Raises:
            ClientGone: nobody waits for it, and nobody will ask for it.
            TimeoutError: the same, of who does not read.
        """
        call, parts = self._call, self._parts
        exchange = scope["state"].get(EXCHANGE)
        async for part in parts:
            try:
                async with asyncio.timeout(_READING_SECONDS):
                    await send(_body(event(part), more=True))
                left = exchange is not None and exchange.disconnected
            except TimeoutError:
                if call.event_id is None:
                    raise
                left = True
            if not left:
                parts.delivered(part)
            elif call.event_id is None:
                raise ClientGone
            else:
                parts.held.append(part)

    async def _failed(self, error: MintageError) -> MintageError:
        """Record what was delivered of an answer that broke, or that could not be recorded.

        It returns what the client is told.
        """
        call, parts = self._call, self._parts
        if parts.unsettled:
            self._reply.broke()
            await self._broken(outcome_of(error))
        elif error.http_status == HTTPStatus.CONFLICT and call.event_id is not None:
            # Another process answered the same action first: that is charged, and of this only
            # what the upstream asks is booked. What another request got is charged by itself.
            found = await replays.find(call.service, call.permit.customer, call.event_id)
            if found is not None and found.input_sha256 == call.asked.sha256:
                spent = parts.tokens or await call.counted(self._reply, parts.text)
                await call.record_failure(call.failed("error", self._reply, spent))
                return replays.AnsweredElsewhere()
            if found is not None:
                await self._broken("error", spends=False)
        return error

    async def _recorded(self) -> Receipt:
        """The receipt of the whole answer."""
        call, parts = self._call, self._parts
        tokens = parts.tokens or await call.counted(self._reply, parts.text)
        kept = None
        if call.event_id is not None:
            kept = call.kept(events=[each.decode() for each in parts.kept])
        parts.unsettled = False
        return await call.record(call.usage("ok", self._reply, tokens, parts.sha256, kept))

    async def _broken(self, nothing: Any, *, spends: bool = True) -> None:
        """Record the part that was delivered, which spends a key; where none was, how it ended."""
        call, parts = self._call, self._parts
        parts.unsettled = False
        if not parts.delivered_text:
            await call.record_failure(call.failed(nothing, self._reply))
            return
        tokens = await call.counted(self._reply, parts.delivered_text)
        parts.held.clear()
        kept = None
        if spends and call.event_id is not None:
            kept = call.kept(events=[each.decode() for each in parts.left], broke=True)
        usage = call.usage("partial", self._reply, tokens, parts.sha256, kept)
        await call.record_failure(usage, COMMIT_SECONDS)


def replayed(kept: Mapping[str, Any], receipt: Receipt, request_id: str) -> Response:
    """The stream that this action got, again; the part of it that was delivered, if it broke."""
    data = [each.encode() for each in kept["events"]]
    if kept.get("broke"):
        said = openai_error(replays.BrokeOff(), request_id)
        body = b"".join(map(event, [*data, said]))
    else:
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


def _body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


class _Parts:
    """The data of a stream's events, as they leave; and what is to be known of them."""

    def __init__(self, call: LanguageCall, reply: Reply) -> None:
        self.tokens: Tokens | None = None
        self.held: list[bytes] = []
        """What leaves when all is recorded."""
        self.kept: list[bytes] = []
        self.unsettled = True
        """Whether nothing is recorded of it yet."""
        self._call = call
        self._texts: list[str] = []
        self._delivered = self._left = 0
        self._ends: set[object] = set()
        self._choices = choices_of(call.asked.body)
        self._hash = hashlib.sha256()
        self._parts = self._read(reply)
        self._first: bytes | None = None
        self._keeps = call.event_id is not None

    async def first(self) -> None:
        """Wait for the first part."""
        self._first = await anext(self._parts, None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._first is not None:
            yield self._first
            async for part in self._parts:
                yield part

    def delivered(self, part: bytes) -> None:
        """What was given last has left."""
        self._delivered = len(self._texts)
        self._left += 1
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
    def left(self) -> Sequence[bytes]:
        """The parts that left, of an answer that is kept."""
        return self.kept[: self._left]

    @property
    def sha256(self) -> str:
        """Of the data of all events that left, and of those held back, a line each."""
        whole = self._hash.copy()
        for part in self.held:
            whole.update(part + b"\n")
        return whole.hexdigest()

    @property
    def _is_whole(self) -> bool:
        return len(self._ends) >= self._choices

    async def _read(self, reply: Reply) -> AsyncIterator[bytes]:
        """Each part that may leave at once.

        Raises:
            ServiceError: the stream broke.
        """
        chunk: dict[str, Any] | None = {}
        try:
            async for chunk in reply.data():
                if chunk is None:
                    break
                part = self._taken(chunk)
                if part is None:
                    continue
                if self._keeps:
                    self.kept.append(part)
                if self.held or self._is_whole:
                    self.held.append(part)
                else:
                    yield part
        except NotReady as error:
            raise _broke(self._call) from error
        if not (self._is_whole or (chunk is None and self._texts)):
            raise _broke(self._call)

    def _taken(self, chunk: dict[str, Any]) -> bytes | None:
        """A part as it leaves; None where only we asked for it."""
        choices = chunk.get("choices") or []
        if not isinstance(choices, list) or ("error" in chunk and not choices):
            raise _broke(self._call)
        self.tokens = said_by_upstream(chunk.get("usage")) or self.tokens
        for number, choice in enumerate(choices):
            self._texts.append(text_of(choice))
            if isinstance(choice, dict) and choice.get("finish_reason"):
                index = choice.get("index", number)
                self._ends.add(index if isinstance(index, int) else number)
        if not choices and "usage" in chunk and not self._call.asked.wants_usage:
            return None
        chunk["model"] = self._call.permit.product
        chunk.pop("mintage", None)  # another's, where the upstream is a Mintage
        return spelled(chunk)


def _broke(call: LanguageCall) -> NotReady:
    again = _("Send it again in a moment; what was delivered of it is charged, no more.")
    return NotReady(
        _("The answer of {product} broke off.", product=call.permit.product),
        remedy=again if call.event_id is None else replays.BrokeOff().remedy,
        retry_after_seconds=1,
    )
