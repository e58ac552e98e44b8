"""The hours are the events, however many steps they were summed up in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mintage.capture.hours import rollup
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import BooksBroken

_COPIED = (
    "INSERT INTO usage_hours SELECT customer, hour, {step}, 'birds', provider_model,"
    " provider_version, plan, plan_version, outcome, unit, cost_currency, 1, 1, 0.0, 0"
    " FROM usage_hours LIMIT 1"
)


@pytest.fixture
def stepped(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls of three hours, summed up two events a step."""
    monkeypatch.setattr(rollup, "_EVENTS_A_STEP", 2)
    for __ in range(3):
        for customer in ("Ada", "Bob", "Ada"):
            shop.meter.record(shop.usage(customer)).result(10)
        shop.clock.moment += timedelta(hours=1)
    assert shop.rollup.catch_up() == 9
    return shop


def test_every_step_is_held_against_its_events(stepped: Any) -> None:
    assert stepped.rollup.check() == 9
    stepped.meter.record(stepped.usage("Ada")).result(10)
    assert stepped.rollup.check() == 9  # what is not summed up yet is no difference
    assert (stepped.rollup.catch_up(), stepped.rollup.check()) == (10, 10)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE usage_hours SET events = events + 1 WHERE step = 4",
        "UPDATE usage_hours SET events = 0",
        "UPDATE usage_hours SET quantity = quantity + 1 WHERE step = 4",
        "UPDATE usage_hours SET compute_seconds = compute_seconds * 2 WHERE step = 2",
        "UPDATE usage_hours SET outcome = 'error' WHERE step = 8",
        "UPDATE usage_hours SET cost_picos = 1 WHERE step = 8",
        "UPDATE usage_hours SET cost_currency = 'USD' WHERE step = 8",
        "UPDATE usage_hours SET step = 3 WHERE step = 4",
        "DELETE FROM usage_hours WHERE step = 6",
        "UPDATE usage_events SET customer = 'nobody' WHERE sequence = 5",
        _COPIED.format(step=4),
        _COPIED.format(step=5),
    ],
)
def test_a_sum_that_is_not_that_of_its_events_is_named(stepped: Any, statement: str) -> None:
    stepped.database.write(lambda connection: connection.exec_driver_sql(statement) and None)
    with pytest.raises(BooksBroken, match="in the hour 20"):
        stepped.rollup.check()


def test_calls_of_any_quantities_are_one_row_a_unit(shop: Any) -> None:
    per = {"input_token": "1", "output_token": "4", "request": "1"}
    charges = tuple(Charge.plain(unit, price, per=10**6) for unit, price in per.items())
    shop.plans.agree("standard", Terms("EUR", charges))

    def call(quantities: dict[str, int], outcome: str = "ok") -> None:
        shop.meter.record(shop.usage("Ada", quantities=quantities, outcome=outcome)).result(10)

    for number in range(1, 5):
        call({"input_token": 100 + number, "output_token": number, "request": 1})
    call({"input_token": 105, "output_token": 5, "request": 1}, "error")
    call({"request": 1})
    period = Period.containing(shop.clock.now(), "UTC")
    before = shop.history.totals(period)
    assert shop.rollup.catch_up() == shop.rollup.check() == 6
    with shop.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT outcome, unit, quantity, events FROM usage_hours ORDER BY outcome, unit"
        ).all()
    assert [tuple(row) for row in rows] == [
        ("error", "input_token", 105, 1),
        ("error", "output_token", 5, 0),
        ("error", "request", 1, 0),
        ("ok", "input_token", 410, 4),
        ("ok", "output_token", 10, 0),
        ("ok", "request", 5, 1),
    ]
    assert shop.history.totals(period) == before
    assert [each.events for each in before] == [1, 5]
    assert before[1].quantities == {"input_token": 410, "output_token": 10, "request": 5}
