"""Customers over time as one page: who grew or was lost, and how those who came together stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from html import escape

from mintage.capture.books import charts
from mintage.capture.books.cohorts import TRENDS, Cohort, Standing, Trend
from mintage.capture.books.economics_page import amount_of, page_of, table_of
from mintage.core.messages import Language, Message, _, speaking, told

_SHOWN = 15


def trend_of(trend: Trend) -> Message:
    """What people call it."""
    words = {
        "new": _("new"),
        "returned": _("came back"),
        "growing": _("growing"),
        "steady": _("steady"),
        "shrinking": _("shrinking"),
        "lost": _("lost"),
    }
    return words[trend]


def customers_page(found: Mapping[str, Sequence[Standing]], period: str, language: Language) -> str:
    """Where everybody stands at the end of a month."""
    with speaking(language):
        title = _("Customers in {period}", period=period)
        parts = [_standings(currency, some) for currency, some in found.items()]
        return page_of(title, "".join(parts), language)


def _standings(currency: str, some: Sequence[Standing]) -> str:
    counts = Counter(each.trend for each in some)
    bars = [(told(trend_of(trend)), float(counts[trend]), f"{counts[trend]:,}") for trend in TRENDS]
    moved = sorted(some, key=lambda each: (-abs(each.money - each.before), each.customer))
    changes = [
        (each.customer, float(each.money - each.before), _signed(each, currency))
        for each in moved[:_SHOWN]
        if each.money != each.before
    ]
    heads = [_("customer"), _("trend"), _("days since"), _("days used"), _("revenue")]
    heads += [_("month before"), _("R-F-M")]
    rows = [
        (
            each.customer,
            told(trend_of(each.trend)),
            f"{each.recency:,}",
            f"{each.frequency:,}",
            amount_of(each.money, currency),
            amount_of(each.before, currency),
            "-".join(map(str, each.scores)),
        )
        for each in some
    ]
    rule = _(
        "Lost is who had charged calls before and none in the month; growing and shrinking are by "
        "a tenth of the revenue of the month before. R-F-M is recency, frequency and money, each "
        "from 1 to 5 by fifths of these customers."
    )
    parts = [f'<p class="soft">{escape(told(rule))}</p>']
    parts.append(_figure(_("Customers by trend"), charts.bars(bars, title=told(_("trend")))))
    if changes:
        caption = _("Those whose revenue changed most against the month before")
        parts.append(_figure(caption, charts.bars(changes, title=told(caption))))
    return "".join([*parts, table_of(heads, rows)])


def _signed(each: Standing, currency: str) -> str:
    difference = each.money - each.before
    return f"{'+' if difference > 0 else ''}{amount_of(difference, currency)}"


def cohorts_page(found: Mapping[str, Sequence[Cohort]], language: Language) -> str:
    """How those who came in one month stay, and what they pay, as maps of shades."""
    with speaking(language):
        title = _("Cohorts: customers by the month in which they came")
        parts = [_cohorts(currency, some) for currency, some in found.items()]
        return page_of(title, "".join(parts), language)


def _cohorts(currency: str, some: Sequence[Cohort]) -> str:
    longest = max((len(each.retained) for each in some), default=0)
    heads = [f"+{month}" for month in range(longest)]
    stay = [
        (
            _label(each),
            [
                (count / each.retained[0], f"{count / each.retained[0]:.0%}")
                for count in each.retained
            ],
        )
        for each in some
    ]
    most = max((revenue for each in some for revenue in each.revenue), default=Fraction(0))
    pay = [
        (
            _label(each),
            [
                (float(one / most) if most > 0 else 0.0, f"{float(one):,.0f}")
                for one in each.revenue
            ],
        )
        for each in some
    ]
    calls = _("Share of those who came in a month that still call, so many months later")
    paid = _("What they pay a month, in {currency}, before tax", currency=currency)
    return _figure(calls, charts.heat(stay, heads, title=told(calls))) + _figure(
        paid, charts.heat(pay, heads, title=told(paid))
    )


def _label(each: Cohort) -> str:
    return f"{each.came} ({each.retained[0]:,})"


def _figure(caption: Message, chart: str) -> str:
    return f"<figure><figcaption>{escape(told(caption))}</figcaption>{chart}</figure>"
