"""From what a customer has begun to the bounds of their calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mintage.capture import plans
from mintage.capture.limits import repository
from mintage.capture.limits.bounds import Bounds, Version
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.subscriptions import InForce, Subscription, begun_by, held_of
from mintage.core.clock import timestamp
from mintage.core.money import Money


def bounds_of(
    connection: repository.Connection,
    customer: str,
    by: InForce,
    moment: datetime,
    *,
    keys: tuple[str, ...] = (),
    budget: Money | None = None,
    taxes: Iterable[str] = (),
) -> Bounds | None:
    """What limits a customer's calls by a plan at a moment; ``taxes`` are percents."""
    begun, terms = begun_by(connection, customer), by.plan.terms
    limits_spending = terms.spend_limit is not None or terms.soft_spend_limit is not None
    return Bounds.of(
        customer,
        _version(by.plan, begun),
        keys=keys,
        budget=budget,
        taxes=taxes,
        free=by.on_trial,
        earlier=_earlier(connection, by.plan, begun, moment) if limits_spending else (),
    )


def version_of(connection: repository.Connection, customer: str, agreed: Plan) -> Version:
    """A version of a plan as a customer has it."""
    return _version(agreed, begun_by(connection, customer))


def _version(agreed: Plan, begun: Iterable[Subscription]) -> Version:
    held, free_until = held_of(agreed, [*begun])
    since = None if free_until is None else timestamp(free_until)
    return Version(agreed.name, agreed.version, agreed.terms, held, since)


def _earlier(
    connection: repository.Connection, agreed: Plan, begun: list[Subscription], moment: datetime
) -> tuple[Version, ...]:
    """Other versions that may have been used in the month: begun, or in force for a product."""
    zone = agreed.terms.timezone
    since = timestamp(Period.containing(moment, zone).bounds(zone)[0])
    numbers = {
        each.plan_version
        for each in begun
        if each.plan == agreed.name and (each.ended_at is None or each.ended_at >= since)
    }
    numbers |= set(repository.versions_since(connection, agreed.name, since))
    others = sorted(numbers - {agreed.version})
    return tuple(_version(plans.found(connection, agreed.name, number), begun) for number in others)
