"""The gateway: asks a product's upstreams, one after the other, until one answers."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from mintage.core.clock import Clock
from mintage.core.errors import (
    ConfigError,
    DataError,
    MintageError,
    NotReady,
    RequestError,
    ServiceError,
    missing_extra,
)
from mintage.core.messages import _
from mintage.core.types import ProviderInfo
from mintage.core.version import __version__
from mintage.core.waiting import asked_to_wait, backoff
from mintage.deliver.upstreams.busy import Servers
from mintage.deliver.upstreams.declared import LONGEST_SECONDS, Upstream
from mintage.deliver.upstreams.deidentified import Deidentified
from mintage.deliver.upstreams.events import DONE, LARGE_BYTES, Events, spelled
from mintage.deliver.upstreams.health import Breaker
from mintage.deliver.upstreams.lookup import careful
from mintage.deliver.upstreams.own.addresses import Addresses
from mintage.deliver.upstreams.work import Work

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from pydantic import SecretStr

T = TypeVar("T")
_LOOK_SECONDS = 0.25
_UNTOLD: Final = b"it cannot be answered"
_CONNECT_SECONDS = 5.0
_MOST_BYTES = 64_000_000
_MOST_TRIES = 3
_LONGEST_WAIT = 2.0
_AGAIN: Final = frozenset((408, 409, 425, 429, *range(500, 600)))
"""Answers that another try, or another upstream, may do better than."""
_OURS: Final = frozenset((401, 402, 403))
"""The upstream does not take our key, or our money is used up: no fault of who called."""
_log = logging.getLogger(__name__)


class Catalogue(Protocol):
    """Says which upstreams answer for each product; ``Upstreams`` is one."""

    def all(self) -> Mapping[str, Sequence[Upstream]]:
        """Those of every product that has any, the first to be asked first."""
        ...

    def epoch(self) -> int | None:
        """A number that is another one after every declaration; None where nobody can say."""
        ...


class Refused(RequestError):
    """The upstream says that the request is wrong; ``body`` is what it said."""

    code = "upstream_refused"

    def __init__(self, status: int, body: bytes, secret: SecretStr | None = None) -> None:
        """Some quote the ``secret`` that they were asked with: that is told nobody."""
        reason = _said(body, "" if secret is None else secret.get_secret_value())
        super().__init__(
            _("The model does not take this request: {reason}", reason=reason),
            remedy=_("Mend the request, then send it again."),
            http_status=status,
        )


class TooLate(ServiceError):
    """The upstream did not answer in time."""

    code = "upstream_timeout"
    default_http_status = 504


class Reply:
    """An upstream's answer, all of it or the beginning of a stream; it has to be closed."""

    def __init__(
        self,
        upstream: Upstream,
        response: ClientResponse,
        breaker: Breaker,
        deidentified: Deidentified | None = None,
    ) -> None:
        self.upstream = upstream
        self.deidentified = deidentified
        """What the request was asked with in place of its personal data, where it has to be."""
        self.document: dict[str, Any] = {}
        """The answer, where it is no stream."""
        self.size_bytes = 0
        self._response, self._breaker = response, breaker
        self._events, self._first = Events(), list[bytes]()
        self._restored = None if deidentified is None else deidentified.stream()

    async def begin(self, *, streams: bool) -> None:
        """Wait for all of the answer, or for a stream's first data; raises as ``Gateway.ask``."""
        with _explained(self.upstream, self._breaker):
            if streams:
                while not self._first:
                    part = await self._response.content.readany()
                    if not part:
                        raise _Garbage
                    self._first = self._fed(part)
                if "choices" not in _object(self._first[0]):
                    raise _Garbage
            else:
                data = await _whole(self._response)
                self.size_bytes = len(data)
                self.document = await _inline_or_not(self._whole, data)
        self._breaker.succeeded()

    async def data(self) -> AsyncIterator[dict[str, Any] | None]:
        """The data of a stream's events as it comes; None where it says that it is done.

        Raises:
            ServiceError: it broke, or stood still for too long.
        """
        with _explained(self.upstream, self._breaker):
            for each in self._first:
                for chunk in self._chunks(each):
                    yield chunk
            async for part in self._response.content.iter_any():
                for each in self._fed(part):
                    for chunk in self._chunks(each):
                        yield chunk
            if self._restored is not None:
                for rest in self._restored.rests():
                    yield rest

    def broke(self) -> None:
        """It ended before it was whole."""
        self._breaker.failed()

    def close(self) -> None:
        """Let go: where it is not read to its end, its upstream hears that nobody listens."""
        self._response.close()

    def _whole(self, data: bytes) -> dict[str, Any]:
        document = _object(data)
        try:
            return document if self.deidentified is None else self.deidentified.whole(document)
        except RecursionError as error:
            raise _Garbage from error

    def _chunks(self, data: bytes) -> Sequence[dict[str, Any] | None]:
        """The data of an event, with what it stands for; what was held until now before it."""
        restored = self._restored
        if data == DONE:
            return (None,) if restored is None else (*restored.rests(), None)
        chunk = _object(data)
        try:
            return (chunk,) if restored is None else restored.parts(chunk)
        except RecursionError as error:
            raise _Garbage from error

    def _fed(self, part: bytes) -> list[bytes]:
        try:
            return self._events.feed(part)
        except DataError as error:
            raise _Garbage from error


