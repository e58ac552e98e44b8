"""The events of an issued invoice with what shows them: records, places on the log, receipts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from mintage.capture.books import repository
from mintage.capture.books.account import Account
from mintage.capture.books.drilldown import Counted, Segment, lines_by_segment
from mintage.capture.books.invoice import Invoice
from mintage.capture.chain.evidence import SET, Entry, Event, Proof
from mintage.capture.events import UsageRecord
from mintage.capture.receipts import (
    PAYLOAD_TYPE,
    SIGNING_KEY,
    check_logged,
    receipt_of,
    stated,
)
from mintage.core.errors import LogForked
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust.audit import AuditLog, Inclusions, LogRow
from mintage.trust.erasures import ERASED, Erasures
from mintage.trust.keys import KeyRing

_PAGE = 2000
"""Events that are read at once: in between, the database is free for others."""
Part = tuple[Segment, list[Counted], list[int]]
"""Events, what of them each line is of, and the lines' numbers."""


class InvoiceEvents:
    """Read a page at a time, once for each of the files that they are written to."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        log: AuditLog,
        invoice: Invoice,
        *,
        with_costs: bool = False,
    ) -> None:
        """``with_costs``: records say what upstreams asked, which is no customer's business."""
        self._database = database
        self._keys = keys
        self._log = log
        self._invoice = invoice
        self._with_costs = with_costs
        self._erasures = Erasures()

    @cached_property
    def _parts(self) -> list[Part]:
        found, lines = self._invoice, self._invoice.document["lines"]
        with self._database.read() as connection:
            account = Account(connection, found.customer)
            segments = lines_by_segment(found.customer, found.document, account)
        return [
            (segment, [Counted.of(lines[each]) for each in places], [each + 1 for each in places])
            for segment, places in segments.items()
        ]

    @cached_property
    def _positions(self) -> list[int]:
        """Where its events are on the log, in the order of ``events``."""
        positions = []
        with self._database.read() as connection:
            for segment, counted, __ in self._parts:
                positions += repository.positions_within(
                    connection, vars(segment), _plainly(counted)
                )
        return positions

    @cached_property
    def _named(self) -> list[LogRow]:
        """What set the plans that its lines name, and what erased its customer.

        Of an honest log there is one for each.
        """
        named, rows = self.plans(), self._log.entries(kinds=[SET, ERASED])
        return [row for row in rows if self._is_named(row, named)]

    def _is_named(self, row: LogRow, plans: list[str]) -> bool:
        said = _said(row.record)
        if row.kind == ERASED:
            return said.get("customer") == self._invoice.customer
        return f"{said.get('name')}@{said.get('version')}" in plans

    @cached_property
    def _is_erased(self) -> bool:
        """Whether its customer was."""
        return any(row.kind == ERASED for row in self._named)

    @cached_property
    def _inclusions(self) -> Inclusions:
        named = [row.position for row in self._named]
        return self._log.inclusions(max([*self._positions, *named], default=-1))

    @cached_property
    def heads(self) -> Mapping[int, str]:
        """The signed head of each log, by its number, that the proofs lead to."""
        return {number: head.note for number, head in self._inclusions.heads.items()}

    def proofs(self) -> Iterator[Proof]:
        """The place of each event."""
        for position in self._positions:
            yield Proof(position, self._inclusions.of(position))

    def entries(self) -> Iterator[Entry]:
        """What is named; and what began the newest log, where there were others before it."""
        begun = self._inclusions.begun
        first = [] if begun is None else [*self._log.entries(begun, most=1)]
        for row in (*first, *self._named):
            proof = Proof(row.position, self._inclusions.of(row.position))
            yield Entry(proof, row.record, row.salt)

    def events(self) -> Iterator[Event]:
        """Each event that a line is of.

        Raises:
            LogForked: one has no entry on the log, or one that is dark and no erasure names.
        """
        for row, numbers in self._rows():
            is_withheld = not self._with_costs and (row["cost_picos"] or row["cost_currency"])
            yield Event(
                position=row["log_position"],
                lines=[number for place, number in enumerate(numbers) if row["lines"] >> place & 1],
                leaf_hash=row["leaf_hash"],
                record=None if is_withheld else row["record"],
                salt=None if is_withheld else row["salt"],
                erased_by=row["erased_by"],
            )

    def receipts(self, *, signed: bool) -> Iterator[Mapping[str, Any] | None]:
        """The receipt of each event, signed anew; its statement is the one that was first given.

        None of one that was erased: nobody can tell any more whether that is what was logged.

        Raises:
            LogForked: an event is not the one that was logged: nothing is signed of it.
        """
        signer = self._keys.signer(SIGNING_KEY)
        for row, __ in self._rows():
            if row["erased_by"] is not None:
                yield None
                continue
            record = UsageRecord.from_row(row)
            position, leaf_hash = row["log_position"], row["leaf_hash"]
            spelled = check_logged(record, position, row["salt"], leaf_hash)
            if not signed:
                said = stated(record, position, leaf_hash, spelled)
                payload = base64.b64encode(said).decode()
                yield {"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": []}
                continue
            yield dict(receipt_of(record, position, leaf_hash, signer, spelled).envelope)

    def answered_by(self) -> set[str]:
        """The digests of all that answered, as far as the log still says so."""
        if self._is_erased:
            return {row["bundle_digest"] for row, __ in self._rows() if row["erased_by"] is None}
        found = set[str]()
        with self._database.read() as connection:
            for segment, counted, __ in self._parts:
                found |= repository.answered_within(connection, vars(segment), _plainly(counted))
        return found

    def plans(self) -> list[str]:
        """The versions of plans that its lines name."""
        return list(dict.fromkeys(line["plan"] for line in self._invoice.document["lines"]))

    def _accounted(
        self, connection: repository.Connection, row: repository.Values
    ) -> repository.Values:
        """The row with which entry accounts for it, if it was erased."""
        gone = row["erased"]
        by = None if gone is None else self._erasures.account(connection, gone)
        return row | {"erased_by": by}

    def _rows(self) -> Iterator[tuple[repository.Values, list[int]]]:
        for segment, counted, numbers in self._parts:
            after: int | None = None
            while True:
                with self._database.read() as connection:
                    rows = repository.logged_within(
                        connection, vars(segment), _plainly(counted), after, _PAGE
                    )
                    rows = [self._accounted(connection, row) for row in rows]
                for row in rows:
                    if row["leaf_hash"] is None:
                        raise LogForked(
                            _(
                                "The entry at position {position} is missing from the log.",
                                position=row["log_position"],
                            ),
                            remedy=_("Restore the workspace from a backup, or report this."),
                        )
                    yield row, numbers
                if len(rows) < _PAGE:
                    break
                after = rows[-1]["sequence"]


def _said(record: bytes) -> Mapping[str, Any]:
    """What an entry says; nothing where it is damaged."""
    try:
        said = json.loads(record)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _plainly(counted: list[Counted]) -> list[repository.Counted]:
    return [(each.unit, each.products) for each in counted]


def json_line(envelope: Mapping[str, Any] | None) -> bytes:
    """An envelope, or none, as ``receipts.jsonl`` has it."""
    return json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode() + b"\n"
