"""Capture: what each answer earned and cost, and what other plans would have earned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from mintage.app.economy import MONTHS
from mintage.capture.books.business_models import CONFIDENCE, Comparison
from mintage.capture.books.economics import why_unknown
from mintage.capture.books.economics_page import (
    as_it_is,
    at_most,
    by_currency,
    compared_page,
    left_out,
    name_of,
    price_of,
    reasons_of,
    replayed_page,
    short_price,
)
from mintage.capture.books.rendering import amount_text
from mintage.capture.books.replay import Replayed
from mintage.capture.pricing.periods import Period as Month
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line, say, table, warn
from mintage.core.clock import SystemClock
from mintage.core.errors import ConfigError
from mintage.core.files import write_atomic
from mintage.core.messages import Message, _, current
from mintage.core.money import Money

economics = typer.Typer(
    help="What answers earn and cost, and what other plans would earn.", no_args_is_help=True
)

Period = Annotated[str, typer.Option(help="The month: 2026-11.")]
WriteOff = Annotated[
    list[str] | None,
    typer.Option("--training-cost", help="What a version cost to train: 'pets@3=1200 EUR'."),
]
_BAR = 24  # characters of the longest
_SHOWN = 10


@economics.command("show")
def show(
    *,
    period: Period,
    by: Annotated[
        str | None,
        typer.Option(help="Add up by customer, plan, product or model; several with commas."),
    ] = None,
    write_off: Annotated[
        int | None, typer.Option(help="Write training off over so many months.")
    ] = None,
    training_cost: WriteOff = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What each customer's use of each model version earned and cost in a month.

    Revenue is what the month comes to by its plans, before tax; cost is what answering was
    measured to compute, at what an hour costs you (MINTAGE_COMPUTE_COST, such as '0.05 EUR'), and
    what upstreams ask. Where the cost of some calls is not known, a margin is that at most (≤).
    """
    months = write_off if write_off is not None or training_cost is None else MONTHS
    with opened(home) as app:
        found, unknown = app.billing.economics(
            period, [] if by is None else by.split(","), months, training_cost or []
        )
    if unknown:
        warn(unknown_costs(unknown))
    if as_json:
        emit([each.to_json() for each in found])
        return
    say_if_running(period)
    some_unknown = any(each.unknown_calls for each in found)
    rows = [
        (
            each.customer,
            each.plan,
            each.product,
            f"{each.model}@{each.model_version}" if each.model else "",
            f"{each.calls:,}",
            f"{each.charged_calls:,}",
            amount(each.revenue, each.currency),
            _cost(each.cost),
            *([] if months is None else [_cost(each.written_off)]),
            *([f"{each.unknown_calls:,}"] if some_unknown else []),
            at_most(each.margin, each.unknown),
        )
        for each in found
    ]
    heads = [_("customer"), _("plan"), _("product"), _("model"), _("calls"), _("charged")]
    heads += [_("revenue"), _("cost"), *([] if months is None else [_("written off")])]
    heads += [*([_("of unknown cost")] if some_unknown else []), _("margin")]
    if rows:
        table(heads, rows, numbers=len(heads) - 4)
    else:
        say(_("Nothing was used in {period}, and nothing is due.", period=period))
    for each in why_unknown(found):
        say(each)


