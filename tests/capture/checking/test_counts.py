"""What limits are held against is what the events come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mintage.capture.checking.counts import CountCheck
from mintage.capture.key_limits import KeyLimits
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import BooksBroken
from mintage.core.money import Money


@pytest.fixture
def limited(shop: Any) -> Any:
    """Counts of each kind: of a trial, of a version alone, of all of them, of a key."""
    shop.clock.moment = datetime(2026, 11, 18, tzinfo=UTC)
    charge = replace(Charge.plain("image", "1"), hard_limit=50, included=2)
    shop.key_of("Ada")
    shop.plans.agree("gold", Terms("EUR", (charge,), trial_days=5, spend_limit="90"))
    shop.plans.agree("standard", Terms("EUR", (replace(charge, products=("pets",)),)))
    shop.subscriptions.begin("Ada", "gold")
    key = shop.customers.issue_key("Ada", KeyLimits(budget=Money.parse("99", "EUR")))
    for day in (20, 26):
        shop.clock.moment = datetime(2026, 11, day, tzinfo=UTC)
        for __ in range(3):
            for permit in (shop.permit("Ada"), shop.permit("Bob")):
                shop.meter.record(shop.usage(permit=permit)).result(10)
            shop.meter.record(shop.usage(permit=shop.gate.admit(key.key.reveal(), "pets"))).result()
    return shop


def counts(shop: Any) -> dict[str, int]:
    with shop.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT counter, used FROM usage_counters").all()
    return {row[0]: row[1] for row in rows}


def test_counts_that_are_what_events_come_to_are_found_so(limited: Any) -> None:
    found = {
        counter.partition("/")[2].partition("@")[0]: used
        for counter, used in counts(limited).items()
    }
    assert found == {
        "gold/trial/image/2026-11": 6,
        "gold/trial/v1/image/2026-11": 6,
        "gold/image/2026-11": 6,
        "gold/v1/image/2026-11": 6,
        "standard/image": 6,
        "standard/v2/image": 6,
        "EUR/2026-11": 3_000_000_000,
    }
    assert CountCheck(limited.database).check() == 7


@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("change", ["used = used + 1", "used = used - 1", "plan = 'other'"])
def test_a_count_that_was_changed_is_named(limited: Any, which: int, change: str) -> None:
    counter = sorted(counts(limited))[which]
    spoil = f"UPDATE usage_counters SET {change} WHERE counter = '{counter}'"
    limited.database.write(lambda connection: connection.exec_driver_sql(spoil) and None)
    with pytest.raises(BooksBroken, match=counter):
        CountCheck(limited.database).check()


def test_a_count_from_which_an_event_was_taken_is_named(limited: Any) -> None:
    spoil = "DELETE FROM usage_events WHERE sequence = (SELECT max(sequence) FROM usage_events)"
    limited.database.write(lambda connection: connection.exec_driver_sql(spoil) and None)
    with pytest.raises(BooksBroken, match="which limits are held against"):
        CountCheck(limited.database).check()
