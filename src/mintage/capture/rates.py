"""Rate limits: how many calls of a plan a customer may make in a while, in all processes."""

from __future__ import annotations

import math

from mintage.capture.trial import TRIAL, Tries
from mintage.core.clock import Clock
from mintage.core.errors import DependencyDown, MintageError, QuotaReached
from mintage.core.messages import _
from mintage.core.types import Allowance, Permit, Rate
from mintage.store.buckets import Buckets
from mintage.store.engine import Database

_POURS = 8  # tries to count tokens beside others


class CallRates:
    """Counts calls against their plan's rate; implements ``core.ports.Limiter``.

    A customer may make the rate's calls at once; each comes back after its share of the time. The
    trial's calls are counted by ``Tries``.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tries = Tries(database, clock, self._buckets)

    def take(self, permit: Permit, rate: Rate) -> Allowance:
        """Count a call that is about to be answered, if one is left.

        Raises:
            DependencyDown: it cannot be counted now, so it may not be answered.
            Overloaded: the same.
        """
        if permit.key_id == TRIAL:
            return self._tries.take(permit, rate)
        return self._allowance(permit, rate, calls=1)

    def look(self, permit: Permit, rate: Rate) -> Allowance:
        """Whether ``take`` would count one now; it raises the same."""
        if permit.key_id == TRIAL:
            return self._tries.look(permit, rate)
        return self._allowance(permit, rate, calls=0)

    def give_back(self, permit: Permit, rate: Rate) -> Allowance | None:
        """The trial's call has ended; unless it was answered, it used nothing up.

        Others do, however they end: a plan's rate is what a customer may ask of this machine.
        """
        return self._tries.give_back(permit, rate) if permit.key_id == TRIAL else None

    def take_tokens(self, permit: Permit, rate: Rate, tokens: int) -> Allowance:
        """Count tokens of a call, as many as there are left of them.

        What it will use is known when it ends; so that nobody is refused for what was never used,
        a call is let through while anything is left.

        Raises:
            DependencyDown: they cannot be counted now.
            Overloaded: the same.
        """
        pour, each = self._buckets().pour, rate.seconds / rate.calls
        name, now = f"{permit.customer}/{permit.plan}/{rate}/tokens", self._clock.now().timestamp()
        level = pour(name, 0, room_seconds=rate.seconds, now=now).level_seconds
        refused = tokens >= 0 and level > rate.seconds - each
        for __ in range(0 if refused else _POURS):
            part = min(tokens * each, rate.seconds - level)
            poured = pour(name, part, room_seconds=rate.seconds, now=now)
            level = poured.level_seconds
            if poured.fitted:
                break  # else others have poured meanwhile
        return Allowance(
            policy=permit.plan,
            rate=rate,
            remaining=max(0, math.floor((rate.seconds - level) / each + 1e-6)),
            reset_seconds=math.ceil(level),
            refusal=_refusal(rate, level - rate.seconds + each, tokens=True) if refused else None,
            of_tokens=True,
        )

    def _allowance(self, permit: Permit, rate: Rate, calls: int) -> Allowance:
        each = rate.seconds / rate.calls
        poured = self._buckets().pour(
            f"{permit.customer}/{permit.plan}/{rate}",  # another rate is counted anew
            calls * each,
            room_seconds=rate.seconds,
            now=self._clock.now().timestamp(),
        )
        left = (rate.seconds - poured.level_seconds) / each + 1e-6
        refused = not poured.fitted or (not calls and left < 1)
        return Allowance(
            policy=permit.plan,
            rate=rate,
            remaining=max(0, math.floor(left)),
            reset_seconds=math.ceil(poured.level_seconds),
            refusal=_refusal(rate, (1 - left) * each) if refused else None,
        )

    def _buckets(self) -> Buckets:
        try:
            return self._database.buckets()
        except MintageError as error:
            raise DependencyDown(
                _("Calls cannot be counted: {reason}", reason=error.message), remedy=error.remedy
            ) from error


def _refusal(rate: Rate, missing_seconds: float, *, tokens: bool = False) -> QuotaReached:
    wait = max(1, math.ceil(missing_seconds))
    return QuotaReached(
        _("This plan's {rate} tokens are used up.", rate=rate)
        if tokens
        else _("This plan's {rate} calls are used up.", rate=rate),
        remedy=_("Send it again in {seconds} s.", seconds=wait),
        retry_after_seconds=wait,
    )
