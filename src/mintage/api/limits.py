"""A customer's rate limit over HTTP: counted before a body is read, and told in every answer.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from mintage.api.service import Service
from mintage.core.errors import MintageError
from mintage.core.types import Allowance, Permit

_ALLOWANCE = "allowance"
_log = logging.getLogger(__name__)


def count(service: Service, scope: MutableMapping[str, Any], permit: Permit) -> None:
    """Count a call that is about to be read.

    Raises:
        QuotaReached: nothing of its plan's rate is left (429).
        ServiceError: it cannot be counted now (503).
    """
    if permit.rate is not None and service.limiter is not None:
        _tell(scope, service.limiter.take(permit, permit.rate))


def look(service: Service, scope: MutableMapping[str, Any], permit: Permit) -> None:
    """``count`` before a body of several calls, which are counted one by one, is read."""
    if permit.rate is not None and service.limiter is not None:
        _tell(scope, service.limiter.look(permit, permit.rate))


def give_back(service: Service, scope: MutableMapping[str, Any], permit: Permit) -> None:
    """A call that was counted has ended, and what is recorded of it is recorded."""
    if permit.rate is None or service.limiter is None:
        return
    try:
        allowance = service.limiter.give_back(permit, permit.rate)
    except MintageError as error:  # its answer is not to blame
        _log.warning("A call was not given back: %s", error.message)
        return
    if allowance is not None:
        scope["state"][_ALLOWANCE] = allowance


def _tell(scope: MutableMapping[str, Any], allowance: Allowance) -> None:
    scope["state"][_ALLOWANCE] = allowance
    if allowance.refusal is not None:
        raise allowance.refusal


def headers(state: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """What the answer's head says of it, if anything was counted."""
    found: Allowance | None = state.get(_ALLOWANCE)
    if found is None:
        return []
    name, rate = found.policy, found.rate
    policy = f'"{name}";q={rate.calls};w={rate.seconds}'
    left = f'"{name}";r={found.remaining};t={found.reset_seconds}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]
