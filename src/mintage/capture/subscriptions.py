"""Which version of a plan a customer has begun, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from mintage.capture import plans, repository
from mintage.capture.customers import found_customer
from mintage.capture.limits.repository import forget_counts
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period, beginning_of, zone_of
from mintage.capture.pricing.rating import Held
from mintage.capture.pricing.terms import Terms
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import audit

EndedBy = Literal["change", "cancel"]


@dataclass(frozen=True)
class Subscription:
    """A customer's use of one version of a plan; ``ended_at`` may be a moment to come."""

    id: str
    customer: str
    plan: str
    plan_version: int
    started_at: str
    ended_at: str | None = None
    ended_by: EndedBy | None = None

    def to_json(self) -> dict[str, Any]:
        """As lists, its row and the audit log hold it."""
        return asdict(self)

    def is_open(self, moment: str) -> bool:
        """Whether it is in force at a moment, as ``timestamp`` writes it."""
        return self.started_at <= moment and (self.ended_at is None or moment < self.ended_at)

    def held(self, zone: str, charged_from: date) -> Held:
        """Its days by a zone's calendar; ``charged_from`` is the first day after the plan's trial.

        The day on which it is changed belongs to what follows it; the day on which it is cancelled
        is its last. Both moments, in whole seconds, are for plans that are shared by these.
        """
        begun = _date(self.started_at, zone)
        ended = None if self.ended_at is None else _second(self.ended_at)
        moments = (_second(self.started_at), ended)
        if self.ended_at is None:
            return Held(begun, None, max(begun, charged_from), moments)
        end = _date(self.ended_at, zone)
        if self.ended_by == "cancel":
            last = datetime.fromisoformat(self.ended_at) - timedelta(microseconds=1)
            end = last.astimezone(zone_of(zone)).date() + timedelta(days=1)
        return Held(begun, max(begun, end), max(begun, charged_from), moments)


def charged_from(each: Subscription, all_of_them: Sequence[Subscription], terms: Terms) -> date:
    """The first day after a plan's trial, which a customer has once however often it is begun."""
    first = min(other.started_at for other in all_of_them if other.plan == each.plan)
    return _date(first, terms.timezone) + timedelta(days=terms.trial_days)


def held_of(
    agreed: Plan, begun: Sequence[Subscription]
) -> tuple[tuple[Held, ...], datetime | None]:
    """The days of the plan, in any month, and the moment until which it was free."""
    zone, days = agreed.terms.timezone, []
    free_until = None
    for each in begun:
        if (each.plan, each.plan_version) != (agreed.name, agreed.version):
            continue
        first = charged_from(each, begun, agreed.terms)
        days.append(each.held(zone, first))
        if agreed.terms.trial_days:
            free_until = beginning_of(first, zone)
    return tuple(days), free_until


def _second(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(microsecond=0)


def _date(moment: str, zone: str) -> date:
    return datetime.fromisoformat(moment).astimezone(zone_of(zone)).date()


class Subscriptions:
    """The subscriptions of a workspace."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, customer: str, plan: str, version: int | None = None) -> Subscription:
        """Begin a version of a plan (the newest, where none is named) from now on.

        It takes the place of every other plan of this customer that is for the same products: those
        end now, and the day is the new plan's. Of a plan that is in force already, this is it.

        Raises:
            RequestError: no such customer, plan or version (404).
        """

        def work(connection: repository.Connection) -> Subscription:
            now = timestamp(self._clock.now())
            owner = found_customer(connection, customer)
            agreed = plans.found(connection, plan, version)
            for each in begun_by(connection, owner.id):
                same = (each.plan, each.plan_version) == (plan, agreed.version)
                if same and each.is_open(now) and each.ended_at is None:
                    return each
            for each in begun_by(connection, owner.id):
                if _gives_way(connection, each, agreed, now):
                    ended_at = min(now, each.ended_at or now)
                    _end(connection, replace(each, ended_at=ended_at, ended_by="change"))
            begun = Subscription(new_id("sub"), owner.id, plan, agreed.version, now)
            repository.add_subscription(connection, begun.to_json())
            forget_counts(connection, owner.id)
            audit.append(connection, "subscription.begun", begun.to_json())
            return begun

        return self._database.write(work)

    def cancel(self, customer: str, plan: str, *, at_month_end: bool = False) -> Subscription:
        """End a plan now, or with the month by the plan's own calendar.

        Raises:
            RequestError: no such customer, or a plan that is not in force (404).
        """

        def work(connection: repository.Connection) -> Subscription:
            moment = self._clock.now()
            now = timestamp(moment)
            owner = found_customer(connection, customer)
            standing = [each for each in begun_by(connection, owner.id) if each.is_open(now)]
            each = next((one for one in standing if one.plan == plan), None)
            if each is None:
                raise RequestError(
                    _("{customer} has not begun the plan {plan!r}.", customer=customer, plan=plan),
                    remedy=_(
                        "In force: {plans}.", plans=", ".join(one.plan for one in standing) or "—"
                    ),
                    http_status=404,
                )
            zone = plans.found(connection, plan, each.plan_version).terms.timezone
            end = (
                timestamp(Period.containing(moment, zone).bounds(zone)[1]) if at_month_end else now
            )
            ended = replace(each, ended_at=end, ended_by="cancel")
            _end(connection, ended)
            return ended

        return self._database.write(work)

    def list(self, customer: str) -> Sequence[Subscription]:
        """All that a customer ever began, the oldest first.

        Raises:
            RequestError: no such customer (404).
        """
        with self._database.read() as connection:
            return begun_by(connection, found_customer(connection, customer).id)


@dataclass(frozen=True)
class InForce:
    """The plan that a customer calls a product by; ``lasts`` until something is changed."""

    plan: Plan
    on_trial: bool
    lasts: bool


def in_force(
    connection: repository.Connection, customer: str, product: str, moment: datetime
) -> InForce | None:
    """What a customer has begun that has a price for a product; the latest, should there be two."""
    now, begun = timestamp(moment), begun_by(connection, customer)
    for each in reversed(begun):
        if not each.is_open(now):
            continue
        agreed = plans.found(connection, each.plan, each.plan_version)
        if agreed.terms.charges_of(product):
            first_charged = charged_from(each, begun, agreed.terms)
            on_trial = _date(now, agreed.terms.timezone) < first_charged
            return InForce(agreed, on_trial, not on_trial and each.ended_at is None)
    return None


def begun_by(connection: repository.Connection, customer: str) -> list[Subscription]:
    """All that a customer ever began, the oldest first."""
    return [Subscription(**row) for row in repository.subscriptions_of(connection, customer)]


def _end(connection: repository.Connection, ended: Subscription) -> None:
    changes = {"ended_at": ended.ended_at, "ended_by": ended.ended_by}
    repository.change_subscription(connection, ended.id, changes)
    audit.append(connection, "subscription.ended", ended.to_json())


def _gives_way(
    connection: repository.Connection, each: Subscription, agreed: Plan, now: str
) -> bool:
    """Whether a plan ends because another begins: one for the same things, still in force today.

    What was cancelled earlier on the same day is taken for a change: the day is paid once.
    """
    terms = plans.found(connection, each.plan, each.plan_version).terms
    zone = terms.timezone
    over = each.ended_at is not None and _date(each.ended_at, zone) < _date(now, zone)
    if over or each.ended_by == "change":
        return False
    if each.plan == agreed.name:
        return True
    return any(
        mine.unit == other.unit
        and (not mine.products or not other.products or set(mine.products) & set(other.products))
        for mine in terms.charges
        for other in agreed.terms.charges
    )
