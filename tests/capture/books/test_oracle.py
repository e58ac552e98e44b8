"""Random plans, usage and periods: what is invoiced is what an independent calculation says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.capture.books.oracle import DECIMALS, Invoice, Story, dawn, days_of
from tests.capture.conftest import Shop
from tests.capture.walking import walked
from tests.conftest import ManualClock

from mintage.capture.details import Details, Tax
from mintage.capture.pricing import terms_file
from mintage.capture.pricing.periods import Period
from mintage.core.errors import RequestError
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

EXAMPLES = 10 * int(os.environ.get("MINTAGE_ROUNDS", "10"))
UNITS = ("image", "explanation", "input_token", "output_token")
PRODUCTS = ("pets", "helper")
OWN = {product: f"own_{product}" for product in PRODUCTS}
BEGUN = ("gold", "silver")
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # where clocks skip a midnight
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # where they change by half an hour
    "Pacific/Apia",  # where 30 December 2011 was left out
]
MONTHS = [
    (2027, 2),  # 28 days
    (2028, 2),  # a leap day
    (2027, 3),
    (2026, 10),
    (2027, 4),
    (2026, 9),
    (2026, 12),
    (2011, 12),
]
BEFORE = 45  # days in which something may happen before the month

Terms = Mapping[str, Any]
Act = tuple[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A month, plans with their versions, taxes, and what happens when."""

    month: tuple[int, int]
    plans: Mapping[str, list[Terms]]
    taxes: list[str]
    acts: list[tuple[datetime, Act]]


def amounts(most: int, decimals: int) -> st.SearchStrategy[str]:
    """Decimal strings, many of which end in a 5 that has to be rounded."""
    drawn = st.tuples(st.integers(0, most), st.integers(0, decimals), st.sampled_from("05"))
    return drawn.map(lambda each: f"{Decimal(f'{each[0]}{each[2]}').scaleb(-each[1]):f}")


FEW = st.sampled_from([5, 10, 15, 20, 30])  # so that units meet the bounds of tiers
COUNTS = st.one_of(st.just(0), FEW, FEW, st.integers(0, 60))
PRICES, FEES = amounts(300, 5), amounts(900, 3)
BOUNDS = st.lists(st.one_of(FEW, FEW, st.integers(1, 90)), max_size=4, unique=True)
PERCENTS = st.sampled_from(["7", "19", "8.875", "0", "33.3", "12.5"])


@st.composite
def charges(draw: st.DrawFn, unit: str, products: list[str] | None) -> Terms:
    model = draw(st.sampled_from(["unit", "graduated", "volume", "package"]))
    charge: dict[str, Any] = {"unit": unit, "model": model}
    if products is not None:
        charge["products"] = products
    if draw(st.booleans()):
        charge["included"] = draw(st.one_of(FEW, st.integers(0, 40)))
    if model == "package" or draw(st.booleans()):
        charge["per"] = draw(st.sampled_from([1, 3, 7, 1000]))
    if model == "package" or (model == "unit" and draw(st.booleans())):
        return charge | {"price": draw(PRICES)}
    several = model != "unit"
    bounds = draw(BOUNDS) if several else []
    tiers = [{"up_to": bound} for bound in sorted(bounds)] + [{}]
    for tier in tiers:
        tier["price"] = draw(PRICES)
        if draw(st.integers(0, 2)) == 0:
            tier["flat"] = draw(PRICES)
    return charge | {"tiers": tiers}


