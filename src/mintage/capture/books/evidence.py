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
from mintage.capture.chain.evidence import Event, Path
from mintage.capture.events import UsageRecord
from mintage.capture.receipts import PAYLOAD_TYPE, SIGNING_KEY, receipt_of, statement_of
from mintage.core.errors import LogForked
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust.audit import AuditLog
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
    def _proved(self) -> tuple[str, Iterator[tuple[int, Path]]]:
        positions = []
        with self._database.read() as connection:
            for segment, counted, __ in self._parts:
                positions += repository.positions_within(
                    connection, vars(segment), _plainly(counted)
                )
        head, paths = self._log.inclusions(positions)
        return head.note, zip(positions, paths, strict=True)

    @property
    def head(self) -> str:
        """The signed head of the log that all proofs lead to."""
        return self._proved[0]

    def proofs(self) -> Iterator[tuple[int, Path]]:
        """The position of each event, and its path; once."""
        return self._proved[1]

    def events(self) -> Iterator[Event]:
        """Each event that a line is of.

        Raises:
            LogForked: one has no entry on the log.
        """
        for row, numbers in self._rows():
            is_withheld = not self._with_costs and (row["cost_picos"] or row["cost_currency"])
            yield Event(
                position=row["log_position"],
                lines=[number for place, number in enumerate(numbers) if row["lines"] >> place & 1],
                leaf_hash=row["leaf_hash"],
                record=None if is_withheld else row["record"],
                salt=None if is_withheld else row["salt"],
            )

    def receipts(self, *, signed: bool) -> Iterator[Mapping[str, Any]]:
        """The receipt of each event, signed anew; its statement is the one that was first given."""
        signer = self._keys.signer(SIGNING_KEY)
        for row, __ in self._rows():
            record = UsageRecord.from_row(row)
            if not signed:
                said = statement_of(record.logged(), row["log_position"], row["leaf_hash"])
                payload = base64.b64encode(said).decode()
                yield {"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": []}
                continue
            found = receipt_of(record, row["log_position"], row["leaf_hash"], signer)
            yield dict(found.envelope)

    def answered_by(self) -> set[str]:
        """The digests of all that answered."""
        found = set[str]()
        with self._database.read() as connection:
            for segment, counted, __ in self._parts:
                found |= repository.answered_within(connection, vars(segment), _plainly(counted))
        return found

    def plans(self) -> list[str]:
        """The versions of plans that its lines name."""
        return list(dict.fromkeys(line["plan"] for line in self._invoice.document["lines"]))

    def _rows(self) -> Iterator[tuple[repository.Values, list[int]]]:
        for segment, counted, numbers in self._parts:
            after: int | None = None
            while True:
                with self._database.read() as connection:
                    rows = repository.logged_within(
                        connection, vars(segment), _plainly(counted), after, _PAGE
                    )
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


def _plainly(counted: list[Counted]) -> list[repository.Counted]:
    return [(each.unit, each.products) for each in counted]


def json_line(envelope: Mapping[str, Any]) -> bytes:
    """An envelope as ``receipts.jsonl`` has it."""
    return json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode() + b"\n"
