"""One metered call: admit, read, answer, record; only then may the answer leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from mintage.api.metrics import UNKNOWN
from mintage.api.service import Served, Service, Version
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import (
    AccountError,
    DependencyDown,
    MintageError,
    NotReady,
    Overloaded,
    RequestError,
    ServiceError,
)
from mintage.core.types import Answer, Outcome, Permit, Receipt, Usage

_COMMIT_SECONDS = 30.0
_HASH_INLINE_BYTES = 262_144  # 0.2 ms; above that a thread hashes
_LONGEST_IDEMPOTENCY_KEY = 255
_log = logging.getLogger(__name__)


class ClientGone(Exception):
    """Nobody waits for this answer any more; nothing is charged."""


@dataclass(frozen=True)
class Answered:
    """An answer that may leave, because its event is on disk."""

    served: Served
    receipt: Receipt

    @property
    def answer(self) -> Answer:
        """What the model says."""
        return self.served.answer


def bearer_key(request: Request) -> str | None:
    """The key of ``Authorization: Bearer KEY``; None where there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


async def metered_call(
    service: Service,
    request: Request,
    product: str,
    read: Callable[[], Awaitable[bytes]],
    version: str | None = None,
) -> Answered:
    """Run a whole call. The key is checked before ``read`` touches the body.

    Raises:
        MintageError: any; those after the upload was read are recorded, free of charge.
        ClientGone: the client left before the event was recorded.
    """
    call = await _admitted(service, request, product, version)
    try:
        data = await read()
    except ClientDisconnect as gone:
        service.metrics.call(product, UNKNOWN, "disconnected")
        raise ClientGone from gone
    except MintageError:
        service.metrics.call(product, UNKNOWN, "refused")
        raise
    return await call.run(data)


async def _admitted(service: Service, request: Request, product: str, version: str | None) -> _Call:
    started = service.clock.monotonic()
    event_id = _event_id(request)
    try:
        permit = service.gate.admit(bearer_key(request), product)
    except AccountError as error:
        service.metrics.call(UNKNOWN, UNKNOWN, error.code)
        raise
    try:
        service.engine.check(product)
        current = await service.engine.current(product)
    except (Overloaded, NotReady):
        service.metrics.call(product, UNKNOWN, "shed")
        raise
    if version is not None and version != current.info.version:
        raise RequestError(
            f"{product} answers with version {current.info.version}, not {version[:64]}.",
            remedy="Leave the version out, or name the one that answers.",
            http_status=404,
        )
    return _Call(service, request, permit, current, event_id, started)


def _event_id(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_IDEMPOTENCY_KEY:
        raise RequestError(
            f"The Idempotency-Key has {len(key)} characters.",
            remedy=f"Use 1 to {_LONGEST_IDEMPOTENCY_KEY} characters, such as a UUID.",
        )
    return sha256_hex(key.encode())


@dataclass(frozen=True)
class _Call:
    service: Service
    request: Request
    permit: Permit
    current: Version
    event_id: str | None
    started: float

    async def run(self, data: bytes) -> Answered:
        digest = await _digest(data)
        try:
            served = await self.service.engine.answer(self.permit.product, data)
        except (Overloaded, NotReady):
            self._count("shed")
            raise
        except Exception as error:
            missed = isinstance(error, ServiceError) and error.http_status == 504
            await self._record_failure("timeout" if missed else "error", digest)
            raise
        # The outcome is decided here: who left before the commit pays nothing.
        if await self.request.is_disconnected():
            await self._record_failure("cancelled", digest)
            raise ClientGone
        receipt = await self._record(_outcome(served.answer), digest, served)
        self.service.metrics.answered(self.permit.product, self._elapsed())
        return Answered(served, receipt)

    async def _record(self, outcome: Outcome, digest: str, served: Served | None = None) -> Receipt:
        """Wait until the event is on disk.

        An Idempotency-Key is spent by an answer alone, so that a failed call can be repeated.
        """
        usage = self._usage(outcome, digest, served)
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                receipt = await asyncio.wrap_future(self.service.meter.record(usage))
        except TimeoutError as error:
            self._count("unrecorded")
            raise DependencyDown(
                "The call could not be recorded in time, so its answer is withheld.",
                remedy="Send it again in a moment.",
                retry_after_seconds=5,
            ) from error
        except RequestError:
            self._count("duplicate")
            raise
        except Exception:
            self._count("unrecorded")
            raise
        self._count(outcome)
        return receipt

    async def _record_failure(self, outcome: Outcome, digest: str) -> None:
        try:
            await self._record(outcome, digest)
        except Exception as error:  # noqa: BLE001 - the call's own error is the one to be told
            _log.error("A call's outcome %s was not recorded: %s.", outcome, type(error).__name__)

    def _usage(self, outcome: Outcome, digest: str, served: Served | None) -> Usage:
        answer = served.answer if served else None
        spends_key = self.event_id is not None and answer is not None
        version = served or self.current
        return Usage(
            permit=self.permit,
            provider=version.info,
            alias=version.alias,
            outcome=outcome,
            quantities={self.permit.unit: 1},
            input_sha256=digest,
            output_sha256=sha256_hex(canonical_json(dict(answer.output))) if answer else "",
            latency_seconds=self._elapsed(),
            compute_seconds=answer.compute_seconds if answer else 0.0,
            probability=answer.probability if answer else None,
            abstained=answer.abstained if answer else False,
            origin="client" if spends_key else "server",
            event_id=self.event_id if spends_key else None,
        )

    def _elapsed(self) -> float:
        return self.service.clock.monotonic() - self.started

    def _count(self, outcome: str) -> None:
        self.service.metrics.call(self.permit.product, self.current.info.version, outcome)


def _outcome(answer: Answer) -> Outcome:
    return "abstain" if answer.abstained else "ok"


async def _digest(data: bytes) -> str:
    if len(data) < _HASH_INLINE_BYTES:
        return sha256_hex(data)
    return await asyncio.to_thread(sha256_hex, data)