class Gateway:
    """Asks upstreams. For one event loop."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        chance: random.Random | None = None,
        addresses: Addresses | None = None,
        folder: Path | None = None,
    ) -> None:
        """``addresses`` finds the servers of one's own models.

        ``folder`` is one that the processes of a server share: calls of all are counted together,
        where it is measured how long an upstream works for each.
        """
        self._catalogue = catalogue
        self._addresses = addresses or Addresses()
        self._servers = Servers(folder, clock.monotonic)
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - who is asked first is no secret
        self._standing: Mapping[str, Sequence[Upstream]] = {}
        self._epoch: int | None = None
        self._looked = float("-inf")
        self._looking: asyncio.Future[None] | None = None
        self._loaded = False
        self._breakers: dict[str, Breaker] = {}
        self._session: ClientSession | None = None

    async def start(self) -> None:
        """Know what is declared before the first call."""
        await self._look()

    async def upstreams(self, product: str) -> Sequence[Upstream]:
        """Those of a product, the first to be asked first."""
        await self._look()
        return self._standing.get(product, ())

    async def models(self) -> Mapping[str, int]:
        """Every product that upstreams answer for, and since when, in seconds since 1970."""
        await self._look()
        return {
            product: min(int(datetime.fromisoformat(each.since).timestamp()) for each in upstreams)
            for product, upstreams in self._standing.items()
        }

    async def ready(self, product: str) -> bool:
        """Whether one of its upstreams may be asked now: it is up, as far as is known.

        One that failed rests; a model of one's own may be loading yet, and a key be missing.
        """
        for upstream in await self.upstreams(product):
            try:
                self._addresses.of(upstream)
                upstream.secret.read()
            except (NotReady, ConfigError):
                continue
            if not self._breaker(upstream).rests_seconds:
                return True
        return False

    async def ask(
        self,
        product: str,
        path: str,
        body: Mapping[str, Any],
        *,
        streams: bool,
        large: bool,
        work: Work | None = None,
    ) -> Reply:
        """The first answer that an upstream begins; ``body`` goes with its own model's name.

        Where one fails before it answers, the next is asked, at most three times in all. A
        ``large`` body is spelled by a thread, and one that leaves without personal data. ``work``
        is told who is asked; of a stream, that it has ended is for whoever reads it to say.

        Raises:
            Refused: an upstream says that the request is wrong.
            NotReady: none can be asked now (503).
            TooLate: it did not answer in time (504).
        """
        work = work or Work()
        failures, before, seconds = 0, -1, 0.0
        failure: ServiceError | None = None
        while before < failures < _MOST_TRIES and seconds <= _LONGEST_WAIT:
            before = failures
            if seconds:
                await asyncio.sleep(seconds)
            for upstream in self._order(await self.upstreams(product)):
                breaker = self._breaker(upstream)
                if failures >= _MOST_TRIES or not breaker.begin():
                    continue
                try:
                    answers, base, model = self._addresses.of(upstream)
                    spell = partial(_sent, body, answers, model)
                    apart = large or upstream.deidentify
                    sent = await asyncio.to_thread(spell) if apart else spell()
                    work.begin(answers, self._servers.at(answers.url))
                    url = f"{base}/{path}"
                    asked = self._asked(answers, breaker, url, *sent, streams=streams)
                    return await _worked(work, asked, streams=streams)
                except _Busy as busy:
                    failure, seconds = _not_now(product), busy.seconds
                except NotReady as error:
                    failure, seconds = error, backoff(failures + 1, None, self._chance)
                failures += 1
        raise failure or _not_now(product, self._rest(await self.upstreams(product)))

    async def close(self) -> None:
        """Let go of all connections."""
        self._servers.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _asked(
        self,
        upstream: Upstream,
        breaker: Breaker,
        url: str,
        data: bytes,
        deidentified: Deidentified | None,
        *,
        streams: bool,
    ) -> Reply:
        """The answer, of a request that was taken."""
        import aiohttp  # noqa: PLC0415 - an extra's

        try:
            secret = upstream.secret.read()
        except ConfigError as error:
            _log.error("%s cannot be asked: %s", upstream.name, error.message)
            breaker.failed()
            raise _not_now(upstream.product) from error
        headers = {"Content-Type": "application/json", "User-Agent": f"mintage/{__version__}"}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret.get_secret_value()}"
        timeout = aiohttp.ClientTimeout(
            total=LONGEST_SECONDS if streams else upstream.deadline_seconds,
            sock_connect=_CONNECT_SECONDS,
            sock_read=upstream.deadline_seconds,
        )
        with _explained(upstream, breaker):
            response = await self._opened().post(
                url,
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            )
        reply = Reply(upstream, response, breaker, deidentified)
        try:
            if response.status == HTTPStatus.OK:
                await reply.begin(streams=streams)
                return reply
            await self._turned_down(upstream, breaker, response, secret)
        except BaseException:
            reply.close()
            raise
        reply.close()
        raise _not_now(upstream.product)

    async def _turned_down(
        self,
        upstream: Upstream,
        breaker: Breaker,
        response: ClientResponse,
        secret: SecretStr | None,
    ) -> None:
        """Raise what an answer means that is no success; return where the upstream failed."""
        status = response.status
        with _explained(upstream, breaker):
            body = await _whole(response)
        _log.warning("%s answered %d", upstream.name, status, extra={"product": upstream.product})
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            breaker.succeeded()  # it is busy, not broken
            asked = asked_to_wait(response.headers.get("Retry-After"), self._clock)
            raise _Busy(backoff(1, asked, self._chance))
        if upstream.bundle is not None and status == HTTPStatus.INTERNAL_SERVER_ERROR:
            # So a server of ours answers what it cannot take: too long a prompt, a picture.
            # Another try would fail alike, and those of other calls are no worse off.
            breaker.succeeded()
            raise Refused(HTTPStatus.BAD_REQUEST, body or _UNTOLD, secret)
        if status in _OURS:
            _log.error(
                "%s does not take the key that it is asked with, or its balance is used up.",
                upstream.name,
            )
        elif status not in _AGAIN and status >= HTTPStatus.BAD_REQUEST:
            breaker.succeeded()
            raise Refused(status, body, secret)
        breaker.failed()

    async def _look(self) -> None:
        """Notice what was declared, by whatever process.

        Whoever looks waits for it; the others take what is known, once anything is.
        """
        now = self._clock.monotonic()
        looks = self._looking is None or self._looking.done()
        if looks and now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._load))
        elif self._loaded:
            return
        if self._looking is not None:
            await asyncio.shield(self._looking)

    def _load(self) -> None:
        epoch = self._catalogue.epoch()
        if epoch is None or epoch != self._epoch:
            standing = self._catalogue.all()
            if standing:
                check_library()
            known = {each.digest for upstreams in standing.values() for each in upstreams}
            self._breakers = {
                digest: breaker for digest, breaker in self._breakers.items() if digest in known
            }
            self._standing, self._epoch = standing, epoch
        self._loaded = True

    def _order(self, upstreams: Sequence[Upstream]) -> Iterator[Upstream]:
        """Place by place; within one by chance, each as often first as its weight says."""
        for __, group in groupby(upstreams, lambda each: each.place):
            left = list(group)
            while len(left) > 1:
                (chosen,) = self._chance.choices(left, [each.weight for each in left])
                left.remove(chosen)
                yield chosen
            yield from left

    def _breaker(self, upstream: Upstream) -> Breaker:
        return self._breakers.setdefault(upstream.digest, Breaker(self._clock))

    def _rest(self, upstreams: Sequence[Upstream]) -> float:
        """How long until the first of them may be asked again."""
        return min((self._breaker(each).rests_seconds for each in upstreams), default=1.0)

    def _opened(self) -> ClientSession:
        if self._session is None:
            import aiohttp  # noqa: PLC0415

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=30, resolver=careful(aiohttp.DefaultResolver())
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept",),
            )
        return self._session


def check_library() -> None:
    """Load what asks over HTTP, which no call should wait for.

    Raises:
        DependencyDown: it is not installed.
    """
    try:
        import_module("aiohttp")
    except ImportError as error:
        raise missing_extra("aiohttp", "gateway") from error


def info_of(upstream: Upstream) -> ProviderInfo:
    """Which model answers, as an event names it.

    Of others' servers the upstream stands where a version does, and where a bundle's digest does,
    that of what was declared.
    """
    if (own := upstream.bundle) is not None:
        return ProviderInfo(own.model, str(own.version), own.digest, "chat", "text")
    return ProviderInfo(upstream.model, upstream.name, upstream.digest, "chat", "text")


class _Garbage(Exception):
    """What came is not what the API says."""


class _Busy(Exception):
    """The upstream has no room now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _explained:  # noqa: N801 - a context manager, used as a function is
    """What the HTTP library raises, as our errors; each counts against the upstream's health."""

    def __init__(self, upstream: Upstream, breaker: Breaker) -> None:
        self._upstream, self._breaker = upstream, breaker

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(
            error, MintageError | asyncio.CancelledError | GeneratorExit
        ):
            return
        from aiohttp import ClientError, ConnectionTimeoutError  # noqa: PLC0415

        upstream = self._upstream
        if not isinstance(error, ClientError | TimeoutError | OSError | _Garbage):
            return
        self._breaker.failed()
        # Of the error only its kind: its text may quote the address and what was sent.
        _log.warning("%s failed: %s", upstream.name, type(error).__name__)
        if isinstance(error, TimeoutError) and not isinstance(error, ConnectionTimeoutError):
            raise TooLate(
                _("The model did not answer in time."),
                remedy=_("Send it again, or ask for a shorter answer."),
            ) from error
        raise _not_now(upstream.product) from error