@economics.command("replay")
def replay(
    *,
    period: Period,
    plans: Annotated[
        str | None, typer.Option(help="Plans or files of plans, with commas: gold,new.toml.")
    ] = None,
    compare_models: Annotated[
        bool,
        typer.Option(
            "--compare-models",
            help="Compare business models: pay-as-you-go, subscription, freemium, prepaid, volume, "
            "outcome-based.",
        ),
    ] = False,
    models: Annotated[
        Path | None, typer.Option(help="A TOML file with the business models to compare.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What the models count. (default: what most was used of)")
    ] = None,
    confidence: Annotated[
        str, typer.Option(help="From which probability on an outcome is paid for.")
    ] = CONFIDENCE,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with charts into this file, too.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Price the usage of a month under other plans: what would be earned, and who would pay what.

    Every customer is taken to be on the plan for the whole month; nothing is changed.
    """
    compares = compare_models or models is not None
    if compares == (plans is not None):
        raise ConfigError(
            _("Either plans are replayed, or business models compared."),
            remedy=_("Give --plans gold,new.toml, or --compare-models."),
        )
    with opened(home) as app:
        if compares:
            economy = app.billing.economy
            compared = economy.compare(period, models, unit=unit, confidence=confidence)
            written(html, lambda: compared_page(compared, current()))
            _show_compared(compared, as_json=as_json)
            return
        wanted = [each.strip() for each in (plans or "").split(",")]
        found = app.billing.replay(period, wanted)
    written(html, lambda: replayed_page(found, period, current()))
    _show_replayed(found, as_json=as_json)


def say_if_running(period: str) -> None:
    """What a month that is not over comes to, is not all of it."""
    if Month.parse(period) == Month.containing(SystemClock().now(), "UTC"):
        say(
            _(
                "{period} is not over: fees are of all of it, usage is what there was until now.",
                period=period,
            )
        )


def written(path: Path | None, page: Callable[[], str]) -> None:
    """Write a page, where one is wanted."""
    if path is None:
        return
    write_atomic(path, page().encode())
    say(_("A page with charts: {path}", path=path))


def _show_compared(found: list[Comparison], *, as_json: bool) -> None:
    if as_json:
        emit([each.to_json() for each in found])
        return
    for place, each in enumerate(found):
        if place:
            line()
        line(as_it_is(each))
        rows = [
            (
                name_of(one.offer.kind),
                price_of(one, each.currency),
                amount(one.then, each.currency),
                at_most(one.margin, one.unknown),
                one.more,
                one.less,
                one.nothing,
                _share(one.largest),
                _share(one.moved),
            )
            for one in each.models
        ]
        heads = [_("business model"), _("price"), _("revenue"), _("margin")]
        heads += [_("pay more"), _("pay less")]
        heads += [_("pay nothing"), _("largest payer"), _("moved")]
        table(heads, rows, numbers=7)
    say(_("Moved is the share of the revenue that others would pay; --json has every customer."))
    for reason in reasons_of([(each.currency, one) for each in found for one in each.models[:1]]):
        say(reason)


def _show_replayed(found: list[Replayed], *, as_json: bool) -> None:
    if as_json:
        emit([each.to_json() for each in found])
        return
    for place, some in enumerate(by_currency(found)):
        if place:
            line()
        _beside(some)
    for each in found:
        _who(each)
    for each in found:
        if each.others:
            say(left_out(each))
    for reason in reasons_of([(each.currency, each) for each in found]):
        say(reason)


def _beside(found: Sequence[Replayed]) -> None:
    """Plans of one currency beside what is paid in it now."""
    now = found[0]
    longest = max(now.now, *(each.then for each in found))
    rows = [
        (_("as it is"), amount(now.now, now.currency), "", "", "", _bar(now.now, longest)),
        *(
            (
                each.plan,
                amount(each.then, each.currency),
                at_most(each.margin, each.unknown),
                each.more,
                each.less,
                _bar(each.then, longest),
            )
            for each in found
        ),
    ]
    heads = (_("plan"), _("revenue"), _("margin"), _("pay more"), _("pay less"), "")
    table(heads, rows)


def _who(replayed: Replayed) -> None:
    """Those for whom it would change most."""
    changed = [(name, now, then) for name, (now, then) in replayed.customers.items() if now != then]
    changed.sort(key=lambda each: -abs(each[2] - each[1]))
    if not changed:
        return
    line()
    currency = replayed.currency
    rows = [
        (name, amount(now, currency), amount(then, currency), amount(then - now, currency))
        for name, now, then in changed[:_SHOWN]
    ]
    heads = (_("customer"), _("now"), replayed.plan, _("difference"))
    table(heads, rows, numbers=3)
    if len(changed) > _SHOWN:
        say(_("{count} more; --json has all.", count=len(changed) - _SHOWN))


def amount(exact: Fraction, currency: str) -> str:
    """An exact amount, rounded for people."""
    return amount_text(Money.rounded(exact, currency).amount, currency)


def _cost(cost: Fraction | None) -> str:
    return "" if cost is None else short_price(cost)


def _share(share: Fraction | None) -> str:
    return "" if share is None else f"{float(share):.1%}"


def at_least(unknown: Mapping[str, int]) -> str:
    """What stands before what would be more, if the cost of all calls were known."""
    return "≥ " if unknown else ""


def _bar(amount: Fraction, longest: Fraction) -> str:
    return "█" * round(_BAR * amount / longest) if longest > 0 and amount > 0 else ""


def unknown_costs(names: Sequence[str]) -> Message:
    """Of which versions nobody knows what training cost."""
    return _(
        "What training cost is not known of {names}; say it: --training-cost '{first}=12 EUR'",
        names=", ".join(names),
        first=names[0],
    )
