"""What upstreams ask is a cost like any: known in its currency, or not known."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from mintage.capture import repository
from mintage.capture.books.costs import COMPUTED, UNSAID, Spent, what_to_say
from mintage.capture.books.economics import Economics, together
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.money import Price
from mintage.core.types import UNKNOWN_CURRENCY

HOUR = Price("3.6", "EUR")


@pytest.mark.parametrize(
    ("seconds", "asked", "hour_cost", "cost"),
    [
        (10.0, {}, HOUR, Fraction("0.01")),
        (10.0, {}, None, None),
        (0.0, {}, HOUR, Fraction(0)),
        (0.0, {"EUR": 5 * 10**11}, None, Fraction("0.5")),
        (10.0, {"EUR": 5 * 10**11}, HOUR, Fraction("0.51")),
        (10.0, {"EUR": 5 * 10**11}, None, None),
        (0.0, {"USD": 1}, HOUR, None),
        (0.0, {"EUR": 1, UNKNOWN_CURRENCY: 0}, HOUR, None),
    ],
)
def test_a_cost_is_whole_or_not_known(
    seconds: float, asked: dict[str, int], hour_cost: Price | None, cost: Fraction | None
) -> None:
    found = Spent(seconds, asked).cost("EUR", hour_cost)
    assert found is None if cost is None else found is not None and abs(found - cost) < 1e-12


def test_what_a_unit_took_is_of_the_answers_that_counted_it(shop: Any) -> None:
    charges = (Charge.plain("image", "0.02"), Charge.plain("output_token", "0.001"))
    shop.plans.agree("standard", Terms("EUR", charges))
    shop.sell("birds")
    asked = {"compute_seconds": 0.0, "counted_by": "upstream"}
    tokens = {"input_token": 1000, "output_token": 500}
    used = shop.usage("Ada", quantities=tokens, cost="0.0005", cost_currency="EUR", **asked)
    unknown = replace(used, cost="0", cost_currency=UNKNOWN_CURRENCY)
    for usage in (
        *(used, replace(used, outcome="partial"), replace(used, outcome="error"), unknown),
        *(shop.usage("Ada", quantities={"image": 3}), shop.usage("Ada", outcome="timeout")),
        shop.usage(permit=shop.permit("Ada", "birds"), compute_seconds=1.0),
    ):
        shop.meter.record(usage).result(10)

    def spent(unit: str, product: str | None = None) -> list[tuple[str, float, int, int]]:
        with shop.database.read() as connection:
            rows = repository.spent_on_unit(connection, unit, product)
        return [
            (row.cost_currency, float(row.compute_seconds), int(row.cost_picos), int(row.quantity))
            for row in rows
        ]

    assert spent("output_token") == [("EUR", 0.0, 10**9, 1000)]
    assert spent("image", "pets") == [("", pytest.approx(0.0071), 0, 3)]
    assert spent("image") == [("", pytest.approx(1.0071), 0, 4)]
    assert spent("image", "fish") == spent("request") == []
    with shop.database.read() as connection:
        counted = repository.counted_with(connection, "output_token", None)
        assert counted == {"input_token": 2000, "output_token": 1000}
        assert repository.counted_with(connection, "image", "fish") == {}


def test_the_margin_of_what_upstreams_answer_is_what_is_left_of_what_they_ask(shop: Any) -> None:
    per = {"input_token": "1", "output_token": "4"}
    charges = tuple(Charge.plain(unit, price, per=10**6) for unit, price in per.items())
    shop.plans.agree("standard", Terms("EUR", charges))
    used = replace(
        shop.usage("Ada"),
        quantities={"request": 1, "input_token": 1000, "output_token": 500},
        compute_seconds=0.0,
        counted_by="upstream",
        cost="0.000750000001",
        cost_currency="EUR",
    )
    for usage in (used, used, replace(used, outcome="partial"), replace(used, outcome="error")):
        shop.meter.record(usage).result(10)
    (row,) = Economics(shop.database, shop.clock).month(
        Period.containing(shop.clock.now(), "UTC"), None
    )
    assert row.revenue == 3 * Fraction("0.003")
    assert row.cost == 4 * Fraction("0.000750000001")
    assert (row.calls, row.charged_calls) == (4, 3)
    assert shop.rollup.check() == 4
    events = shop.history.list_usage()
    assert {event.cost for event in events} == {"0.000750000001"}
    assert "cost" not in events[0].to_json()


@pytest.mark.parametrize(
    ("spent", "hour_cost", "cost", "unknown"),
    [
        ([("", 3, 10.0, 0)], HOUR, Fraction("0.01"), {}),
        ([("", 3, 10.0, 0)], None, None, {COMPUTED: 3}),
        ([("EUR", 2, 0.0, 5 * 10**11), (UNKNOWN_CURRENCY, 1, 0.0, 0)], None, "0.5", {UNSAID: 1}),
        ([("EUR", 2, 0.0, 5 * 10**11), ("USD", 4, 0.0, 7)], HOUR, "0.5", {"USD": 4}),
        ([(UNKNOWN_CURRENCY, 1, 0.0, 0)], HOUR, None, {UNSAID: 1}),
        ([(UNKNOWN_CURRENCY, 1, 0.0, 0), ("", 1, 0.0, 0)], None, None, {UNSAID: 1}),
        ([("EUR", 1, 2.5, 10**12)], None, 1, {}),
        ([], HOUR, 0, {}),
        ([], None, None, {}),
    ],
)
def test_what_is_known_of_a_cost_is_told_with_what_is_not(
    spent: list[tuple[str, int, float, int]],
    hour_cost: Price | None,
    cost: Any,
    unknown: dict[str, int],
) -> None:
    names = ("cost_currency", "events", "compute_seconds", "cost_picos")
    rows = [SimpleNamespace(**dict(zip(names, each, strict=True))) for each in spent]
    found, missing = Spent.of(rows).known("EUR", hour_cost)
    assert missing == unknown
    assert found is None if cost is None else abs(found - Fraction(cost)) < 1e-12
    said = what_to_say(missing, "EUR")
    assert len(said) == len(unknown)
    assert any("MINTAGE_COMPUTE_COST" in each for each in said) == (COMPUTED in unknown)
    assert any("--cost-hour" in each for each in said) == (UNSAID in unknown)


def test_a_failed_call_without_a_known_cost_leaves_the_margin_of_the_others(shop: Any) -> None:
    shop.plans.agree("standard", Terms("EUR", (Charge.plain("request", "0.01"),)))
    used = replace(
        shop.usage("Ada"),
        quantities={"request": 1},
        compute_seconds=0.0,
        cost="0.004",
        cost_currency="EUR",
    )
    failed = replace(used, outcome="error", cost="0", cost_currency=UNKNOWN_CURRENCY)
    for usage in (used, failed):
        shop.meter.record(usage).result(10)
    (row,) = Economics(shop.database, shop.clock).month(
        Period.containing(shop.clock.now(), "UTC"), HOUR
    )
    assert (row.calls, row.cost, row.margin) == (2, Fraction("0.004"), Fraction("0.6"))
    assert (row.unknown_calls, row.to_json()["unknown"]) == (1, {"unsaid": 1})
    (added,) = together([row], ["customer"])
    assert (added.margin, added.unknown) == (Fraction("0.6"), {"unsaid": 1})
    assert [row.plan for row in (row, added)] == ["standard@2", ""]


def test_seconds_of_upstreams_are_not_paid_for_at_a_processors_price(shop: Any) -> None:
    used = replace(shop.usage("Ada"), compute_seconds=5.0, cost="0.002", cost_currency="EUR")
    shop.meter.record(used).result(10)
    (row,) = Economics(shop.database, shop.clock).month(
        Period.containing(shop.clock.now(), "UTC"), HOUR
    )
    assert (row.compute_seconds, row.cost) == (5.0, Fraction("0.002"))
