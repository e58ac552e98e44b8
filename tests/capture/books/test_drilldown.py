"""An issued line names the events that it was computed from, by their number and their root."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select

from mintage.capture.books import drilldown, recount
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import BooksBroken
from mintage.store import schema
from mintage.trust import merkle
from mintage.trust.statements import open_statement

NOVEMBER, DECEMBER = Period(2026, 11), Period(2026, 12)


def at(shop: Any, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)


def use(shop: Any, count: int = 1, customer: str = "Ada", **changes: Any) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage(customer, **changes)).result(10)


def issued(shop: Any, moment: str = "2026-12-03", period: Period = NOVEMBER) -> Any:
    at(shop, moment)
    return shop.invoices.issue_all(shop.invoices.run(period).drafted)


def root_of(shop: Any, invoice: Any, line: int) -> tuple[int, str]:
    """By the events that the line drills down to, and their leaves one by one."""
    ids = [each.id for each in shop.invoices.events(invoice.id, line)]
    leaves = {json.loads(row["record"])["id"]: row["leaf_hash"] for row in shop.leaves("usage")}
    return len(ids), merkle.root([leaves[each] for each in ids]).hex()


def test_a_line_of_usage_has_the_root_of_the_leaves_of_its_charged_events(shop: Any) -> None:
    use(shop, 3)
    use(shop, 2, outcome="error")
    use(shop, 2, customer="Bob")
    use(shop, 2)
    ada, bob = issued(shop)
    for invoice, count in ((ada, 5), (bob, 2)):
        (line,) = invoice.document["lines"]
        assert (line["events"], line["events_root"]) == root_of(shop, invoice, 1)
        assert line["events"] == count


def test_what_is_signed_is_what_is_kept_with_its_roots(shop: Any) -> None:
    use(shop, 2)
    (invoice,) = issued(shop)
    found = open_statement(shop.invoices.signed(invoice).data, shop.keys, kind="invoice")
    assert found.document == invoice.document
    (leaf,) = shop.leaves("invoice.issued")
    assert json.loads(leaf["record"])["sha256"] == found.sha256


def test_lines_of_the_same_events_share_a_root_and_others_do_not(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recount, "_TOGETHER", 3)
    charges = (
        Charge.plain("input_token", "0.01"),
        Charge.plain("output_token", "0.02"),
        Charge.plain("explanation", "0.5"),
    )
    shop.plans.agree("standard", Terms("EUR", charges))
    use(shop, 7, quantities={"input_token": 3, "output_token": 5})
    use(shop, 1, quantities={"input_token": 1, "output_token": 1, "explanation": 1})
    use(shop, 4, quantities={"input_token": 2, "output_token": 4})
    (invoice,) = issued(shop)
    tokens, answers, explained = invoice.document["lines"]
    assert tokens["events_root"] == answers["events_root"] != explained["events_root"]
    for number, line in enumerate(invoice.document["lines"], start=1):
        assert (line["events"], line["events_root"]) == root_of(shop, invoice, number)
    assert [line["events"] for line in invoice.document["lines"]] == [12, 12, 1]


def test_a_unit_whose_name_is_part_of_anothers_is_not_taken_for_it(shop: Any) -> None:
    charges = (Charge.plain("input_token", "0.01"), Charge.plain("cached_input_token", "0.02"))
    shop.plans.agree("standard", Terms("EUR", charges))
    use(shop, 2, quantities={"input_token": 3})
    use(shop, 3, quantities={"cached_input_token": 5})
    (invoice,) = issued(shop)
    assert {line["unit"]: line["events"] for line in invoice.document["lines"]} == {
        "input_token": 2,
        "cached_input_token": 3,
    }


def test_drafts_fees_and_lines_without_events_have_none(shop: Any) -> None:
    from mintage.capture.pricing.charges import Tier

    flat = Charge("image", (Tier("0.10", None, "5"),), "graduated")
    shop.plans.agree("gold", Terms("EUR", (flat,), fee="30"))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 1, customer="Bob")
    at(shop, "2026-12-03")
    drafted = shop.invoices.run(NOVEMBER).drafted
    assert not any("events" in line for each in drafted for line in each.document["lines"])
    ada, bob = shop.invoices.issue_all(drafted)
    assert [line["kind"] for line in ada.document["lines"]] == ["fee", "usage"]
    assert not any({"events", "events_root"} & line.keys() for line in ada.document["lines"])
    assert bob.document["lines"][0]["events"] == 1


def test_late_usage_has_a_root_of_its_own(shop: Any) -> None:
    use(shop, 3)
    issued(shop)
    at(shop, "2026-11-28")
    use(shop, 2)
    at(shop, "2026-12-20")
    use(shop, 4)
    (invoice,) = issued(shop, "2027-01-03", DECEMBER)
    by_kind = {line["kind"]: n for n, line in enumerate(invoice.document["lines"], start=1)}
    for kind, count in (("usage", 4), ("late", 2)):
        line = invoice.document["lines"][by_kind[kind] - 1]
        assert (line["events"], line["events_root"]) == root_of(shop, invoice, by_kind[kind])
        assert line["events"] == count


def test_an_event_without_its_leaf_is_not_invoiced_in_silence(shop: Any) -> None:
    use(shop, 2)
    at(shop, "2026-12-03")
    drafted = shop.invoices.run(NOVEMBER).drafted
    with shop.database.read() as connection:
        position = connection.execute(select(schema.usage_events.c.log_position)).scalars().first()
    gone = delete(schema.log_leaves).where(schema.log_leaves.c.position == position)
    shop.database.write(lambda connection: connection.execute(gone) and None)
    with pytest.raises(BooksBroken, match=f"not logged at its position {position}"):
        shop.invoices.issue_all(drafted)


def test_other_months_and_steps_of_the_rollup_are_not_looked_through(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mintage.capture.books import repository
    from mintage.capture.hours import rollup

    monkeypatch.setattr(rollup, "_EVENTS_A_STEP", 2)
    at(shop, "2026-10-20")
    use(shop, 5)
    at(shop, "2026-11-20")
    use(shop, 5, customer="Bob")
    use(shop, 4)
    at(shop, "2026-12-01T00:30")
    use(shop, 3)
    (october, november) = [
        each for each in issued(shop) if each.document["customer"]["name"] == "Ada"
    ]
    for invoice, count in ((october, 5), (november, 4)):
        (line,) = invoice.document["lines"]
        assert (line["events"], line["events_root"]) == root_of(shop, invoice, 1)
        assert line["events"] == count
    segment = drilldown.Segment.of(
        november.customer, "2026-11", november.document["lines"][0], shop.plans.find("standard")
    )
    with shop.database.read() as connection:
        after, until = repository.narrowed(connection, vars(segment))["sequences"]
    assert (after, until) == (10, 17)  # in steps of two, and with the hour after the month's end


def test_a_credit_note_is_signed_as_one(shop: Any) -> None:
    use(shop, 2)
    (invoice,) = issued(shop)
    note = shop.invoices.credit(invoice.id, "a mistake")
    found = open_statement(shop.invoices.signed(note).data, shop.keys, kind="credit_note")
    assert found.document["corrects"] == invoice.number
