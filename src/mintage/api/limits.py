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

_ALLOWANCES = "allowances"
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


def count_tokens(
    service: Service, scope: MutableMapping[str, Any], permit: Permit, tokens: int
) -> None:
    """Count tokens of a call that is about to be asked; raises as ``count``."""
    if permit.token_rate is not None and service.limiter is not None:
        _tell(scope, service.limiter.take_tokens(permit, permit.token_rate, tokens))


def settle_tokens(
    service: Service, scope: MutableMapping[str, Any], permit: Permit, counted: int, used: int
) -> None:
    """A call has ended: what it used counts, in place of what was thought that it would."""
    if permit.token_rate is None or service.limiter is None or counted == used:
        return
    limiter, rate = service.limiter, permit.token_rate
    try:
        allowance = limiter.take_tokens(permit, rate, used - counted)
    except MintageError as error:  # its answer is not to blame
        _log.warning("Tokens were not counted: %s", error.message)
        return
    scope["state"].setdefault(_ALLOWANCES, {})[True] = allowance


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
        scope["state"].setdefault(_ALLOWANCES, {})[False] = allowance


def _tell(scope: MutableMapping[str, Any], allowance: Allowance) -> None:
    scope["state"].setdefault(_ALLOWANCES, {})[allowance.of_tokens] = allowance
    if allowance.refusal is not None:
        raise allowance.refusal


def headers(state: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """What the answer's head says of it, if anything was counted."""
    found: dict[bool, Allowance] = state.get(_ALLOWANCES, {})
    if not found:
        return []
    policies, left = zip(*(_said(found[each]) for each in sorted(found)), strict=True)
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(left).encode()),
    ]


def _said(each: Allowance) -> tuple[str, str]:
    rate = each.rate
    name, unit = (f"{each.policy}-tokens", ';qu="tokens"') if each.of_tokens else (each.policy, "")
    policy = f'"{name}";q={rate.calls}{unit};w={rate.seconds}'
    return policy, f'"{name}";r={each.remaining};t={each.reset_seconds}'