@st.composite
def plans(draw: st.DrawFn, currencies: list[str], *, own: bool) -> Terms:
    """The terms of a plan; a product's ``own`` has none that somebody would have to begin."""
    terms: dict[str, Any] = {"currency": draw(st.sampled_from(currencies)), "charges": []}
    for unit in UNITS:
        whose = draw(st.sampled_from(["none", "all", "all", "one", "each"]))
        if whose == "all":
            terms["charges"].append(draw(charges(unit, None)))
        elif whose != "none":
            for product in PRODUCTS[: 1 if whose == "one" else 2]:
                terms["charges"].append(draw(charges(unit, [product])))
    if draw(st.booleans()):
        terms["timezone"] = draw(st.sampled_from(ZONES))
    if draw(st.integers(0, 2)) == 0:
        terms["discount_percent"] = draw(st.sampled_from(["10", "33.3", "12.5", "100"]))
    if draw(st.booleans()):
        terms["charge_abstained"] = draw(st.booleans())
    bound = Fraction(0)
    if not own:
        terms |= draw(time_of())
        bound = Fraction(terms.get("minimum", "0"))
    if draw(st.integers(0, 2)) == 0:
        most = draw(FEES)
        terms["maximum"] = most if Fraction(most) >= bound else terms["minimum"]
    return terms


@st.composite
def time_of(draw: st.DrawFn) -> Terms:
    """What a plan says of time: what for somebody has to begin it."""
    terms: dict[str, Any] = {}
    if draw(st.integers(0, 3)):
        terms["fee"] = draw(FEES)
    if draw(st.integers(0, 3)) == 0:
        terms["fee_every"] = "year"
    if draw(st.integers(0, 1)):
        terms["minimum"] = draw(FEES)
    if draw(st.integers(0, 3)) == 0:
        terms["trial_days"] = draw(st.sampled_from([1, 3, 14, 40]))
    prorate = draw(st.sampled_from([None, True, False, "second"]))
    if prorate is not None:
        terms["prorate"] = prorate
    return terms


@st.composite
def moments(draw: st.DrawFn, first: date) -> datetime:
    """A moment of some day, or the edge of one, by the clocks of some zone."""
    day = first + timedelta(days=draw(st.integers(-BEFORE + 3, 30)))
    if draw(st.integers(0, 3)) == 0:
        day = draw(st.sampled_from([first, days_of(first.year, first.month)[-1]]))
    begins = datetime.fromtimestamp(dawn(day, draw(st.sampled_from(ZONES))), UTC)
    edge = st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(seconds=1)])
    within = st.timedeltas(timedelta(0), timedelta(hours=23))
    return begins + draw(st.one_of(edge, within, within))


CALLS = st.tuples(
    st.sampled_from(PRODUCTS),
    st.fixed_dictionaries(
        {
            "image": COUNTS,
            "explanation": COUNTS,
            "input_token": st.one_of(COUNTS, st.integers(0, 3000)),
            "output_token": COUNTS,
        }
    ),
    st.sampled_from(["ok", "ok", "ok", "partial", "abstain", "error", "timeout"]),
)
ACTS = st.one_of(
    *[CALLS.map(lambda call: ("call", call))] * 4,
    st.sampled_from(BEGUN).map(lambda plan: ("begin", plan)),
    st.tuples(st.sampled_from(BEGUN), st.booleans()).map(lambda end: ("cancel", end)),
    st.sampled_from([*BEGUN, *OWN.values()]).map(lambda plan: ("agree", plan)),
)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    month = draw(st.sampled_from(MONTHS))
    currencies = draw(st.lists(st.sampled_from(sorted(DECIMALS)), min_size=1, max_size=2))
    named = {name: name in OWN.values() for name in (*BEGUN, *OWN.values())}
    versions = {
        # Nothing else need tell a version from the one before it.
        name: [draw(plans(currencies, own=own)) | {"due_days": days} for days in (30, 14)]
        for name, own in named.items()
    }
    when = draw(st.lists(moments(date(*month, 1)), min_size=5, max_size=20, unique=True))
    acts = [draw(ACTS) for __ in when]
    acts[0] = ("begin", draw(st.sampled_from(BEGUN)))
    taxes = draw(st.lists(PERCENTS, max_size=2))
    return Drawn(month, versions, taxes, list(zip(sorted(when), acts, strict=True)))