def _object(data: bytes) -> dict[str, Any]:
    """The JSON object that it is."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Garbage from error
    if not isinstance(found, dict):
        raise _Garbage
    return found


async def _worked(work: Work, asked: Coroutine[Any, Any, Reply], *, streams: bool) -> Reply:
    """The reply; whoever gave it works no more, unless it is a stream that has just begun."""
    try:
        reply = await asked
    except BaseException:
        work.end()
        raise
    if not streams:
        work.end()
    return reply


async def _inline_or_not(read: Callable[[bytes], T], data: bytes) -> T:
    return read(data) if len(data) < LARGE_BYTES else await asyncio.to_thread(read, data)


def _sent(
    body: Mapping[str, Any], upstream: Upstream, model: str
) -> tuple[bytes, Deidentified | None]:
    """The request as this upstream gets it, which calls its model so.

    Raises:
        RequestError: it cannot get it so.
    """
    deidentified = Deidentified(body, upstream.deidentify) if upstream.deidentify else None
    left = body if deidentified is None else deidentified.body
    return _spelled({**left, "model": model}), deidentified


def _spelled(body: Mapping[str, Any]) -> bytes:
    """The request as it goes on.

    Raises:
        RequestError: it is nested too deeply.
    """
    try:
        return spelled(body)
    except RecursionError as error:
        raise RequestError(
            _("The body is nested too deeply."), remedy=_("Send it with fewer levels.")
        ) from error


async def _whole(response: ClientResponse) -> bytes:
    """The body, which may not be without end."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _MOST_BYTES:
            raise _Garbage
        parts.append(part)
    return b"".join(parts)


def _not_now(product: str, seconds: float = 1.0) -> NotReady:
    return NotReady(
        _("What answers for {product} cannot be reached now.", product=product),
        remedy=_("Send it again in a moment."),
        retry_after_seconds=max(1, round(seconds)),
    )


def _said(body: bytes, secret: str) -> str:
    """The message of an error in OpenAI's shape, or the beginning of what was said."""
    try:
        found = json.loads(body)["error"]
        said, most = str(found["message"] if isinstance(found, dict) else found), 500
    except (ValueError, KeyError, TypeError, RecursionError):
        said, most = body.decode(errors="replace").strip(), 200
    return (said.replace(secret, "…") if secret else said)[:most]
