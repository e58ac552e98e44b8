"""Calls a served Mintage over HTTP: for code that waits, and for code that does not (asyncio)."""

from __future__ import annotations

import asyncio
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx

from mintage.client import calls
from mintage.client.calls import Call, Explain, Source, bytes_of
from mintage.client.exchange import Patience, exchange
from mintage.client.many import in_turn, in_turn_async
from mintage.client.way import CA, through, trusting
from mintage.core.clock import Clock, SystemClock
from mintage.core.errors import ConfigError, MintageError
from mintage.core.messages import _
from mintage.core.version import __version__

T = TypeVar("T")
S = TypeVar("S", bound=Source)

_KEY = re.compile(r"[\x21-\x7e]+")
# Without a limit on connections: whoever asks for more at once than httpx's 100 has said so.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)


class _Connection(ABC):
    """What both clients are made with."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retries: int = 3,
        deadline_seconds: float = 120.0,
        ca: CA | None = None,
        proxy: str | None = None,
        chance: random.Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is sent yet.

        ``ca`` are the only certificates that the server's is trusted by, a file in PEM or a context
        made elsewhere; without it those of public authorities are. ``proxy`` is the address of the
        one that calls go through.

        Raises:
            ConfigError: the address is none of http or https, or the key or a number is none; the
                certificates cannot be read, or the proxy's address cannot be used.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                _("Not an address: {url!r}.", url=url),
                remedy=_("Write https://HOST:PORT, or http:// on this machine."),
            )
        headers = {"User-Agent": f"mintage/{__version__}"}
        if key is not None:
            if not _KEY.fullmatch(key):
                raise ConfigError(
                    _("This is no API key: it holds spaces or letters that no key has."),
                    remedy=_("Give the key as `mintage customer add` printed it."),
                )
            headers["Authorization"] = f"Bearer {key}"
        self._patience = Patience(
            retries=retries,
            timeout_seconds=timeout_seconds,
            deadline_seconds=deadline_seconds,
            clock=clock or SystemClock(),
            chance=chance or random.Random(),  # noqa: S311 - it spreads waiting, and keeps no secret
        )
        # No proxy or netrc from the environment: the key goes where it was told to go.
        self._open(
            base_url=url,
            headers=headers,
            limits=_LIMITS,
            trust_env=False,
            verify=trusting(ca),
            proxy=through(proxy),
        )

    @abstractmethod
    def _open(self, **options: Any) -> None:
        """Take the options of httpx's client."""


class Client(_Connection):
    """One customer's connection to a server; safe to use from several threads.

    A call that got no answer (no connection, none in time, 429, 502, 503, 504) is sent again, up to
    ``retries`` times: when the server says, else later each time. A picture has one Idempotency-Key
    in all its tries, so that it is charged once. ``timeout_seconds`` is how long a try waits for
    the server to take or to send more; after ``deadline_seconds`` no further try is begun.

    What the server says comes in the language of whoever calls. An error that it answered with has
    a ``request_id``: whoever runs the service finds the call in the log by it.
    """

    def predict(
        self,
        product: str,
        source: Source,
        *,
        idempotency_key: str | None = None,
        explain: Explain = False,
    ) -> dict[str, Any]:
        """Send one picture, a path, its bytes or an open file; the answer with receipt and price.

        The same ``idempotency_key`` and picture are charged once, and for 24 hours answered alike;
        without one the call has a key of its own. With ``explain`` the answer has an
        ``explanation``, at the price that the plan states.

        Raises:
            DataError: the file cannot be read, or the bytes are no picture.
            MintageError: whatever the server says.
        """
        return self._run(calls.predict(product, bytes_of(source), idempotency_key, explain))

    def predict_batch(
        self, product: str, sources: Iterable[Source], *, idempotency_key: str | None = None
    ) -> list[dict[str, Any] | MintageError]:
        """Send several pictures, at most 64, in one call; for each its answer or error, in order.

        Each is charged, or refused, by itself. The same ``idempotency_key`` and pictures, in the
        same order, are charged once, and those that had an error are tried again; without one the
        call has a key of its own.

        Raises:
            DataError: a file cannot be read; nothing is sent.
            ConfigError: there are no pictures.
            MintageError: what the server says of all of them.
        """
        pictures = [bytes_of(source) for source in sources]
        return self._run(calls.predict_batch(product, pictures, idempotency_key))

    def predict_many(
        self, product: str, files: Iterable[S], *, at_once: int = 8
    ) -> Generator[tuple[S, dict[str, Any] | MintageError], None, None]:
        """Send many pictures, ``at_once`` at a time; each with its answer or error, in their order.

        ``files`` are taken as they are needed, so there may be any number of them.

        Raises:
            ConfigError: ``at_once`` is below 1.
        """

        def ask(source: S, pause: Callable[[float], None]) -> dict[str, Any]:
            return self._run(calls.predict(product, bytes_of(source)), pause)

        return in_turn(files, ask, at_once)

    def usage(
        self, *, product: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The customer's own usage events, newest first; ``after`` is a page's last receipt."""
        return self._run(calls.usage(product, after, limit))

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """One of the customer's own receipts.

        Raises:
            RequestError: there is none such (404).
        """
        return self._run(calls.receipt(receipt_id))

    def products(self) -> list[str]:
        """The names of what is sold."""
        return self._run(calls.products())

    def product(self, name: str) -> dict[str, Any]:
        """A product's task, labels, version and price.

        Raises:
            RequestError: there is none such (404).
        """
        return self._run(calls.product(name))

    def keys(self) -> dict[str, Any]:
        """The public keys by which receipts and the audit log are checked."""
        return self._run(calls.keys())

    def log(self) -> dict[str, Any]:
        """The audit log's newest signed head: keep its ``head``, and you are a witness."""
        return self._run(calls.log())

    def log_consistency(
        self, earlier: int, size: int | None = None, *, log: int | None = None
    ) -> dict[str, Any]:
        """The proof that the audit log of ``size`` entries begins with the ``earlier`` ones.

        Without ``size`` it is the newest head's.

        Raises:
            RequestError: these are no sizes of the log (400).
        """
        return self._run(calls.log_consistency(earlier, size, log))

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, **options: Any) -> None:
        self._http = httpx.Client(**options)

    def _run(self, call: Call[T], pause: Callable[[float], None] = time.sleep) -> T:
        tries = exchange(call, self._http.base_url, self._patience)
        try:
            step = next(tries)
            while True:
                pause(step.wait_seconds)
                step = tries.send(self._sent(call, step.timeout_seconds))
        except StopIteration as ended:
            return cast("T", ended.value)

    def _sent(self, call: Call[Any], seconds: float) -> httpx.Response | httpx.RequestError:
        try:
            return self._http.request(**call.request, timeout=seconds)
        except httpx.RequestError as error:
            return error


