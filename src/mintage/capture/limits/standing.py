"""How a customer stands: what limits their calls this month, what is used, what credit is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from mintage.capture import repository as rows
from mintage.capture.customers import found_customer
from mintage.capture.keys import KeyInfo
from mintage.capture.limits import counters, repository
from mintage.capture.limits.binding import bounds_of
from mintage.capture.limits.bounds import Bounds, Counted
from mintage.capture.limits.prepaid import Credits
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.subscriptions import InForce, in_force
from mintage.core.clock import Clock, timestamp
from mintage.core.money import Money, decimal_text
from mintage.store.engine import Database


class Standings:
    """Says how customers stand; it changes nothing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._credits = Credits(database, clock)

    def of(
        self, customer: str, products: Collection[str] | None = None, key: str = ""
    ) -> dict[str, Any]:
        """Limits by plan and unit, spending, budgets of keys and credit, as JSON.

        With ``products`` it is what limits calls of those by the ``key`` of this id: of budgets its
        own alone, and credit where a plan takes it.

        Raises:
            RequestError: no such customer (404).
        """
        moment = self._clock.now()
        with self._database.read() as connection:
            owner = found_customer(connection, customer)
            plans = list(_plans_of(connection, owner.id, moment, products))
            bounds = [bounds_of(connection, owner.id, each, moment) for each in plans]
            bound = [each for each in bounds if each is not None]
            limits = [
                limit for each in bound for limit in _limits(connection, each, moment, products)
            ]
            spending = [_spending(connection, each, moment) for each in bound]
            budgets = list(_budgets(connection, owner.id, moment))
        takes_credit = products is None or any(each.plan.terms.prepaid for each in plans)
        credit = self._credits.balances(owner.id) if takes_credit else ()
        return {
            "customer": owner.id,
            "limits": limits,
            "spending": [each for each in spending if each is not None],
            "budgets": [each for each in budgets if products is None or each["key"] == key],
            "credit": [each.to_json() for each in credit],
        }


def _plans_of(
    connection: repository.Connection,
    customer: str,
    moment: datetime,
    products: Collection[str] | None,
) -> Iterable[InForce]:
    """The plans by which the customer calls what is sold, or these products, each once."""
    found: dict[str, InForce] = {}
    for product in repository.products_sold(connection):
        if products is not None and product not in products:
            continue
        begun = in_force(connection, customer, product, moment)
        offer = rows.offer(connection, product)
        if begun is not None:
            found[begun.plan.reference] = begun
        elif offer is not None and offer.name is not None:
            plan = Plan.from_row(offer._asdict())
            if not plan.terms.needs_subscription:
                found[plan.reference] = InForce(plan, on_trial=False, lasts=True)
    return found.values()


def _limits(
    connection: repository.Connection,
    bounds: Bounds,
    moment: datetime,
    products: Collection[str] | None,
) -> Iterable[dict[str, Any]]:
    month = bounds.month(moment)
    # What a charge is limited by is of all versions of the plan, what it includes of this one.
    by_charge = {each.charge: each for each in reversed(bounds.counted)}
    for charge, each in by_charge.items():
        if products is not None and not any(map(charge.is_for, products)):
            continue
        yield {
            "plan": bounds.plan,
            "unit": charge.unit,
            "products": list(charge.products),
            "month": str(month),
            "used": _used(connection, each, month),
            "held": repository.held(connection, each.in_month(month), timestamp(moment)),
            "included": bounds.version.included(charge, month),
            "soft_limit": charge.soft_limit,
            "hard_limit": charge.hard_limit,
        }


def _spending(
    connection: repository.Connection, bounds: Bounds, moment: datetime
) -> dict[str, Any] | None:
    if not bounds.limits_spending:
        return None
    month, is_free = bounds.month(moment), bounds.free
    spent = bounds.spent(lambda each: 0 if is_free else _used(connection, each, month), month)
    return {
        "plan": bounds.plan,
        "currency": bounds.terms.currency,
        "month": str(month),
        "spent": decimal_text(spent),
        "soft_spend_limit": bounds.terms.soft_spend_limit,
        "spend_limit": bounds.terms.spend_limit,
    }


def _budgets(
    connection: repository.Connection, customer: str, moment: datetime
) -> Iterable[dict[str, Any]]:
    for row in rows.keys_of(connection, customer):
        key = KeyInfo.from_row(row)
        budget = key.limits.budget
        if budget is None or key.revoked_at is not None or key.limits.have_ended(moment):
            continue
        line = repository.line_of(connection, key.id)
        counter = counters.budget_counter(line, budget.currency, moment)
        used = repository.used(connection, counter)
        if used is None:
            month = Period.containing(moment, "UTC")
            used = counters.spent_in(connection, customer, line[-1], budget.currency, month)
        held = repository.held(connection, counter, timestamp(moment))
        yield {
            "key": key.id,
            "name": key.name,
            "month": counter.rpartition("/")[2],
            "currency": budget.currency,
            "spent": Money(used, budget.currency).amount,
            "held": Money(held, budget.currency).amount,
            "budget": budget.amount,
        }


def _used(connection: repository.Connection, counted: Counted, month: Period) -> int:
    found = repository.used(connection, counted.in_month(month))
    return counters.recounted(connection, counted, month) if found is None else found
