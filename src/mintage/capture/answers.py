"""Answers kept for a while, so that a repeated Idempotency-Key gets the first one again, free."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mintage.capture import repository
from mintage.capture.events import UsageRecord
from mintage.capture.receipts import SIGNING_KEY, check_logged, receipt_of
from mintage.core.clock import Clock, timestamp
from mintage.core.types import Receipt
from mintage.store.engine import Database
from mintage.trust import repository as log
from mintage.trust.keys import KeyRing

CLIENT_ORIGIN = "client"
"""The origin of events whose id the client chose, by an Idempotency-Key."""

_KEPT = timedelta(hours=24)
_MOST_REMOVED = 100  # with every answer kept, so that no commit has to catch up with all of them


@dataclass(frozen=True)
class StoredAnswer:
    """What was answered under an Idempotency-Key; ``answer`` is None once its time is over."""

    product: str
    input_sha256: str
    receipt: Receipt
    answer: bytes | None


class Answers:
    """Finds stored answers; the Meter keeps them."""

    def __init__(self, database: Database, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    def find(self, customer: str, event_id: str) -> StoredAnswer | None:
        """What this customer's action was answered with; None where it was never answered.

        The receipt is signed anew; its statement is the one that was first given.

        Raises:
            LogForked: the event is not the one that was logged: nothing is signed of it.
        """
        now = timestamp(self._clock.now())
        with self._database.read() as connection:
            row = repository.event_by_id(connection, customer, CLIENT_ORIGIN, event_id)
            logged = None if row is None else log.read_row(connection, row["log_position"])
        if row is None:
            return None
        record, signer = UsageRecord.from_row(row), self._keys.signer(SIGNING_KEY)
        salt = None if logged is None else logged.salt
        spelled = check_logged(record, row["log_position"], salt, row["leaf_hash"])
        receipt = receipt_of(record, row["log_position"], row["leaf_hash"], signer, spelled)
        kept = row["answer"] is not None and row["expires_at"] > now
        return StoredAnswer(
            record.product, record.input_sha256, receipt, row["answer"] if kept else None
        )


def keep(
    connection: repository.Connection,
    customer: str,
    receipt: str,
    answer: bytes,
    recorded: datetime,
) -> None:
    """Keep an answer in the transaction of its event, and forget some whose time is over."""
    repository.remove_expired_answers(connection, timestamp(recorded), _MOST_REMOVED)
    repository.insert_answer(connection, customer, receipt, answer, timestamp(recorded + _KEPT))
