"""A server that speaks OpenAI's API as it is told to, well or badly: a real one, on loopback.

What a request's ``model`` ends in says how it is answered: ``…-stalls``, ``…-breaks``; or a script
for what it asks. It keeps what it was asked, and books of its own: what it said, and counted.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PROMPT, CACHED = 12, 4
WORDS = ("Cats", " are", " no", " dogs", ".")


@dataclass
class Scripted:
    """The server: its address, and what it was asked."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    """Tokens of every answer that was whole."""
    turns: list[str] = field(default_factory=list)
    """How the next requests are answered, whatever their model; then as it says."""
    scripts: dict[str, list[str]] = field(default_factory=dict)
    """How those are answered whose prompt is this, one after the other; then as the model says."""
    lengths: dict[str, int] = field(default_factory=dict)
    """For each prompt how many of the words are its answer; else it is all of them."""
    said: dict[str, list[list[str]]] = field(default_factory=dict)
    """For each prompt, and each time that an answer to it was begun, the words that left."""
    counted: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """For each prompt the tokens of its answers that were whole: read and written."""
    left: threading.Event = field(default_factory=threading.Event)
    """A client left before its answer was whole."""
    words: tuple[str, ...] = WORDS
    deltas: tuple[dict[str, Any], ...] = ()
    """What the parts of a stream say after its words."""
    pause_seconds: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)
    """What its answers have besides, or otherwise."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        script = self.turns or self.scripts.get(prompt_of(body))
        way = script.pop(0) if script else body["model"].rpartition("-")[2]
        if way.isdecimal() and len(way) == 3:
            key = request.headers.get("Authorization", "")
            error = {"message": f"the upstream says {way} to {key}", "type": "x", "code": "y"}
            return web.json_response(
                {"error": error}, status=int(way), headers={"Retry-After": "0"}
            )
        if way == "complains-first":
            body_ = b'data: {"error": {"message": "out of memory"}}\n\n'
            return web.Response(body=body_, content_type="text/event-stream")
        if way == "echoes":
            error = {"message": f"not {body['messages'][-1]['content']!r}"}
            return web.json_response({"error": error}, status=400)
        if way == "hangs":
            await asyncio.sleep(60)
        if way == "garbage":
            return web.Response(body=b"<html>", content_type="application/json")
        if way == "drops":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        kind = request.path.removeprefix("/v1/")
        if body.get("stream"):
            return await self._stream(request, body, way)
        return web.json_response(self._whole(kind, body, way))

    def _whole(self, kind: str, body: dict[str, Any], way: str) -> dict[str, Any]:
        words = self._words(body)
        text = "".join(words)
        self.said.setdefault(prompt_of(body), []).append(list(words))
        found: dict[str, Any] = {"id": "cmpl-1", "created": 1, "model": body["model"]}
        if kind == "embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
            found |= {"object": "list", "data": data}
        elif kind == "completions":
            choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
            found |= {"object": "text_completion", "choices": [choice]}
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            found |= {"object": "chat.completion", "choices": [choice]}
        if way != "uncounted":
            found["usage"] = self._usage(body, embeds=kind == "embeddings")
        return found | self.more

    def _words(self, body: dict[str, Any]) -> tuple[str, ...]:
        return self.words[: self.lengths.get(prompt_of(body))]

    def _usage(self, body: dict[str, Any], *, embeds: bool = False) -> dict[str, Any]:
        output = 0 if embeds else len(self._words(body))
        self.counted.setdefault(prompt_of(body), []).append((PROMPT, output))
        self.used.update(prompt=PROMPT, output=output, cached=CACHED, answers=1)
        return {
            "prompt_tokens": PROMPT,
            "completion_tokens": output,
            "total_tokens": PROMPT + output,
            "prompt_tokens_details": {"cached_tokens": CACHED},
        }

    async def _stream(
        self, request: web.Request, body: dict[str, Any], way: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def say(found: dict[str, Any]) -> None:
            common = {"id": "c", "object": "chat.completion.chunk", "created": 1}
            data = json.dumps({**common, "model": body["model"], **found, **self.more})
            await response.write(f"data: {data}\n\n".encode())
            await asyncio.sleep(self.pause_seconds)

        told = list[str]()
        self.said.setdefault(prompt_of(body), []).append(told)
        try:
            await response.write(b": hello\n\n")
            words = self._words(body)
            spoken = [{"role": "assistant", "content": word} for word in words]
            for number, delta in enumerate([*spoken, *self.deltas]):
                if number == len(words) // 2:
                    if way == "stalls":
                        await asyncio.sleep(60)
                    if way == "truncates":
                        return response
                    if way == "breaks":
                        await response.write(b"data: <html>\n\n")
                        return response
                    if way == "complains":
                        await say({"error": {"message": "out of memory"}})
                        return response
                told.append(str(delta.get("content") or ""))
                await say({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await say({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if way != "uncounted" and body.get("stream_options", {}).get("include_usage"):
                await say({"choices": [], "usage": self._usage(body)})
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.left.set()
            raise
        return response


def prompt_of(body: dict[str, Any]) -> str:
    """What a request asks, by which its answers are found again."""
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return str(messages[-1].get("content"))
    return str(body.get("prompt", body.get("input")))


@contextmanager
def scripted_upstream() -> Iterator[Scripted]:
    """Run one in a thread."""
    scripted, ready = Scripted(), threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/{path:.*}", scripted.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        scripted.url = f"http://127.0.0.1:{port}/v1"
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield scripted
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