@given(drawn=drawn())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_what_is_invoiced_and_what_the_terms_come_to_are_not_one_minor_unit_apart(
    tmp_path_factory: pytest.TempPathFactory, drawn: Drawn
) -> None:
    clock = ManualClock()
    with closing(Workspace(tmp_path_factory.mktemp("shop"), clock)) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        story = Story(drawn.taxes)
        told(shop, story, drawn)
        period = Period(*drawn.month)
        clock.moment = datetime(*drawn.month, 1, tzinfo=UTC) + timedelta(days=75)
        shop.invoices.issue_all(shop.invoices.run(period, shop.customers.find("Ada").id).drafted)
        issued = {
            (each.period, each.currency): said_of(each.document) for each in shop.invoices.list()
        }
        assert issued == dict(worked_out(story, period))
        shop.ledger.check()
        for each in shop.invoices.list():
            assert walked(shop, each, workspace.home).broken is None


def told(shop: Any, story: Story, drawn: Drawn) -> None:
    """Let it happen in the shop, and tell it to the oracle."""
    left = {name: list(versions) for name, versions in drawn.plans.items()}
    shop.clock.moment = datetime(*drawn.month, 1, tzinfo=UTC) - timedelta(days=BEFORE)
    for name in left:
        agree(shop, story, name, left)
    for product, plan in OWN.items():
        shop.sell(product, plan)
    shop.key_of("Ada")
    taxes = tuple(Tax(f"tax {n}", percent) for n, percent in enumerate(drawn.taxes))
    shop.customers.set_details("Ada", Details(taxes=taxes))
    for moment, (what, about) in drawn.acts:
        shop.clock.moment = moment
        if what == "call":
            product, quantities, outcome = about
            permit = shop.permit("Ada", product)
            usage = shop.usage(permit=permit, quantities=quantities, outcome=outcome)
            shop.meter.record(usage).result(10)
            story.call(moment, product, OWN[product], quantities, outcome)
        elif what == "begin":
            shop.subscriptions.begin("Ada", about)
            story.begin(moment, about)
        elif what == "cancel":
            plan, at_month_end = about
            if story.cancel(moment, plan, at_month_end=at_month_end):
                shop.subscriptions.cancel("Ada", plan, at_month_end=at_month_end)
            else:
                with pytest.raises(RequestError):
                    shop.subscriptions.cancel("Ada", plan, at_month_end=at_month_end)
        elif left[about]:
            agree(shop, story, about, left)


def agree(shop: Any, story: Story, name: str, left: dict[str, list[Terms]]) -> None:
    """Put the next version of a plan in force, as its file has it."""
    terms = left[name].pop(0)
    shop.plans.agree(name, terms_file.parse(terms, name))
    story.agree(name, terms)


def worked_out(story: Story, last: Period) -> Iterator[tuple[tuple[str, str], Any]]:
    """By month and currency, what the oracle says."""
    for period in (last.preceding.preceding, last.preceding, last):
        for currency, invoice in story.invoices(period.year, period.month).items():
            yield (str(period), currency), figures(invoice)


def figures(invoice: Invoice) -> Any:
    lines = [
        (line.plan, line.kind, line.unit, line.units, line.amount, due)
        for line, due in zip(invoice.lines, invoice.due, strict=True)
    ]
    return sorted(lines), list(invoice.taxes), invoice.net, invoice.total


def said_of(document: Mapping[str, Any]) -> Any:
    """The same figures as an issued document says them."""

    def minor(text: str) -> Fraction:
        return Fraction(text) * 10 ** DECIMALS[document["currency"]]

    lines = [
        (
            line["plan"],
            line["kind"],
            line.get("unit", ""),
            line.get("units", 0),
            Fraction(line.get("ratio", line["exact"])),
            minor(line["amount"]),
        )
        for line in document["lines"]
    ]
    taxes = [minor(each["amount"]) for each in document["taxes"]]
    return sorted(lines), taxes, minor(document["net"]), minor(document["total"])
