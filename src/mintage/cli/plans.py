"""Capture: plans, as files, and what they would come to."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from mintage.app.billing import Simulation
from mintage.capture.books.economics_page import short_price
from mintage.capture.plans import Plan
from mintage.capture.pricing import terms_file
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line, say, say_renewed, stdout, table, warn
from mintage.cli.words import word
from mintage.core.errors import ConfigError
from mintage.core.messages import _, told

plan = typer.Typer(help="What is agreed: set, list, show and try out plans.", no_args_is_help=True)


@plan.command("set")
def set_plan(
    path: Annotated[Path, typer.Argument(help="A TOML file with the plan's terms.")],
    *,
    name: Annotated[str | None, typer.Option(help="The plan's name. (default: the file's)")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put the terms of a file in force. Terms that differ are a new version of the plan.

    Whoever has begun an earlier version keeps it.
    """
    with opened(home, make=True) as app:
        agreed = app.billing.set_plan(path, name)
        unsold = app.billing.unsold(agreed.terms)
    if as_json:
        emit(agreed.to_json())
        return
    line(agreed.reference)
    if unsold:
        warn(_("Not sold here yet: {products}.", products=", ".join(unsold)))
    say(_("What it comes to: mintage plan simulate {plan}", plan=agreed.name))


@plan.command("list")
def list_plans(*, home: Home = None, as_json: Json = False) -> None:
    """List every version of every plan."""
    with opened(home) as app:
        listed = app.capture.plans.list()
    if as_json:
        emit([each.to_json() for each in listed])
        return
    rows = [
        (each.reference, _fee(each), _charges(each), each.terms.currency, each.created_at[:16])
        for each in listed
    ]
    table((_("plan"), _("fee"), _("prices"), _("currency"), _("since")), rows)


@plan.command("show")
def show_plan(
    reference: Annotated[str, typer.Argument(help="A plan: gold, or gold@2.")],
    *,
    toml: Annotated[bool, typer.Option("--toml", help="As the file that plan set reads.")] = False,
    signed: Annotated[
        bool, typer.Option("--signed", help="As it was signed when it was set.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show a plan's terms, every default made visible."""
    with opened(home) as app:
        found = app.billing.plan(reference)
        kept = app.capture.plans.signed(found) if signed else None
    if kept is not None:
        if kept.is_renewed:
            say_renewed()
        stdout.file.write(kept.data.decode())
        return
    if as_json:
        emit(found.to_json())
        return
    if not toml:
        line(f"# {found.reference}, {found.created_at[:16]}")
    stdout.print(terms_file.written(found.terms), end="", markup=False)


@plan.command("simulate")
def simulate_plan(
    reference: Annotated[str, typer.Argument(help="A plan: gold, or a file: gold.toml.")],
    *,
    units: Annotated[
        str, typer.Option(help="How many units a month, with commas.")
    ] = "10,100,1000,10000,100000,1000000",
    product: Annotated[str | None, typer.Option(help="Of this product. (default: of any)")] = None,
    unit: Annotated[
        str | None, typer.Option(help="Which unit. (default: the first that has a price)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print what a month comes to for several numbers of units: price, cost and margin.

    A unit costs what the answers that counted it did, divided by how many of it they counted: what
    they were measured to compute, at what an hour costs you (MINTAGE_COMPUTE_COST, such as
    '0.05 EUR'), and what upstreams ask. Where they counted several units, such as tokens read and
    written, each bears as much of that as of their price by the plan's list.
    """
    with opened(home) as app:
        found = app.billing.simulate(reference, _numbers(units), product, unit)
    if as_json:
        emit(found.to_json())
        return
    currency = found.rows[0].price.currency
    rows = [
        (
            f"{row.units:,}",
            row.price.amount,
            _each(row.to_json()["price_each"]),
            "" if row.cost is None else short_price(row.cost),
            "" if row.margin is None else f"{float(row.margin):.1%}",
        )
        for row in found.rows
    ]
    table(
        (
            _("{unit} a month", unit=word(found.unit)),
            _("price in {currency}", currency=currency),
            _("each"),
            _("cost"),
            _("margin"),
        ),
        rows,
        numbers=5,
    )
    if found.rows[0].cost is None:
        say(_why_no_cost(found))


def _why_no_cost(found: Simulation) -> str:
    if found.seconds_each is None:
        return _("What a unit costs is not known yet: none was recorded with its cost.")
    currency = found.rows[0].price.currency
    if found.asked_in:
        return _(
            "Upstreams ask for it in {currencies}, so what a unit costs in {currency} is not "
            "known.",
            currencies=", ".join(found.asked_in),
            currency=currency,
        )
    return _(
        "A unit computes {milliseconds:.3g} ms. With MINTAGE_COMPUTE_COST='0.05 {currency}', "
        "what an hour of one processor costs you, there are cost and margin too.",
        milliseconds=1000 * found.seconds_each,
        currency=currency,
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(each.strip().replace("_", "")) for each in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            _("Not numbers of units: {text!r}.", text=text),
            remedy=_("Write them as 10,1000,1000000."),
        ) from error


def _each(exact: str | None) -> str:
    return "" if exact is None else short_price(Fraction(exact))


def _fee(agreed: Plan) -> str:
    terms = agreed.terms
    if terms.fee == "0":
        return ""
    if terms.fee_every == "year":
        return _("{fee} a year", fee=terms.fee)
    return _("{fee} a month", fee=terms.fee)


def _charges(agreed: Plan) -> str:
    said = []
    for charge in agreed.terms.charges:
        price, per = charge.list_price
        each = (
            f"{price} / {told(word(charge.unit))}"
            if per == 1
            else f"{price} / {per:,} {told(word(charge.unit))}"
        )
        said.append(each if charge.model == "unit" else f"{each} ({told(word(charge.model))})")
    return ", ".join(said)
