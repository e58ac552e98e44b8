"""The verbs of capture over one workspace: customers, keys, plans, usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mintage.capture.customers import Customer, Customers
from mintage.capture.gate import KeyGate
from mintage.capture.key_limits import KeyLimits, end_of
from mintage.capture.keys import IssuedKey, RotatedKey
from mintage.capture.limits.holds import Holds
from mintage.capture.metering import UsageMeter
from mintage.capture.operators import IssuedOperator, Operators
from mintage.capture.plans import DEFAULT_CURRENCY, Plans
from mintage.capture.pricing.periods import Period
from mintage.capture.rates import CallRates
from mintage.capture.trial import TRIAL, TrialGate
from mintage.capture.usage import UsageHistory
from mintage.core.errors import RequestError
from mintage.core.ports import Gate, Limiter, Reserve
from mintage.core.types import Durability
from mintage.core.units import parse_duration
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.keys import KeyRing
from mintage.trust.openings import log_reading

_PAGE = 1000


class Capturing:
    """Who pays, for what, and how much was used."""

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        durability: Durability = "flush",
        overdue_stop_days: int | None = None,
        *,
        log_origin: str | None = None,
    ) -> None:
        """``durability`` is what usage survives once its answer has left.

        ``overdue_stop_days`` is the Gate's; ``log_origin`` what the log's heads are to call it.

        Raises:
            ConfigError: that is no name for a log.
        """
        self._workspace = workspace
        self._durability = durability
        self._keys = keys
        self.customers = Customers(workspace.database, workspace.clock)
        self.operators = Operators(workspace.database, workspace.clock)
        self.plans = Plans(workspace.database, workspace.clock, keys)
        self.gate = KeyGate(
            workspace.database, workspace.clock, overdue_stop_days=overdue_stop_days
        )
        self.history = UsageHistory(workspace.database, keys)
        self.log = AuditLog(workspace.database, keys, log_origin, workspace.clock)

    def meter(self) -> UsageMeter:
        """The Meter; its receipt key is made when it is first wanted."""
        return UsageMeter(
            self._workspace.database,
            self._keys,
            self._workspace.clock,
            durability=self._durability,
        )

    def limiter(self) -> Limiter:
        """Counts calls against the rates of their plans."""
        return CallRates(self._workspace.database, self._workspace.clock)

    def reserve(self, lease_seconds: float) -> Reserve:
        """Holds what limited calls will use, for as long as a call can take."""
        return Holds(self._workspace.database, self._workspace.clock, lease_seconds)

    def admitting(self, trial: int | None) -> Gate:
        """The Gate; with ``trial``, one that admits so many calls a day without a key, free."""
        if trial is None:
            return self.gate
        return TrialGate(
            self.gate,
            self._workspace.database,
            self._workspace.clock,
            customer=self._trial_customer(),
            plan=self.plans.set(TRIAL, "0", DEFAULT_CURRENCY),
            most_calls=trial,
        )

    def _trial_customer(self) -> Customer:
        try:
            return self.customers.find(TRIAL)
        except RequestError:  # the first time
            return self.customers.add(TRIAL)

    def add_customer(self, name: str) -> tuple[Customer, IssuedKey]:
        """A new customer with a first key, which is shown now and never again."""
        customer = self.customers.add(name)
        return customer, self.customers.issue_key(customer.id)

    def issue_key(
        self,
        customer: str,
        *,
        scopes: Sequence[str] = (),
        products: Sequence[str] = (),
        networks: Sequence[str] = (),
        expires: str | None = None,
        budget: str | None = None,
        name: str | None = None,
    ) -> IssuedKey:
        """A further key, bound to what is said in a person's words; shown now and never again.

        Raises:
            ConfigError: a limit or the name is none.
            RequestError: no such customer, or no such product (404).
        """
        limits = KeyLimits.asked(
            self._workspace.clock.now(),
            scopes=scopes,
            products=products,
            networks=networks,
            expires=expires,
            budget=budget,
        )
        return self.customers.issue_key(customer, limits, name=name)

    def rotate_key(self, key_id: str, overlap: str, expires: str | None = None) -> RotatedKey:
        """A key in place of another, which is taken until the overlap, such as ``24h``, is over.

        Raises:
            ConfigError: the overlap is no duration, or the new one's end is none.
            RequestError: no such key (404), or it cannot be rotated any more (409).
        """
        now = self._workspace.clock.now()
        expires_at = None if expires is None else end_of(expires, now)
        return self.customers.rotate_key(key_id, parse_duration(overlap), expires_at=expires_at)

    def rotate_operator(self, operator: str, overlap: str) -> IssuedOperator:
        """Another key for an operator; those before it are taken until the overlap is over.

        Raises:
            ConfigError: the overlap is no duration.
            RequestError: no such operator (404), or a revoked one (409).
        """
        return self.operators.rotate(operator, parse_duration(overlap))

    def usage(
        self,
        customer: str | None = None,
        product: str | None = None,
        limit: int | None = None,
        *,
        period: str | None = None,
        after: str | None = None,
    ) -> list[dict[str, Any]]:
        """Usage events, newest first, all of them or ``limit``; a customer by name or id.

        ``period`` is a month, in UTC; ``after`` the receipt of an event to go on after.

        Raises:
            ConfigError: no month.
            RequestError: no such customer or receipt (404).
        """
        owner = None if customer is None else self.customers.find(customer).id
        month = None if period is None else Period.parse(period)
        found: list[dict[str, Any]] = []
        while limit is None or len(found) < limit:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self.history.list_usage(
                customer=owner, product=product, after=after, limit=wanted, period=month
            )
            found += [record.logged() for record in page]
            if len(page) < wanted:
                break
            after = page[-1].receipt
        return found

    def usage_totals(
        self, period: str, customer: str | None = None, product: str | None = None
    ) -> list[dict[str, Any]]:
        """What was used in a month, in UTC, by customer, product and outcome.

        Raises:
            ConfigError: no month.
            RequestError: no such customer (404).
        """
        owner = None if customer is None else self.customers.find(customer).id
        among = None if product is None else {product}
        found = self.history.totals(Period.parse(period), owner, among=among)
        return [total.to_json() for total in found]

    def audit(self) -> dict[str, Any]:
        """Re-hash every record of the audit log, and sign its head.

        Raises:
            LogForked: a record, a position or the order is not what was logged.
        """
        records = self.log.check()
        head = self.log.tree_head()
        return {"records": records, "size": head.size, "root": head.root.hex(), "note": head.note}

    def receipt(self, receipt: str) -> dict[str, Any]:
        """A receipt by its id, for the operator: the readable statement and its envelope.

        That it is read is logged.
        """
        found = self.history.find_receipt(receipt, None)
        log_reading(self._workspace, "receipt", receipt=receipt)
        return {"statement": dict(found.statement), **found.to_json()}
