"""Deliver: products that upstreams answer for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.language import TokenPrices
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line, say, table, warn
from mintage.core.clock import SystemClock
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.units import parse_duration
from mintage.deliver.upstreams import price_list
from mintage.deliver.upstreams.declared import Costs, Upstream, base_of, name_of
from mintage.deliver.upstreams.secret import Secret
from mintage.trust.deidentify.detectors import kinds_of

product = typer.Typer(
    help="Language models that others run: sell what an upstream answers.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="The product's name.")]


@product.command("add")
def add(
    name: Name,
    *,
    upstream: Annotated[
        str, typer.Option(help="Where it answers: https://api.example.com/v1, by OpenAI's API.")
    ],
    model: Annotated[str, typer.Option(help="What it calls the model.")],
    called: Annotated[
        str | None, typer.Option("--name", help="What to call the upstream. (default: its host)")
    ] = None,
    secret_env: Annotated[
        str | None, typer.Option(help="The environment variable that its key is in.")
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="The file that its key is in, readable by you alone.")
    ] = None,
    cost_input: Annotated[
        str | None, typer.Option(help="What it asks for a million input tokens, such as 0.27.")
    ] = None,
    cost_cached_input: Annotated[
        str | None, typer.Option(help="For a million cached ones. (default: as the others)")
    ] = None,
    cost_output: Annotated[
        str | None, typer.Option(help="For a million output tokens, such as 1.10.")
    ] = None,
    cost_request: Annotated[str | None, typer.Option(help="For each request besides.")] = None,
    cost_hour: Annotated[
        str | None,
        typer.Option(help="What an hour of running it costs you, of a server of your own."),
    ] = None,
    cost_list: Annotated[
        Path | None,
        typer.Option(help="A dated price list (TOML) with its source, in place of costs."),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="Of costs, and of prices: three letters (ISO 4217).")
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="The plan it is sold under. (default: as before)")
    ] = None,
    price_input: Annotated[
        str | None, typer.Option(help="What customers pay for a million input tokens.")
    ] = None,
    price_cached_input: Annotated[
        str | None, typer.Option(help="For a million cached ones. (default: as the others)")
    ] = None,
    price_output: Annotated[str | None, typer.Option(help="For a million output tokens.")] = None,
    place: Annotated[int, typer.Option(help="Those of the lowest place are asked first.")] = 1,
    weight: Annotated[
        int, typer.Option(help="How often it is asked, among those of its place.")
    ] = 1,
    deadline: Annotated[
        str, typer.Option(help="How long an answer, or the next part of a stream, may take.")
    ] = "2m",
    most_output: Annotated[
        int, typer.Option(help="Tokens that are held for an answer whose request sets no bound.")
    ] = 4096,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="A tokenizer.json that counts tokens where the upstream does not."),
    ] = None,
    deidentify: Annotated[
        str | None,
        typer.Option(
            help="Personal data that is replaced before it leaves, and put back in the answer: all,"
            " none, or some of email,phone,card,iban,id,uscc,plate,passport,ssn,ip. (default: as "
            "before; at first none)"
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sell what a server of others answers: any that speaks OpenAI's API.

    The product is made where it is new; several upstreams may answer for one, in their order. The
    key stays where it is, and is never shown.
    """
    base = base_of(upstream)
    costs = costs_of(currency, cost_input, cost_output, cost_cached_input, cost_request, cost_hour)
    if cost_list is not None:
        if costs is not None:
            raise ConfigError(
                _("What it asks is in the list or said here, not both."),
                remedy=_("Leave --cost-list out, or the costs."),
            )
        costs = price_list.read(cost_list, model)
        currency = currency or costs.currency
    declared = Upstream(
        product=name,
        name=called or name_of(base),
        url=base,
        model=model,
        secret=Secret.at(secret_env, secret_file),
        place=place,
        weight=weight,
        deadline_seconds=parse_duration(deadline),
        most_output=most_output,
        tokenizer="" if tokenizer is None else str(tokenizer.absolute()),
        costs=costs,
    )
    prices = TokenPrices(price_input, price_output, price_cached_input, currency)
    kinds = None if deidentify is None else kinds_of(deidentify)
    with opened(home, make=True) as app:
        done = app.language.add(declared, plan=plan, prices=prices, deidentify=kinds)
    (stands,) = [each for each in done["upstreams"] if each["name"] == declared.name]
    if stands["costs"] is None:
        warn(_("What it asks is not said, so what it costs you is not known."))
    elif costs is not None and costs.dated is not None:
        _warn_if_old(costs.dated)
    try:
        Secret(stands["secret"]).read()
    except ConfigError as error:
        warn(_("{reason} The server needs it.", reason=error.message))
    _warn_if_mixed(done["upstreams"])
    if as_json:
        emit(done)
        return
    line(name)
    say(_("Customers ask it at POST /v1/chat/completions, once a server runs: mintage serve"))


