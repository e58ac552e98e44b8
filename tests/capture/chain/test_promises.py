"""What was promised of calls is what their plan says; late usage is what its calls come to."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.capture.walking import evidence, followed, walked

from mintage.capture.chain.archive import ArchivedEvidence
from mintage.capture.chain.checks import Chain
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.capture.receipts import PAYLOAD_TYPE, statement_of
from mintage.core.canonical import canonical_json
from mintage.core.money import Money
from mintage.store.schema import log_heads, log_leaves, log_nodes, logs
from mintage.trust import merkle
from mintage.trust.audit import append, leaf_of
from mintage.trust.dsse import sign_envelope
from mintage.trust.statements import sign_document


def at(shop: Any, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)


def use(shop: Any, count: int = 1, **changes: Any) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage("Ada", **changes)).result(10)


def issued(shop: Any, period: Period) -> Any:
    (invoice,) = shop.invoices.issue_all(shop.invoices.run(period).drafted)
    return invoice


@pytest.mark.parametrize("plain", [True, False])
def test_late_usage_is_summed_where_each_call_has_its_price_and_else_said_to_be_open(
    shop: Any, tmp_path: Path, plain: bool
) -> None:
    tiers = Charge("image", (Tier("0.3", 4), Tier("0.1")), "graduated")
    charge = Charge.plain("image", "0.333") if plain else tiers
    shop.plans.agree("standard", Terms("EUR", (charge,)))
    at(shop, "2026-11-20")
    use(shop, 3)
    at(shop, "2026-12-03")
    issued(shop, Period(2026, 11))
    at(shop, "2026-11-28")
    use(shop, 2)
    at(shop, "2026-12-20")
    use(shop, 1)
    at(shop, "2027-01-03")
    invoice = issued(shop, Period(2026, 12))
    assert any(line["kind"] == "late" for line in invoice.document["lines"])
    chain = walked(shop, invoice, tmp_path)
    assert chain.broken is None, chain.broken
    unchecked = [str(each.said) for each in chain.root.open()]
    assert any("late usage is priced with" in each for each in unchecked) == (not plain)


def otherwise_logged(change: Callable[[Any], None]) -> Callable[[Any, Any, Path], Path]:
    """An invoice whose one event was logged otherwise, by a seller who has all of the keys."""

    def made(shop: Any, invoice: Any, folder: Path) -> Path:
        (row,) = shop.leaves("usage")
        record = json.loads(row["record"])
        change(record)
        data = canonical_json(record)
        leaf = leaf_of(data, row["salt"])
        shop.database.write(lambda connection: rewrite(connection, row["position"], data, leaf))
        document = json.loads(json.dumps(invoice.document))
        document["lines"][0]["events_root"] = merkle.root([leaf]).hex()
        signed = sign_document("invoice", document, shop.keys.signer("receipt"))
        path = evidence(shop, invoice, folder)
        with zipfile.ZipFile(path) as given, zipfile.ZipFile(folder / "evil.zip", "w") as forged:
            for name in given.namelist():
                forged.writestr(name, signed if name == "invoice.json" else given.read(name))
        return folder / "evil.zip"

    return made


def rewrite(connection: Any, position: int, record: bytes, leaf: bytes) -> None:
    changes = {"record": record, "leaf_hash": leaf}
    wanted = log_leaves.c.position == position
    connection.execute(log_leaves.update().where(wanted).values(changes))


def receipt_as(shop: Any, path: Path) -> Path:
    """The receipt of the event says what its record says, and is signed."""
    target = path.with_name("signed.zip")
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(target, "w") as forged:
        event = json.loads(given.read("events.jsonl"))
        record = json.loads(event["record"])
        leaf = leaf_of(event["record"].encode(), bytes.fromhex(event["salt"]))
        said = statement_of(record, event["position"], leaf)
        envelope = sign_envelope(said, PAYLOAD_TYPE, shop.keys.signer("receipt"))
        for name in given.namelist():
            data = (
                canonical_json(envelope) + b"\n" if name == "receipts.jsonl" else given.read(name)
            )
            forged.writestr(name, data)
    return target


LOGGED: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "another price, as final": (
        lambda said: said.update(price="0.01"),
        "was promised at another price",
        "was promised at another price",
    ),
    "another currency": (
        lambda said: said.update(currency="USD"),
        "was promised at another price",
        "was promised at another price",
    ),
    "another customer": (
        lambda said: said.update(customer="cus_other"),
        "is not of this customer",
        "is not of this customer",
    ),
    "an answer without a label": (
        lambda said: said.update(outcome="abstain"),
        "is not charged",
        "does not belong to line",
    ),
    "another month": (
        lambda said: said.update(recorded_at="2026-12-01T00:00:00.000000Z"),
        "is of another month",
        "does not belong to line",
    ),
    "another plan": (
        lambda said: said.update(plan_version=2),
        "is of another plan",
        "does not belong to line",
    ),
}


@pytest.mark.parametrize("what", LOGGED)
def test_an_event_that_the_seller_logged_otherwise_is_refused_though_all_of_it_is_signed(
    shop: Any, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, ours, theirs = LOGGED[what]
    use(shop)
    at(shop, "2026-12-03")
    invoice = issued(shop, Period(2026, 11))
    assert walked(shop, invoice, tmp_path).broken is None
    shop.database.write(forget_heads)
    # The seller's own program looks away; an honest one would sign no receipt of it again.
    monkeypatch.setattr("mintage.capture.books.evidence.check_logged", lambda *__: None)
    path = receipt_as(shop, otherwise_logged(change)(shop, invoice, tmp_path))
    with ArchivedEvidence(path) as held:
        chain = Chain(held, shop.keys)
        chain.check()
    assert ours in str(chain.broken)
    assert theirs in str(followed(shop, path))


def forget_heads(connection: Any) -> None:
    """What was signed before never left the seller's machine."""
    for table in (log_heads, log_nodes, logs):
        connection.execute(table.delete())


def test_a_plan_that_was_set_after_the_calls_that_it_prices_is_refused(
    shop: Any, tmp_path: Path
) -> None:
    use(shop)
    (row,) = shop.leaves("plan.set")
    plan = shop.plans.find("standard").to_json()

    def set_afterwards(connection: Any) -> None:
        data = canonical_json({"kind": "test"})
        rewrite(connection, row["position"], data, leaf_of(data, row["salt"]))
        wanted = log_leaves.c.position == row["position"]
        connection.execute(log_leaves.update().where(wanted).values(kind="test"))
        append(connection, "plan.set", plan)

    shop.database.write(set_afterwards)
    at(shop, "2026-12-03")
    chain = walked(shop, issued(shop, Period(2026, 11)), tmp_path)
    assert "is older than its plan" in str(chain.broken)


def test_a_credit_note_holds_whether_it_is_over_all_of_an_invoice_or_a_part(
    shop: Any, tmp_path: Path
) -> None:
    shop.plans.agree("standard", Terms("EUR", (Charge.plain("image", "0.5"),), fee="0"))
    use(shop, 4)
    at(shop, "2026-12-03")
    invoice = issued(shop, Period(2026, 11))
    part = shop.invoices.credit_part(invoice.id, 1, Money.parse("0.5", "EUR"), "a mistake")
    rest = shop.invoices.credit(invoice.id, "another")
    for note in (part, rest):
        chain = walked(shop, note, tmp_path)
        assert chain.broken is None, chain.broken
        assert any("what it takes back" in str(each.said) for each in chain.root.open())
