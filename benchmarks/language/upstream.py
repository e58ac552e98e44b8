"""A model that is none: answers every conversation at once, whole or as a stream.

As cheap as an answer can be, since it shares a core with whoever asks: the gateways are measured,
not this. It reads nothing of a request but its length and whether it wants a stream.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import ClassVar, cast

import uvloop

from benchmarks.language.lab import MODEL
from benchmarks.serving.asking import HOST
from benchmarks.stopwatch import arguments

WORDS = 24
"""Words of an answer; of a stream, its parts."""
_BACKLOG = 1024
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_STREAMS = re.compile(rb'"stream":\s*true')
_USAGE = {"prompt_tokens": 220, "completion_tokens": WORDS, "total_tokens": 220 + WORDS}
_KNOWN = {"id": "chatcmpl-scripted", "created": 1_750_000_000, "model": MODEL}


def whole() -> bytes:
    """An answer in one piece."""
    message = {"role": "assistant", "content": " ".join(["word"] * WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    document = {**_KNOWN, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    data = json.dumps(document).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(data) + data


def stream() -> bytes:
    """The same as server-sent events, all of which leave at once."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    events = [b"data: %b\n\n" % each for each in [*map(_spelled, _parts()), b"[DONE]"]]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in events) + b"0\r\n\r\n"


def _parts() -> Iterator[dict[str, object]]:
    known = {**_KNOWN, "object": "chat.completion.chunk"}
    for __ in range(WORDS):
        delta = {"role": "assistant", "content": "word "}
        yield {**known, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**known, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**known, "choices": [], "usage": _USAGE}


def _spelled(document: dict[str, object]) -> bytes:
    return json.dumps(document).encode()


class Scripted(asyncio.Protocol):
    """One connection, whose requests come one after another."""

    answers: ClassVar = {False: whole(), True: stream()}

    def __init__(self) -> None:
        self._taken = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole now."""
        self._taken += data
        while (end := self._taken.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._taken, 0, end)
            end += 4 + (int(found[1]) if found else 0)
            if len(self._taken) < end:
                return
            request, self._taken = self._taken[:end], self._taken[end:]
            self._transport.write(self.answers[_STREAMS.search(request) is not None])


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Scripted, HOST, port, backlog=_BACKLOG)
    await server.serve_forever()


def main() -> None:
    asked = arguments(__doc__, port=8000)
    uvloop.run(_serve(asked.port))


if __name__ == "__main__":
    main()
