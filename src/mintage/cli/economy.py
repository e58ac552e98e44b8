"""Capture: customers over time, cohorts, and what it takes to earn what training cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.economy import MONTHS
from mintage.capture.books.cohorts import Cohort, Standing, Trend
from mintage.capture.books.customers_page import cohorts_page, customers_page, trend_of
from mintage.capture.books.write_off import BreakEven
from mintage.cli.economics import (
    Period,
    WriteOff,
    amount,
    at_least,
    economics,
    unknown_costs,
    written,
)
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line, say, table, warn
from mintage.core.messages import Message, _, current

_Html = Annotated[
    Path | None, typer.Option("--html", help="Write a page with charts into this file, too.")
]


@economics.command("customers")
def customers(
    *,
    period: Period,
    html: _Html = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Which customers are new, grew, shrank or were lost: recency, frequency and money.

    Lost is who had charged calls before and none in the month; growing and shrinking are by a tenth
    of the revenue of the month before.
    """
    with opened(home) as app:
        found = app.billing.economy.customers(period)
    written(html, lambda: customers_page(found, period, current()))
    if as_json:
        emit([one.to_json(currency) for currency, some in found.items() for one in some])
        return
    for place, (currency, some) in enumerate(found.items()):
        if place:
            line()
        _standings(currency, some)


def _standings(currency: str, some: Sequence[Standing]) -> None:
    rows = [
        (
            each.customer,
            trend_of(each.trend),
            each.recency,
            each.frequency,
            amount(each.money, currency),
            amount(each.before, currency),
            "-".join(map(str, each.scores)),
        )
        for each in some
    ]
    heads = [_("customer"), _("trend"), _("days since"), _("days used"), _("revenue")]
    table([*heads, _("month before"), _("R-F-M")], rows, numbers=5)
    counts: dict[Trend, int] = {}
    for each in some:
        counts[each.trend] = counts.get(each.trend, 0) + 1
    for trend, count in sorted(counts.items()):
        say(_("{trend}: {count:,}", trend=trend_of(trend), count=count))


@economics.command("cohorts")
def cohorts(
    *,
    until: Annotated[
        str | None, typer.Option(help="The last month. (default: the present one)")
    ] = None,
    html: _Html = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """How many of those who came in one month still call in each later one, and what they pay.

    A customer comes in the month of the first charged call.
    """
    with opened(home) as app:
        found = app.billing.economy.cohorts(until)
    written(html, lambda: cohorts_page(found, current()))
    if as_json:
        emit([one.to_json() | {"currency": c} for c, some in found.items() for one in some])
        return
    for place, (currency, some) in enumerate(found.items()):
        if place:
            line()
        _cohorts(currency, some)


def _cohorts(currency: str, some: Sequence[Cohort]) -> None:
    longest = max(len(each.retained) for each in some)
    heads = [_("came"), _("customers"), *(f"+{month}" for month in range(1, longest))]
    shares = [
        (
            str(each.came),
            each.retained[0],
            *(f"{count / each.retained[0]:.0%}" for count in each.retained[1:]),
            *[""] * (longest - len(each.retained)),
        )
        for each in some
    ]
    table(heads, shares, numbers=longest, title=_("Customers who still call"))
    line()
    heads = [_("came"), *(f"+{month}" for month in range(longest))]
    paid = [
        (
            str(each.came),
            *(amount(revenue, currency) for revenue in each.revenue),
            *[""] * (longest - len(each.revenue)),
        )
        for each in some
    ]
    table(heads, paid, numbers=longest, title=_("What they pay"))


@economics.command("break-even")
def break_even(
    *,
    period: Period,
    write_off: Annotated[
        int, typer.Option(min=1, help="Over how many months training is written off.")
    ] = MONTHS,
    training_cost: WriteOff = None,
    fixed: Annotated[
        str | None, typer.Option(help="What each product has to earn a month besides: '500 EUR'.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """How many charged calls a month earn what is fixed: training written off, and what you add.

    A call earns what the month's calls did on average, less what answering cost. Where the cost of
    some calls is not known, it is more than what is shown (≥), and so is the break-even.
    """
    with opened(home) as app:
        economy = app.billing.economy
        found = economy.break_even(period, write_off, training_cost or [], fixed)
    if as_json:
        emit(
            {
                "period": found.period,
                "write_off_months": found.months,
                "products": [each.to_json() for each in found.products],
                "unknown_training_costs": list(found.unknown),
            }
        )
        return
    rows = [
        (
            each.product,
            f"{each.charged_calls:,}",
            amount(each.revenue, each.currency),
            _("unknown")
            if each.cost is None
            else at_least(each.unknown) + amount(each.cost, each.currency),
            amount(each.fixed, each.currency),
            "" if each.calls is None else f"{at_least(each.unknown)}{each.calls:,}",
        )
        for each in found.products
    ]
    heads = [_("product"), _("charged"), _("revenue"), _("computing"), _("fixed")]
    table([*heads, _("break-even")], rows, numbers=5)
    for each in found.products:
        line(in_words(each))
    for reason in found.reasons:
        say(reason)
    if found.unknown:
        warn(unknown_costs(found.unknown))


def in_words(each: BreakEven) -> Message:
    """What a product's figures say."""
    said = {"product": each.product, "calls": each.calls, "had": each.charged_calls}
    if each.cost is None:
        return _(
            "{product}: what its calls cost is not known in {currency}, so neither is what earns "
            "it.",
            currency=each.currency,
            **said,
        )
    if not each.fixed:
        return _("{product}: nothing is fixed, so every call earns.", **said)
    if each.each is None:
        return _("{product}: no call was charged, so nothing is earned yet.", **said)
    if each.calls is None:
        return _("{product}: a call costs what it earns or more: no number of them pays.", **said)
    return _earned(each, said)


def _earned(each: BreakEven, said: dict[str, Any]) -> Message:
    if each.unknown:
        return _(
            "{product} earns what is fixed by {calls:,} charged calls at the least, since what "
            "{unknown:,} cost is not known; it had {had:,}.",
            unknown=sum(each.unknown.values()),
            **said,
        )
    months = "" if each.months is None else f"{float(each.months):.1f}"
    earned = (
        _("{product} earns what is fixed from {calls:,} charged calls on; it had {had:,}.", **said)
        if each.is_earned
        else _("{product} earns what is fixed by {calls:,} charged calls; it had {had:,}.", **said)
    )
    if not each.training:
        return earned
    return _(
        "{earned} At this rate its training is earned in {months} months.",
        earned=earned,
        months=months,
    )
