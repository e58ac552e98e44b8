"""One metered call: admit, read, answer, record; only then may the answer leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from mintage.api import explanations, limits, replays
from mintage.api.explanations import Explain
from mintage.api.heads import header
from mintage.api.intake import Place
from mintage.api.metered import (
    Metered,
    admitted,
    alone,
    counted,
    has_left,
    note_refusal,
    place_of,
    refusal,
)
from mintage.api.replays import Answered
from mintage.api.routing import ClientGone
from mintage.api.service import Service, StoredAnswer, Told, Version
from mintage.core import registry
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.effort import Effort
from mintage.core.errors import MintageError, NotReady, Overloaded, RequestError, ServiceError
from mintage.core.messages import _
from mintage.core.types import EXPLANATION, Answer, Outcome, Usage

_HASH_INLINE_BYTES = 262_144  # 0.2 ms; above that a thread hashes


async def metered_call(
    service: Service,
    request: Request,
    product: str,
    read: Callable[[], Awaitable[bytes]],
    version: str | None = None,
    explain: Explain = "false",
) -> Answered:
    """Run a whole call. Key, Idempotency-Key and load are checked before ``read`` takes the body.

    Raises:
        MintageError: any; those after the upload was read are recorded, free of charge.
        ClientGone: the client left before the event was recorded.
    """
    started = service.clock.monotonic()
    event_id = replays.event_id(header(request.scope, replays.HEADER))
    permit = admitted(service, request, product)
    with place_of(service, request, product) as place:
        call = _Call(service, request, permit, event_id, started, place=place, explain=explain)
        if event_id is None:
            return await call.run(read, version)
        with alone(service, request, permit, event_id):
            return await call.run(read, version)


async def metered_batch(
    service: Service,
    request: Request,
    product: str,
    read: Callable[[], Awaitable[list[bytes]]],
) -> list[Answered | Exception]:
    """Run a call for each of the inputs that ``read`` finds in one body, all of them at once.

    Each is answered, recorded and charged by itself, or fails by itself with its error in its
    place. With an Idempotency-Key each has one of its own, made of that and its position.

    Raises:
        MintageError: what concerns all of them: no key, a body that cannot be read, overload.
        ClientGone: the client left.
    """
    started = service.clock.monotonic()
    key = replays.event_id(header(request.scope, replays.HEADER))
    permit = admitted(service, request, product)
    with ExitStack() as held:
        held.enter_context(place_of(service, request, product))
        if key is not None:
            held.enter_context(alone(service, request, permit, key))
        try:
            service.engine.check(product)
            limits.look(service, request.scope, permit)
            items = await read()
        except ClientDisconnect as gone:
            counted(service, request, product, "disconnected")
            raise ClientGone from gone
        except MintageError as error:
            counted(service, request, product, refusal(error))
            note_refusal(service, request, product, error)
            raise

        async def answered(position: int, data: bytes) -> Answered:
            event_id = None if key is None else sha256_hex(f"{key}:{position}".encode())
            place = Place(len(data))
            call = _Call(service, request, permit, event_id, started, place=place)
            return await call.run(partial(_given, data), None)

        found = await asyncio.gather(
            *(answered(position, data) for position, data in enumerate(items)),
            return_exceptions=True,
        )
    results: list[Answered | Exception] = []
    for each in found:
        if isinstance(each, ClientGone) or not isinstance(each, Answered | Exception):
            raise each
        results.append(each)
    return results


async def _given(data: bytes) -> bytes:
    return data


@dataclass
class _Call(Metered):
    """A call whose body is still to be read."""

    place: Place = field(default_factory=lambda: Place(0))
    explain: Explain = "false"

    async def run(self, read: Callable[[], Awaitable[bytes]], version: str | None) -> Answered:
        try:
            return await self._run(read, version)
        finally:
            self.end()

    async def _run(self, read: Callable[[], Awaitable[bytes]], version: str | None) -> Answered:
        found = await self._find()
        if found is not None:
            self.limit()
            return self._replayed(found, version, await _digest(await self._read(read)))
        current = await self._current(version)
        self.limit()
        await self.reserve(units_of(current, explained=self.explain != "false"))
        data = await self._read(read)
        digest = await _digest(data)
        try:
            return await _Answering(self, current, digest).run(data)
        except RequestError as error:
            # Another process may have been asked the same meanwhile, and answered first.
            found = await self._find() if error.http_status == HTTPStatus.CONFLICT else None
            if found is None:
                raise
        return self._replayed(found, version, digest)

    async def _find(self) -> StoredAnswer | None:
        if self.event_id is None:
            return None
        return await replays.find(self.service, self.permit.customer, self.event_id)

    def _replayed(self, found: StoredAnswer, version: str | None, digest: str) -> Answered:
        answered = replays.replay(found, self.permit.product, version, digest, self.explain)
        counted(
            self.service,
            self.request,
            self.permit.product,
            "replayed",
            answered.model_version,
            answered.model,
        )
        return answered

    async def _current(self, version: str | None) -> Version:
        product, customer = self.permit.product, self.permit.customer
        try:
            self.service.engine.check(product)
            if self.explain != "false":
                explanations.check(self.service, product)
            return await self.service.engine.current(product, customer, version)
        except (Overloaded, NotReady) as error:
            self.count(refusal(error))
            gateway = self.service.gateway
            if gateway is not None and await gateway.upstreams(product):
                raise _asked_otherwise(product) from error
            raise

    async def _read(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            data = await read()
        except ClientDisconnect as gone:
            self.count("disconnected")
            raise ClientGone from gone
        except MintageError:
            self.count("refused")
            raise
        self.place.holds(len(data))
        return data


@dataclass
class _Answering:
    """A call whose body is here: what happens to it now is recorded."""

    call: _Call
    current: Version
    digest: str
    effort: Effort = field(default_factory=Effort)

    async def run(self, data: bytes) -> Answered:
        service, product = self.call.service, self.call.permit.product
        try:
            served = await self.call.wanted(self._served(data))
        except ClientGone:
            await self._record_failure("cancelled")
            raise
        except (Overloaded, NotReady):
            self.call.count("shed", self._usage("error", None))
            raise
        except Exception as error:
            missed = isinstance(error, ServiceError) and error.http_status == 504
            await self._record_failure("timeout" if missed else "error")
            raise
        # The outcome is decided here: who left before the commit pays nothing.
        if await has_left(self.call.request):
            await self._record_failure("cancelled")
            raise ClientGone
        receipt = await self.call.record(self._usage(_outcome(served.answer), served))
        service.metrics.answered(product, self.call.elapsed)
        return Answered.anew(served, receipt, self.call.explain)

    async def _served(self, data: bytes) -> Told:
        service, permit, explain = self.call.service, self.call.permit, self.call.explain
        if explain != "false":
            return await explanations.explained(
                service, permit, data, explain, self.current, self.effort
            )
        served = await service.engine.answer(permit.product, data, self.current, self.effort)
        return Told.of(served, permit.detail)

    async def _record_failure(self, outcome: Outcome) -> None:
        """It is free; what was computed for it until now is our cost all the same."""
        usage = self._usage(outcome, None)
        usage.compute_seconds = self.effort.seconds
        await self.call.record_failure(usage)

    def _usage(self, outcome: Outcome, served: Told | None) -> Usage:
        event_id = self.call.event_id
        answer = served.answer if served else None
        spent = served if event_id is not None else None
        version = served or self.current
        has_explanation = served is not None and served.explanation is not None
        return Usage(
            permit=self.call.permit,
            provider=version.info,
            alias=version.alias,
            outcome=outcome,
            quantities=units_of(version, explained=has_explanation),
            input_sha256=self.digest,
            output_sha256=sha256_hex(canonical_json(dict(answer.output))) if answer else "",
            latency_seconds=self.call.elapsed,
            compute_seconds=answer.compute_seconds if answer else 0.0,
            probability=answer.probability if answer else None,
            abstained=answer.abstained if answer else False,
            origin="client" if spent else "server",
            event_id=event_id if spent else None,
            stored_answer=replays.stored(spent, self.call.explain) if spent else None,
            hold=self.call.hold,
        )


def units_of(version: Version | Told, *, explained: bool) -> dict[str, int]:
    """What one call of a version counts."""
    unit = registry.modalities().get(version.info.modality).unit
    return {unit: 1} | ({EXPLANATION: 1} if explained else {})


def _outcome(answer: Answer) -> Outcome:
    return "abstain" if answer.abstained else "ok"


def _asked_otherwise(product: str) -> RequestError:
    return RequestError(
        _("{product} is a language model.", product=product),
        remedy=_("Ask it at POST /v1/chat/completions, by OpenAI's API."),
        http_status=404,
    )


async def _digest(data: bytes) -> str:
    if len(data) < _HASH_INLINE_BYTES:
        return sha256_hex(data)
    return await asyncio.to_thread(sha256_hex, data)
