"""The events of an invoice come with what shows them, a page at a time, on either database."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books import evidence
from mintage.capture.books.evidence import InvoiceEvents
from mintage.capture.chain.evidence import Entry, Event, Proof
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import DataError
from mintage.trust import merkle
from mintage.trust.audit import AuditLog, leaf_of, verify_note

ORIGIN = "example.com/log"


def at(shop: Any, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)


def use(shop: Any, count: int = 1, **changes: Any) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage("Ada", **changes)).result(10)


@pytest.mark.parametrize("page", [2, 3, 1000])
def test_each_event_is_there_once_with_its_record_its_path_and_its_receipt(
    shop: Any, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(evidence, "_PAGE", page)
    charges = (Charge.plain("image", "0.02"), Charge.plain("explanation", "0.01"))
    shop.plans.agree("standard", Terms("EUR", charges))
    use(shop, 3)
    at(shop, "2026-12-03")
    shop.invoices.issue_all(shop.invoices.run(Period(2026, 11)).drafted)
    at(shop, "2026-11-28")
    use(shop, 2)  # turns up late
    at(shop, "2026-12-20")
    use(shop, 2)
    use(shop, 1, quantities={"image": 1, "explanation": 1})
    use(shop, 1, outcome="error")
    at(shop, "2027-01-03")
    (invoice,) = shop.invoices.issue_all(shop.invoices.run(Period(2026, 12)).drafted)
    log = AuditLog(shop.database, shop.keys, ORIGIN)
    found = InvoiceEvents(shop.database, shop.keys, log, invoice)
    head = verify_note(found.heads[1], shop.keys.signer("log").public, ORIGIN)
    events, proofs = [*found.events()], [*found.proofs()]
    signed, plain = [*found.receipts(signed=True)], [*found.receipts(signed=False)]
    assert len({event.position for event in events}) == len(events) == 5
    for event, proof, receipt, unsigned in zip(events, proofs, signed, plain, strict=True):
        assert event.record is not None
        assert event.salt is not None
        assert leaf_of(event.record, event.salt) == event.leaf_hash
        assert Event.from_line(event.to_line()) == event
        position, path = event.position, proof.place.path
        assert (proof.position, proof.place.log, proof.place.index) == (position, 1, position)
        assert path is not None
        merkle.verify_inclusion(position, head.size, event.leaf_hash, path, head.root)
        assert Proof.from_line(proof.to_line()) == proof
        assert receipt["payload"] == unsigned["payload"]
        said = json.loads(base64.b64decode(receipt["payload"]))
        assert said["event"] == json.loads(event.record)["id"]
        assert said["leaf"] == {"position": position, "hash": event.leaf_hash.hex()}
    for number, line in enumerate(invoice.document["lines"], start=1):
        leaves = [event.leaf_hash for event in events if number in event.lines]
        assert merkle.root(leaves).hex() == line["events_root"]
    assert found.answered_by() == {"b" * 64}
    (entry,) = found.entries()
    assert Entry.from_line(entry.to_line()) == entry
    assert json.loads(entry.record)["version"] == 2
    assert found.plans() == ["standard@2"]


def test_what_an_upstream_asked_is_withheld_unless_an_auditor_asks(shop: Any) -> None:
    use(shop, 1, cost="0.001", cost_currency="USD")
    use(shop, 1)
    at(shop, "2026-12-03")
    (invoice,) = shop.invoices.issue_all(shop.invoices.run(Period(2026, 11)).drafted)
    log = AuditLog(shop.database, shop.keys, ORIGIN)
    customers = [*InvoiceEvents(shop.database, shop.keys, log, invoice).events()]
    assert [event.record is None for event in customers] == [True, False]
    assert all(b"0.001" not in event.to_line() for event in customers)
    auditors = [*InvoiceEvents(shop.database, shop.keys, log, invoice, with_costs=True).events()]
    assert all(event.record is not None for event in auditors)
    assert [each.leaf_hash for each in auditors] == [each.leaf_hash for each in customers]


@given(line=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_a_line_that_is_none_is_refused(line: bytes) -> None:
    for read in (Event.from_line, Proof.from_line, Entry.from_line):
        with pytest.raises(DataError, match="cannot be read"):
            read(line)
