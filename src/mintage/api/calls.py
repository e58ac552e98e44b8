"""One metered call: admit, read, answer, record; only then may the answer leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from mintage.api import explanations, holds, limits, logs, replays
from mintage.api.exchange import EXCHANGE
from mintage.api.explanations import Explain
from mintage.api.heads import header
from mintage.api.intake import Action, Place, StillRunning
from mintage.api.metrics import UNKNOWN
from mintage.api.recording import COMMIT_SECONDS
from mintage.api.replays import Answered
from mintage.api.routing import ClientGone
from mintage.api.service import Service, StoredAnswer, Told, Version
from mintage.api.uploads import placed
from mintage.core import registry
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import (
    AccountError,
    ConfigError,
    MintageError,
    NotReady,
    Overloaded,
    RequestError,
    ServiceError,
)
from mintage.core.messages import _
from mintage.core.types import (
    EXPLANATION,
    Answer,
    Caller,
    Outcome,
    Permit,
    Receipt,
    Scope,
    Usage,
)

_FAILURE_SECONDS = 1.0  # a disk that stalls must not keep somebody from hearing what is wrong
_HASH_INLINE_BYTES = 262_144  # 0.2 ms; above that a thread hashes
_log = logging.getLogger(__name__)


def bearer_key(request: Request) -> str | None:
    """The key of ``Authorization: Bearer KEY``; None where there is none."""
    scheme, __, key = (header(request.scope, b"authorization") or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def caller_address(request: Request) -> str | None:
    """Where a call comes from; behind a proxy that is believed, where it says."""
    client = request.scope.get("client")
    return client[0] if client else None


def caller_of(service: Service, request: Request, scope: Scope) -> Caller:
    """Who asks for what is no call of a product; waits for the database, so not on the event loop.

    Raises:
        Unauthenticated: no valid key.
        NotAllowed: the key is not for this.
    """
    caller = service.accounts.caller(bearer_key(request), scope, caller_address(request))
    logs.note(request.scope, customer=caller.customer)
    return caller


async def has_left(request: Request) -> bool:
    """Whether the client has gone; our own protocol knows without asking."""
    exchange = request.scope["state"].get(EXCHANGE)
    if exchange is None:
        return await request.is_disconnected()
    return bool(exchange.disconnected)


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
    permit = _admitted(service, request, product)
    with _placed(service, request, product) as place:
        call = _Call(service, request, permit, event_id, started, place, explain)
        if event_id is None:
            return await call.run(read, version)
        with _alone(service, request, permit, event_id):
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
    permit = _admitted(service, request, product)
    with ExitStack() as held:
        held.enter_context(_placed(service, request, product))
        if key is not None:
            held.enter_context(_alone(service, request, permit, key))
        try:
            service.engine.check(product)
            limits.look(service, request.scope, permit)
            items = await read()
        except ClientDisconnect as gone:
            _counted(service, request, product, "disconnected")
            raise ClientGone from gone
        except MintageError as error:
            _counted(service, request, product, _refusal(error))
            raise

        async def answered(position: int, data: bytes) -> Answered:
            event_id = None if key is None else sha256_hex(f"{key}:{position}".encode())
            call = _Call(service, request, permit, event_id, started, Place(len(data)), "false")
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


def _placed(service: Service, request: Request, product: str) -> Place:
    settings = service.settings
    try:
        return placed(
            request,
            service.intake,
            most_bytes=settings.max_upload_bytes,
            most_calls=settings.max_queue,
        )
    except Overloaded as error:
        _counted(service, request, product, _refusal(error))
        raise


def _alone(service: Service, request: Request, permit: Permit, event_id: str) -> Action:
    try:
        return service.intake.action(permit.customer, event_id)
    except StillRunning as error:
        _counted(service, request, permit.product, _refusal(error))
        raise


async def _given(data: bytes) -> bytes:
    return data


def _admitted(service: Service, request: Request, product: str) -> Permit:
    try:
        permit = service.gate.admit(bearer_key(request), product, caller_address(request))
    except AccountError as error:
        service.metrics.call(UNKNOWN, UNKNOWN, error.code)
        raise
    logs.note(request.scope, customer=permit.customer, product=product)
    return permit


@dataclass
class _Call:
    """An admitted call, whose body is still to be read."""

    service: Service
    request: Request
    permit: Permit
    event_id: str | None
    started: float
    place: Place
    explain: Explain
    counted: bool = False
    hold: str | None = None
    """What is reserved for it, until its event is recorded."""

    async def run(self, read: Callable[[], Awaitable[bytes]], version: str | None) -> Answered:
        try:
            return await self._run(read, version)
        finally:
            if self.counted:
                limits.give_back(self.service, self.request.scope, self.permit)
            if self.hold is not None:
                holds.release(self.service, self.hold)

    async def _run(self, read: Callable[[], Awaitable[bytes]], version: str | None) -> Answered:
        found = await self._find()
        if found is not None:
            self._limit()
            return self._replayed(found, version, await _digest(await self._read(read)))
        current = await self._current(version)
        self._limit()
        await self._reserve(current)
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

    def _limit(self) -> None:
        """Count it against its plan's rate: what we could not have answered is not counted."""
        try:
            limits.count(self.service, self.request.scope, self.permit)
            self.counted = True
        except MintageError as error:
            self._count(_refusal(error))
            raise

    async def _reserve(self, current: Version) -> None:
        """What it will use at most, before anything of it is read."""
        try:
            quantities = units_of(current, explained=self.explain != "false")
            self.hold = await holds.reserve(self.service, self.permit, quantities)
        except MintageError as error:
            self._count(_refusal(error))
            raise

    async def _find(self) -> StoredAnswer | None:
        if self.event_id is None:
            return None
        return await replays.find(self.service, self.permit.customer, self.event_id)

    def _replayed(self, found: StoredAnswer, version: str | None, digest: str) -> Answered:
        answered = replays.replay(found, self.permit.product, version, digest, self.explain)
        self._count("replayed", answered.model_version, answered.model)
        return answered

    async def _current(self, version: str | None) -> Version:
        product, customer = self.permit.product, self.permit.customer
        try:
            self.service.engine.check(product)
            if self.explain != "false":
                explanations.check(self.service, product)
            return await self.service.engine.current(product, customer, version)
        except (Overloaded, NotReady) as error:
            self._count(_refusal(error))
            raise

    async def _read(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            data = await read()
        except ClientDisconnect as gone:
            self._count("disconnected")
            raise ClientGone from gone
        except MintageError:
            self._count("refused")
            raise
        self.place.holds(len(data))
        return data

    def _count(self, outcome: str, version: str | None = None, model: str | None = None) -> None:
        _counted(self.service, self.request, self.permit.product, outcome, version, model)


@dataclass
class _Answering:
    """A call whose body is here: what happens to it now is recorded."""

    call: _Call
    current: Version
    digest: str

    async def run(self, data: bytes) -> Answered:
        service, product = self.call.service, self.call.permit.product
        try:
            served = await self._wanted(data)
        except ClientGone:
            await self._record_failure("cancelled")
            raise
        except (Overloaded, NotReady):
            self._count("shed")
            raise
        except Exception as error:
            missed = isinstance(error, ServiceError) and error.http_status == 504
            await self._record_failure("timeout" if missed else "error")
            raise
        # The outcome is decided here: who left before the commit pays nothing.
        if await has_left(self.call.request):
            await self._record_failure("cancelled")
            raise ClientGone
        receipt = await self._record(_outcome(served.answer), served)
        service.metrics.answered(product, self._elapsed())
        return Answered.anew(served, receipt, self.call.explain)

    async def _wanted(self, data: bytes) -> Told:
        """The answer, as long as its client waits: for one who left nothing is worked out.

        Raises:
            ClientGone: nobody waits for it.
        """
        exchange = self.call.request.scope["state"].get(EXCHANGE)
        task = asyncio.current_task()
        if exchange is None or task is None:
            return await self._served(data)
        if exchange.disconnected:
            raise ClientGone
        exchange.waiting.add(task)
        try:
            return await self._served(data)
        except asyncio.CancelledError:
            if not exchange.disconnected or task.uncancel():
                raise
            raise ClientGone from None
        finally:
            exchange.waiting.discard(task)

    async def _served(self, data: bytes) -> Told:
        service, product, explain = self.call.service, self.call.permit.product, self.call.explain
        if explain != "false":
            return await explanations.explained(service, product, data, explain, self.current)
        return Told.of(await service.engine.answer(product, data, self.current))

    async def _record(
        self, outcome: Outcome, served: Told | None = None, seconds: float = COMMIT_SECONDS
    ) -> Receipt:
        """Wait until the event is on disk.

        An Idempotency-Key is spent by an answer alone, so that a failed call can be repeated.
        """
        usage = self._usage(outcome, served)
        try:
            receipt = await self.call.service.recorder.record(usage, seconds)
        except asyncio.CancelledError:
            self.call.hold = None  # it may be recorded yet: the Meter lets go of it, or its lease
            raise
        except TimeoutError as error:
            self.call.hold = None
            self._count("unrecorded")
            raise ServiceError(
                _("The call could not be recorded in time, so its answer is withheld."),
                remedy=_(
                    "Send it again in a moment, best with an Idempotency-Key: one action is "
                    "charged once."
                ),
                retry_after_seconds=5,
            ) from error
        except RequestError:
            self._count("duplicate")
            raise
        except ConfigError as error:
            self._count("unrecorded")
            product = self.call.permit.product
            _log.error(
                "A call to %s has no price: %s", product, error.message, extra={"product": product}
            )
            raise ServiceError(
                _("This call cannot be priced, so its answer is withheld; nothing was charged."),
                remedy=_("Tell whoever runs the service: the product's plan has to be mended."),
            ) from error
        except Exception:
            self._count("unrecorded")
            raise
        self._count(outcome)
        self.call.hold = None  # settled with the event
        return receipt

    async def _record_failure(self, outcome: Outcome) -> None:
        try:
            await self._record(outcome, seconds=_FAILURE_SECONDS)
        except Exception as error:  # noqa: BLE001 - the call's own error is the one to be told
            _log.error("A call's outcome %s was not recorded: %s.", outcome, type(error).__name__)

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
            latency_seconds=self._elapsed(),
            compute_seconds=answer.compute_seconds if answer else 0.0,
            probability=answer.probability if answer else None,
            abstained=answer.abstained if answer else False,
            origin="client" if spent else "server",
            event_id=event_id if spent else None,
            stored_answer=replays.stored(spent, self.call.explain) if spent else None,
            hold=self.call.hold,
        )

    def _elapsed(self) -> float:
        return self.call.service.clock.monotonic() - self.call.started

    def _count(self, outcome: str) -> None:
        call, info = self.call, self.current.info
        product = call.permit.product
        _counted(call.service, call.request, product, outcome, info.version, info.model)


def units_of(version: Version | Told, *, explained: bool) -> dict[str, int]:
    """What one call of a version counts."""
    unit = registry.modalities().get(version.info.modality).unit
    return {unit: 1} | ({EXPLANATION: 1} if explained else {})


def _counted(
    service: Service,
    request: Request,
    product: str,
    outcome: str,
    version: str | None = None,
    model: str | None = None,
) -> None:
    service.metrics.call(product, version or UNKNOWN, outcome)
    logs.note(request.scope, outcome=outcome, model=model, model_version=version)


def _refusal(error: MintageError) -> str:
    """What the metrics call a call that was turned away."""
    return "shed" if isinstance(error, ServiceError) else "refused"


def _outcome(answer: Answer) -> Outcome:
    return "abstain" if answer.abstained else "ok"


async def _digest(data: bytes) -> str:
    if len(data) < _HASH_INLINE_BYTES:
        return sha256_hex(data)
    return await asyncio.to_thread(sha256_hex, data)
