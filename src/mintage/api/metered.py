"""What every sold call has in common: it is counted, held, waited for and recorded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from mintage.api import holds, limits, logs
from mintage.api.exchange import EXCHANGE
from mintage.api.heads import header
from mintage.api.intake import Action, Place, StillRunning
from mintage.api.metrics import UNKNOWN
from mintage.api.recording import COMMIT_SECONDS
from mintage.api.routing import ClientGone
from mintage.api.service import Service
from mintage.api.uploads import placed
from mintage.core.errors import (
    AccountError,
    ConfigError,
    MintageError,
    Overloaded,
    RequestError,
    ServiceError,
)
from mintage.core.messages import _
from mintage.core.types import SCOPES, Caller, Permit, Receipt, Scope, Usage

T = TypeVar("T")
_FAILURE_SECONDS = 1.0  # a disk that stalls must not keep somebody from hearing what is wrong
_NO_EVENT = frozenset({"replayed", "shed"})
"""How calls end that are neither recorded as an event nor refused."""
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
    try:
        caller = service.accounts.caller(bearer_key(request), scope, caller_address(request))
    except AccountError as error:
        note_refusal(service, request, None, error)
        raise
    logs.note(request.scope, customer=caller.customer)
    return caller


def any_caller_of(service: Service, request: Request) -> Caller:
    """Whose key this is, whatever it is for; raises as ``caller_of`` does."""
    *others, last = SCOPES
    for scope in others:
        with contextlib.suppress(AccountError):
            caller = service.accounts.caller(bearer_key(request), scope, caller_address(request))
            logs.note(request.scope, customer=caller.customer)
            return caller
    return caller_of(service, request, last)


async def has_left(request: Request) -> bool:
    """Whether the client has gone; our own protocol knows without asking."""
    exchange = request.scope["state"].get(EXCHANGE)
    return await request.is_disconnected() if exchange is None else bool(exchange.disconnected)


def admitted(service: Service, request: Request, product: str) -> Permit:
    """The permit of a call of a product; raises as ``Gate.admit``."""
    try:
        permit = service.gate.admit(bearer_key(request), product, caller_address(request))
    except AccountError as error:
        service.metrics.call(UNKNOWN, UNKNOWN, error.code)
        note_refusal(service, request, product, error)
        raise
    logs.note(request.scope, customer=permit.customer, product=product)
    return permit


def note_refusal(service: Service, request: Request, product: str | None, error: Exception) -> None:
    """Have the audit log know of a refusal, if it is one: 401, 402, 403 or 429."""
    if service.refusals is not None and isinstance(error, AccountError):
        service.refusals.note(bearer_key(request), product, error.code)


def place_of(service: Service, request: Request, product: str) -> Place:
    """A place for a call, to be held until its end; raises Overloaded."""
    settings = service.settings
    try:
        return placed(
            request,
            service.intake,
            most_bytes=settings.max_upload_bytes,
            most_calls=settings.max_queue,
        )
    except Overloaded as error:
        counted(service, request, product, refusal(error))
        raise


def alone(service: Service, request: Request, permit: Permit, event_id: str) -> Action:
    """The only call of an action, to be held until its end; raises StillRunning."""
    try:
        return service.intake.action(permit.customer, event_id)
    except StillRunning as error:
        counted(service, request, permit.product, refusal(error))
        raise


def counted(
    service: Service,
    request: Request,
    product: str,
    outcome: str,
    version: str | None = None,
    model: str | None = None,
) -> None:
    """Tell the metrics and the log how a call ended; the audit log where it is no event."""
    service.metrics.call(product, version or UNKNOWN, outcome)
    if outcome in _NO_EVENT and service.refusals is not None:
        service.refusals.count(bearer_key(request), product, outcome)
    logs.note(request.scope, outcome=outcome, model=model, model_version=version)


def unpriced() -> ServiceError:
    """The plan has no price for what is counted."""
    return ServiceError(
        _("This call cannot be priced, so its answer is withheld; nothing was charged."),
        remedy=_("Tell whoever runs the service: the product's plan has to be mended."),
    )


def refusal(error: MintageError) -> str:
    """What the metrics call a call that was turned away."""
    return "shed" if isinstance(error, ServiceError) else "refused"


@dataclass
class Metered:
    """An admitted call."""

    service: Service
    request: Request
    permit: Permit
    event_id: str | None
    started: float
    counts: bool = False
    """Whether it was counted against its plan's rate."""
    hold: str | None = None
    """What is reserved for it, until its event is recorded."""

    def limit(self) -> None:
        """Count it against its plan's rate: what we could not have answered is not counted."""
        try:
            limits.count(self.service, self.request.scope, self.permit)
            self.counts = True
        except MintageError as error:
            self.refused(error)
            raise

    async def reserve(self, quantities: Mapping[str, int], seconds: float | None = None) -> None:
        """Hold what it will use at most; ``seconds`` where it may take longer than others do."""
        try:
            self.hold = await holds.reserve(self.service, self.permit, quantities, seconds)
        except MintageError as error:
            self.refused(error)
            raise

    def refused(self, error: MintageError) -> None:
        """It was turned away."""
        self.count(refusal(error))
        note_refusal(self.service, self.request, self.permit.product, error)

    def end(self) -> None:
        """Give back what it took and did not use."""
        if self.counts:
            limits.give_back(self.service, self.request.scope, self.permit)
        if self.hold is not None:
            holds.release(self.service, self.hold)

    async def wanted(self, answer: Coroutine[Any, Any, T]) -> T:
        """The answer, as long as its client waits: for one who left nothing is worked out.

        Raises:
            ClientGone: nobody waits for it.
        """
        exchange = self.request.scope["state"].get(EXCHANGE)
        task = asyncio.current_task()
        if exchange is None or task is None:
            return await answer
        if exchange.disconnected:
            answer.close()  # nobody awaits it
            raise ClientGone
        exchange.waiting.add(task)
        try:
            return await answer
        except asyncio.CancelledError:
            if not exchange.disconnected or task.uncancel():
                raise
            raise ClientGone from None
        finally:
            exchange.waiting.discard(task)

    async def record(self, usage: Usage, seconds: float = COMMIT_SECONDS) -> Receipt:
        """Wait until the event is on disk.

        An Idempotency-Key is spent by an answer alone, so that a failed call can be repeated.
        """
        try:
            receipt = await self.service.recorder.record(usage, seconds)
        except asyncio.CancelledError:
            self.hold = None  # it may be recorded yet: the Meter lets go of it, or its lease
            raise
        except TimeoutError as error:
            self.hold = None
            self.count("unrecorded", usage)
            raise ServiceError(
                _("The call could not be recorded in time, so its answer is withheld."),
                remedy=_(
                    "Send it again in a moment, best with an Idempotency-Key: one action is "
                    "charged once."
                ),
                retry_after_seconds=5,
            ) from error
        except RequestError:
            self.count("duplicate", usage)
            raise
        except ConfigError as error:
            self.count("unrecorded", usage)
            product = self.permit.product
            _log.error(
                "A call to %s has no price: %s", product, error.message, extra={"product": product}
            )
            raise unpriced() from error
        except Exception:
            self.count("unrecorded", usage)
            raise
        self.count(usage.outcome, usage)
        self.hold = None  # settled with the event
        return receipt

    async def record_failure(self, usage: Usage, seconds: float = _FAILURE_SECONDS) -> None:
        """Record a call whose own error is the one to be told."""
        try:
            await self.record(usage, seconds)
        except Exception as error:  # noqa: BLE001 - see above
            _log.error(
                "A call's outcome %s was not recorded: %s.", usage.outcome, type(error).__name__
            )

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self.service.clock.monotonic() - self.started

    def count(self, outcome: str, usage: Usage | None = None) -> None:
        """Tell the metrics how it ended, and by which version where that is known."""
        info = None if usage is None else usage.provider
        version, model = (None, None) if info is None else (info.version, info.model)
        counted(self.service, self.request, self.permit.product, outcome, version, model)