class AsyncClient(_Connection):
    """``Client`` for asyncio: the same calls, to be awaited, on one event loop.

    A call that is cancelled closes its connection; the server may have answered it all the same.
    """

    async def predict(
        self,
        product: str,
        source: Source,
        *,
        idempotency_key: str | None = None,
        explain: Explain = False,
    ) -> dict[str, Any]:
        """As ``Client.predict``."""
        data = await _read(source)
        return await self._run(calls.predict(product, data, idempotency_key, explain))

    async def predict_batch(
        self, product: str, sources: Iterable[Source], *, idempotency_key: str | None = None
    ) -> list[dict[str, Any] | MintageError]:
        """As ``Client.predict_batch``."""
        pictures = [await _read(source) for source in sources]
        return await self._run(calls.predict_batch(product, pictures, idempotency_key))

    def predict_many(
        self, product: str, files: Iterable[S], *, at_once: int = 8
    ) -> AsyncGenerator[tuple[S, dict[str, Any] | MintageError], None]:
        """As ``Client.predict_many``, for ``async for``."""

        async def ask(source: S) -> dict[str, Any]:
            return await self.predict(product, source)

        return in_turn_async(files, ask, at_once)

    async def usage(
        self, *, product: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """As ``Client.usage``."""
        return await self._run(calls.usage(product, after, limit))

    async def receipt(self, receipt_id: str) -> dict[str, Any]:
        """As ``Client.receipt``."""
        return await self._run(calls.receipt(receipt_id))

    async def products(self) -> list[str]:
        """As ``Client.products``."""
        return await self._run(calls.products())

    async def product(self, name: str) -> dict[str, Any]:
        """As ``Client.product``."""
        return await self._run(calls.product(name))

    async def keys(self) -> dict[str, Any]:
        """As ``Client.keys``."""
        return await self._run(calls.keys())

    async def log(self) -> dict[str, Any]:
        """As ``Client.log``."""
        return await self._run(calls.log())

    async def log_consistency(
        self, earlier: int, size: int | None = None, *, log: int | None = None
    ) -> dict[str, Any]:
        """As ``Client.log_consistency``."""
        return await self._run(calls.log_consistency(earlier, size, log))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _open(self, **options: Any) -> None:
        self._http = httpx.AsyncClient(**options)

    async def _run(self, call: Call[T]) -> T:
        tries = exchange(call, self._http.base_url, self._patience)
        try:
            step = next(tries)
            while True:
                await asyncio.sleep(step.wait_seconds)
                step = tries.send(await self._sent(call, step.timeout_seconds))
        except StopIteration as ended:
            return cast("T", ended.value)

    async def _sent(self, call: Call[Any], seconds: float) -> httpx.Response | httpx.RequestError:
        try:
            return await self._http.request(**call.request, timeout=seconds)
        except httpx.RequestError as error:
            return error


async def _read(source: Source) -> bytes:
    """Off the event loop, unless the bytes are here."""
    return source if isinstance(source, bytes) else await asyncio.to_thread(bytes_of, source)