@product.command("show")
def show(name: Name, *, home: Home = None, as_json: Json = False) -> None:
    """List a product's upstreams in the order in which they are asked, and its plan."""
    with opened(home) as app:
        found = app.language.show(name)
    if as_json:
        emit(found)
        return
    table(
        (_("upstream"), _("model"), _("place"), _("weight"), _("asks for input, output"), _("key")),
        [_row(each) for each in found["upstreams"]],
    )
    for each in found["upstreams"]:
        costs = each["costs"] or {}
        if "source" in costs:
            say(
                _(
                    "{upstream} asks what {source} said on {dated}.",
                    upstream=each["name"],
                    source=costs["source"],
                    dated=costs["dated"],
                )
            )
            _warn_if_old(costs["dated"])
        if each["deidentify"]:
            said = ", ".join(each["deidentify"])
            say(_("{upstream} gets placeholders for {kinds}.", upstream=each["name"], kinds=said))
    _warn_if_mixed(found["upstreams"])
    say(_("Sold under the plan {plan}.", plan=found["plan"]))


@product.command("remove")
def remove(
    name: Name,
    upstream: Annotated[str, typer.Argument(help="The upstream's name, as show has it.")],
    *,
    home: Home = None,
) -> None:
    """Have an upstream answer no more. What it answered stays recorded."""
    with opened(home) as app:
        app.language.remove(name, upstream)
    say(_("{upstream} answers for {product} no more.", upstream=upstream, product=name))


def _warn_if_mixed(upstreams: Sequence[dict[str, Any]]) -> None:
    """Personal data that one of them is not to get may go to the next."""
    replaced = {kind for each in upstreams for kind in each["deidentify"]}
    for each in upstreams:
        missing = sorted(replaced - set(each["deidentify"]))
        if missing:
            warn(
                _(
                    "{upstream} gets personal data that others of this product do not: {kinds}.",
                    upstream=each["name"],
                    kinds=", ".join(missing),
                )
            )


def _warn_if_old(dated: str) -> None:
    days = (SystemClock().now().date() - date.fromisoformat(dated)).days
    if days > price_list.STALE_DAYS:
        warn(
            _(
                "The price list is of {dated}, {days} days ago: look at its source.",
                dated=dated,
                days=days,
            )
        )


def costs_of(
    currency: str | None,
    input_: str | None,
    output: str | None,
    cached: str | None = None,
    request: str | None = None,
    hour: str | None = None,
) -> Costs | None:
    """What was said that tokens, and an hour, cost; None where nothing was.

    Raises:
        ConfigError: a cost without a currency, or no cost at all.
    """
    if all(each is None for each in (input_, output, cached, request, hour)):
        return None
    if currency is None:
        raise ConfigError(
            _("A cost needs a currency."), remedy=_("Say --currency, such as --currency USD.")
        )
    return Costs(currency, input_ or "0", output or "0", cached, request or "0", hour)


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    costs = each["costs"]
    asks = "" if costs is None else f"{costs['input']}, {costs['output']} {costs['currency']}"
    if costs is not None and "hour" in costs:
        asks += "; " + _("{amount} an hour", amount=costs["hour"])
    secret = each["secret"] or _("none")
    return (each["name"], each["model"], str(each["place"]), str(each["weight"]), asks, str(secret))
