"""The Meter: every call that reached a product is recorded once, durably, before its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, Self, TypeVar

from mintage.capture import answers, repository
from mintage.capture.events import ABSTAINED, CHARGED_OUTCOMES, UsageRecord, is_charged
from mintage.capture.limits.counters import Charged, forget_outdated
from mintage.capture.limits.settling import settle
from mintage.capture.receipts import SIGNING_KEY, receipt_of
from mintage.core.canonical import Spelled
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, DependencyDown, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.money import Price, decimal_text
from mintage.core.types import EXPLANATION, Durability, Receipt, Usage
from mintage.store.engine import Database
from mintage.trust import audit
from mintage.trust.keys import KeyRing

_ANSWERED = (*CHARGED_OUTCOMES, ABSTAINED)
_MOST_TOGETHER = 256
"""Events that are one write: as many as callers may ever wait for the same commit."""
T = TypeVar("T")


class DuplicateEvent(RequestError):
    """This id is recorded already; ``receipt`` is the receipt that it got then."""

    code = "duplicate_event"
    default_http_status = 409

    def __init__(self, event: str, receipt: str) -> None:
        super().__init__(
            _(
                "The event {event} is recorded already, with receipt {receipt}.",
                event=event,
                receipt=receipt,
            ),
            remedy=_("It was charged once; use another Idempotency-Key for another action."),
        )
        self.receipt = receipt


def price_of(usage: Usage) -> str:
    """What the call costs: quantities times prices as an exact decimal string, ``0`` if it is free.

    Raises:
        ConfigError: a quantity is negative, or the plan charges for what was not counted.
    """
    counted, permit = usage.quantities, usage.permit
    if any(quantity < 0 for quantity in counted.values()):
        raise ConfigError(
            _("A quantity is negative: {quantities}.", quantities=dict(counted)),
            remedy=_("This is a mistake in the product's modality; report it."),
        )
    if not is_charged(usage.outcome, charge_abstained=permit.charge_abstained):
        return "0"
    charged = tuple(
        (permit.prices[unit], n) for unit, n in counted.items() if unit in permit.prices
    )
    if not charged and permit.prices.keys() - {EXPLANATION}:
        raise ConfigError(
            _(
                "The plan {plan!r} charges by {units}, but the call counted {quantities}.",
                plan=permit.plan,
                units=sorted(permit.prices),
                quantities=sorted(counted),
            ),
            remedy=_("Give the product a plan whose unit its model counts."),
        )
    return _amount(charged)


@lru_cache(maxsize=4096)
def _amount(charged: tuple[tuple[Price, int], ...]) -> str:
    """The same few for every call of a plan, and 10 µs to work out."""
    return decimal_text(sum((price.times(units) for price, units in charged), Fraction(0)))


class UsageMeter:
    """Records usage; implements ``core.ports.Meter``."""

    def __init__(
        self, database: Database, keys: KeyRing, clock: Clock, *, durability: Durability = "flush"
    ) -> None:
        """``durability`` is what usage survives: by ``process`` not a power cut."""
        self._database = database if durability == "flush" else database.passing
        keys.signer(SIGNING_KEY)  # made, or refused, before the first call is taken
        self._keys = keys
        self._clock = clock
        self._gathering = threading.Lock()
        self._gathered: _Together | None = None

    def record(self, usage: Usage) -> Future[Receipt]:
        """Resolved with the receipt once row and leaf are on disk, in one transaction.

        The future cannot be cancelled: a client that leaves does not take its event along. It
        fails with DuplicateEvent (409) where customer, origin and id are recorded already.

        Raises:
            ConfigError: the usage cannot be priced; nothing was recorded.
        """
        draft = _Draft.of(usage)
        promised: Future[Receipt] = Future()
        promised.set_running_or_notify_cancel()
        if draft.may_repeat:
            self._alone(draft, promised)
        else:
            self._gather(draft, promised)
        return promised

    def _gather(self, draft: _Draft, promised: Future[Receipt]) -> None:
        """With the others that wait for the same commit, as one write: for 64 half the time."""
        begun: Future[list[_Written]] | None = None
        with self._gathering:
            together = self._gathered
            if together is None or len(together) >= _MOST_TOGETHER:
                together = []
                begun = self._database.submit(partial(self._write, together), only_adds=True)
                self._gathered = together
            together.append((draft, promised))
        if begun is not None:
            begun.add_done_callback(partial(self._settle_all, together))

    def _close(self, together: _Together) -> None:
        """Nobody joins these any more."""
        with self._gathering:
            if self._gathered is together:
                self._gathered = None

    def _write(self, together: _Together, connection: repository.Connection) -> list[_Written]:
        self._close(together)
        return self._write_all(connection, [draft for draft, __ in together])

    def _settle_all(self, together: _Together, written: Future[list[_Written]]) -> None:
        """Tell each that it is written; where one of several spoilt it, each is written alone."""
        self._close(together)  # where the commit could not even begin
        error = written.exception()
        if error is None:
            for (__, promised), each in zip(together, written.result(), strict=True):
                promised.set_result(self._receipt(each))
        elif isinstance(error, DependencyDown) or len(together) == 1:
            # It may have been committed: what is tried again could be there twice.
            for __, promised in together:
                promised.set_exception(error)
        else:
            for draft, promised in together:
                _keep_error(promised, partial(self._alone, draft, promised))

    def _alone(self, draft: _Draft, promised: Future[Receipt]) -> None:
        self._submit([draft]).add_done_callback(
            lambda written: _keep(promised, lambda: self._receipt(*written.result()))
        )

    def record_all(self, usages: Sequence[Usage]) -> Future[list[Receipt]]:
        """``record`` for calls that were answered together: as one write, all of them or none.

        For 16 that takes less than half the time, for one the same. It is for the server's own
        ids, which are new.

        Raises:
            ConfigError: one of them cannot be priced; nothing was recorded.
            ValueError: one has an id, or an answer to keep.
        """
        if any(usage.event_id or usage.stored_answer for usage in usages):
            raise ValueError("an id that may be recorded already needs a write of its own")
        promised: Future[list[Receipt]] = Future()
        promised.set_running_or_notify_cancel()
        self._submit([_Draft.of(usage) for usage in usages]).add_done_callback(
            lambda written: _keep(promised, lambda: [*map(self._receipt, written.result())])
        )
        return promised

    def _submit(self, drafts: Sequence[_Draft]) -> Future[list[_Written]]:
        return self._database.submit(partial(self._write_all, drafts=drafts), only_adds=True)

    def _write_all(
        self, connection: repository.Connection, drafts: Sequence[_Draft]
    ) -> list[_Written]:
        # Our time, read under the lock: along the log it runs backwards only where the clock was.
        moment = self._clock.now()
        now = timestamp(moment)
        records = [draft.record(now) for draft in drafts]
        texts = [record.spelled() for record in records]
        leaves = audit.append_all(connection, "usage", texts)
        written = [*map(_Written, records, leaves, texts)]
        if not repository.insert_events(connection, [each.to_row() for each in written]):
            # Raising undoes the leaves too; the others in this commit stand.
            raise _duplicate(connection, records)
        for draft in drafts:
            if draft.usage.stored_answer is not None:
                answers.keep(
                    connection,
                    draft.usage.permit.customer,
                    draft.receipt,
                    draft.usage.stored_answer,
                    moment,
                )
        _settle(connection, [*zip((each.usage for each in drafts), records, strict=True)], moment)
        return written

    def _receipt(self, written: _Written) -> Receipt:
        leaf, signer = written.leaf, self._keys.signer(SIGNING_KEY)
        return receipt_of(written.record, leaf.position, leaf.leaf_hash, signer, written.text)


@dataclass
class _Draft:
    """A usage with its price and the ids it gets; its time comes under the lock."""

    usage: Usage
    event: str
    receipt: str
    price: str

    @classmethod
    def of(cls, usage: Usage) -> Self:
        return cls(usage, usage.event_id or new_id("evt"), new_id("rcp"), price_of(usage))

    @property
    def may_repeat(self) -> bool:
        """Whether it may be recorded already, which would spoil those written with it."""
        return bool(self.usage.event_id) or self.usage.stored_answer is not None

    def record(self, now: str) -> UsageRecord:
        usage, permit, provider = self.usage, self.usage.permit, self.usage.provider
        withheld = usage.abandoned and usage.outcome in _ANSWERED
        return UsageRecord(
            id=self.event,
            origin=usage.origin,
            receipt=self.receipt,
            customer=permit.customer,
            api_key=permit.key_id,
            product=permit.product,
            alias=usage.alias,
            model=provider.model,
            model_version=provider.version,
            bundle_digest=provider.bundle_digest,
            outcome="timeout" if withheld else usage.outcome,
            quantities=dict(usage.quantities),
            input_sha256=usage.input_sha256,
            output_sha256=usage.output_sha256,
            probability=usage.probability,
            abstained=usage.abstained,
            latency_seconds=usage.latency_seconds,
            compute_seconds=usage.compute_seconds,
            plan=permit.plan,
            plan_version=permit.plan_version,
            price="0" if withheld else self.price,
            currency=permit.currency,
            final=permit.final,
            recorded_at=now,
            counted_by=usage.counted_by,
            cost=usage.cost,
            cost_currency=usage.cost_currency,
        )


@dataclass
class _Written:
    """An event, its place on the log, and its text."""

    record: UsageRecord
    leaf: audit.Leaf
    text: Spelled

    def to_row(self) -> list[Any]:
        return self.record.to_row(self.leaf.position)


_Together = list[tuple[_Draft, Future[Receipt]]]


def _keep(promised: Future[T], found: Callable[[], T]) -> None:
    """Resolve with what was found, or with why there is nothing."""
    try:
        result = found()
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits
        promised.set_exception(error)
    else:
        promised.set_result(result)


def _keep_error(promised: Future[Receipt], begin: Callable[[], None]) -> None:
    """Begin a write that resolves it; that it cannot begin resolves it too."""
    try:
        begin()
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits
        promised.set_exception(error)


def _settle(
    connection: repository.Connection,
    recorded: Sequence[tuple[Usage, UsageRecord]],
    moment: datetime,
) -> None:
    """Count what limits are of, and let go of what was held for it."""
    forget_outdated(connection, (usage.permit for usage, __ in recorded), moment)
    bound = [
        Charged.of(usage.permit, usage.hold, record)
        for usage, record in recorded
        if usage.permit.bounds is not None
    ]
    if bound:
        settle(connection, bound, moment)


def _duplicate(
    connection: repository.Connection, records: Sequence[UsageRecord]
) -> DuplicateEvent | RuntimeError:
    if len(records) > 1:
        return RuntimeError("an id that was just made is recorded already")
    (record,) = records
    first = repository.event_receipt(connection, record.customer, record.origin, record.id)
    return DuplicateEvent(record.id, first or "")
