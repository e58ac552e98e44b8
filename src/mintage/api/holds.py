"""What a call will use, reserved before it is answered, where its customer's plan limits it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from mintage.api.service import Service
from mintage.core.errors import ServiceError
from mintage.core.messages import _
from mintage.core.types import Permit

_SECONDS: Final = 10.0


async def reserve(
    service: Service,
    permit: Permit,
    quantities: Mapping[str, int],
    seconds: float | None = None,
) -> str | None:
    """The hold's id; None where nothing has to be held. ``seconds``: as ``Reserve.reserve``.

    Raises:
        QuotaReached: a limit would be passed (429).
        PaymentDue: the customer's credit does not suffice (402).
        ServiceError: it cannot be reserved now, so it may not be answered (503).
    """
    if not permit.held or service.reserve is None:
        return None
    promised = asyncio.wrap_future(service.reserve.reserve(permit, quantities, seconds))
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.shield(promised)
    except (TimeoutError, asyncio.CancelledError) as error:
        promised.add_done_callback(lambda done: _let_go(service, done))
        if isinstance(error, asyncio.CancelledError):
            raise
        raise ServiceError(
            _("The call could not be held against its limits in time."),
            remedy=_("Send it again in a moment."),
            retry_after_seconds=5,
        ) from error


def release(service: Service, hold: str) -> None:
    """Give back what was reserved for a call of which nothing is recorded."""
    if service.reserve is not None:
        service.reserve.release(hold)


def _let_go(service: Service, done: asyncio.Future[str]) -> None:
    """Nobody waits for it any more."""
    if not done.cancelled() and done.exception() is None:
        release(service, done.result())
