"""Deliver: publish, rollback, products, serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.language import TokenPrices
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, stderr, table, warn
from mintage.cli.products import costs_of
from mintage.cli.tuning import check_options
from mintage.cli.words import word
from mintage.core.errors import ConfigError, RequestError
from mintage.core.machine import available_cores
from mintage.core.messages import Message, _, told
from mintage.core.types import Durability
from mintage.core.units import parse_share


def publish(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    *,
    product: Annotated[str, typer.Option("--product", "-p", help="The name it is sold under.")],
    price: Annotated[
        str | None,
        typer.Option(help="For one answer, such as 0.02. (default: 0.02 EUR, or as before)"),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="Three letters (ISO 4217), with --price. (default: EUR)")
    ] = None,
    explanation_price: Annotated[
        str | None,
        typer.Option(
            help="For one explanation besides, such as 0.05. (default: as before, or included)"
        ),
    ] = None,
    price_input: Annotated[
        str | None, typer.Option(help="Of a language model: for a million input tokens.")
    ] = None,
    price_output: Annotated[
        str | None, typer.Option(help="Of a language model: for a million output tokens.")
    ] = None,
    cost_input: Annotated[
        str | None, typer.Option(help="What a million input tokens cost you, as you reckon.")
    ] = None,
    cost_output: Annotated[
        str | None, typer.Option(help="What a million output tokens cost you, as you reckon.")
    ] = None,
    cost_hour: Annotated[
        str | None,
        typer.Option(help="Of a language model: what an hour of its server costs you."),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="Of a language model: the plan it is sold under. (default: as before)"),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="How many calls each customer may make: 10/second, 600/minute, 50000/day, or "
            "none. (default: as before, or none)"
        ),
    ] = None,
    canary: Annotated[
        str | None,
        typer.Option(
            help="Try it on a share of the customers, such as 5%; the others keep theirs."
        ),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            help="Ask it a share of the calls too, such as 20%; customers get the others' answers."
        ),
    ] = None,
    allow_older: Annotated[
        bool,
        typer.Option("--allow-older", help="Even if the product has sold a newer version already."),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Verify a model and sell it: the product's `stable` points at it from now on.

    A server that runs takes it over without a failed call, as soon as it is loaded and warm.
    """
    with opened(home) as app:
        if app.create.bundles.is_language(model):
            check_options({"price": price, "explanation-price": explanation_price, "rate": rate})
            check_options({"canary": canary, "shadow": shadow})
            app.create.bundles.row(model)  # a path's might not be one of this workspace
            bundle = app.create.bundles.find_language(model)
            sold = app.language.publish(
                bundle,
                product,
                plan=plan,
                prices=TokenPrices(price_input, price_output, None, currency),
                costs=costs_of(currency, cost_input, cost_output, hour=cost_hour),
                allow_older=allow_older,
            )
            warnings = app.publishing.undeclared(bundle.manifest.dataset)
            _show_sold({**sold, "warnings": warnings}, as_json=as_json)
            return
        done = app.publishing.publish(
            model,
            product,
            price=price,
            currency=currency,
            explanation_price=explanation_price,
            rate=rate,
            canary=None if canary is None else parse_share(canary),
            shadow=None if shadow is None else parse_share(shadow),
            allow_older=allow_older,
        )
        has_customers = bool(app.capture.customers.list())
    for text in done["warnings"]:
        warn(text)
    if as_json:
        emit(done)
        return
    offer = done["plan"]
    line(
        _(
            "{product} → {model}, {price} {currency} per {unit}",
            product=product,
            model=_with_share(done),
            price=offer["price"],
            currency=offer["currency"],
            unit=word(offer["unit"]),
        )
    )
    line(_("explanations: {price}", price=_explanation_price(offer)))
    if offer["rate"] is not None:
        line(_("each customer: {rate}", rate=offer["rate"]))
    say(_what_now(done["alias"], has_customers, percent=done["percent"], product=product))


def _show_sold(sold: Mapping[str, Any], *, as_json: bool) -> None:
    """What a language model is sold as, and how it is called."""
    for text in sold["warnings"]:
        warn(text)
    if as_json:
        emit(sold)
        return
    own = sold["upstreams"][0]
    line(
        _(
            "{product} → {model}, under the plan {plan}",
            product=sold["product"],
            model=own["model"],
            plan=sold["plan"],
        )
    )
    if own["costs"] is None:
        warn(_("What it costs you is not said (--cost-hour), so what it earns is not known."))
    say(_("Next: mintage serve, which loads it. Customers ask it at POST /v1/chat/completions."))


def _with_share(done: Mapping[str, Any]) -> str:
    """The version, and how much of the calls it gets where that is not all."""
    if done["alias"] == "stable":
        return str(done["model"])
    return f"{done['model']} ({done['alias']}, {done['percent']} %)"


def _what_now(alias: str, has_customers: bool, **values: Any) -> Message:
    if alias == "shadow":
        return _(
            "{percent} % of the calls are asked of it too; mintage_shadow_total on /metrics "
            "says how its answers compare. Back: mintage rollback {product}",
            **values,
        )
    if alias == "canary":
        return _(
            "{percent} % of the customers get it. For all: the same without --canary; back: "
            "mintage rollback {product}",
            **values,
        )
    if has_customers:
        return _("Next: mintage serve")
    return _("Next: mintage customer add NAME, then mintage serve")


def rollback(
    product: Annotated[str, typer.Argument(help="What is sold under this name.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take the product's last publish back: what answered before answers again.

    Once more goes back further. Prices stay as they are. A server that runs follows within a
    second, and no call fails.
    """
    with opened(home) as app:
        done = app.publishing.rollback(product)
    if as_json:
        emit(done)
        return
    answers = ", ".join(f"{alias} → {model}" for alias, model in done["aliases"].items())
    line(f"{product}: {answers}")
    plan = done["plan"]
    say(
        _(
            "Undone: the publish of {model} as {alias}. The price stays {price} {currency}.",
            model=done["undone"]["model"],
            alias=done["undone"]["alias"],
            price=plan["price"],
            currency=plan["currency"],
        )
    )


def products(*, home: Home = None, as_json: Json = False) -> None:
    """List what is sold, and which model answers for it."""
    with opened(home) as app:
        listed = app.publishing.catalogue()
    if as_json:
        emit(listed)
        return
    rows = [
        (
            product["product"],
            product["model"],
            _beside(product["canary"]),
            _beside(product["shadow"]),
            _prices(product["plan"]),
            _per(product["plan"]),
            _explanation_price(product["plan"]),
            product["plan"]["rate"] or "",
        )
        for product in listed
    ]
    versions = _("stable"), _("canary"), _("shadow")
    table((_("product"), *versions, _("price"), _("per"), _("explanation"), _("rate")), rows)


def _prices(plan: Mapping[str, Any]) -> str:
    """What a unit costs, or each of several."""
    amounts = [each["amount"] for each in plan["prices"].values()] or [plan["price"]]
    return f"{', '.join(amounts)} {plan['currency']}"


def _per(plan: Mapping[str, Any]) -> str:
    """Which units the prices are of, in their order."""
    units = {name: each["per"] for name, each in plan["prices"].items()}
    counted = units or {plan["unit"]: plan["per"]}
    if len(set(counted.values())) > 1:
        return ", ".join(_units([name], per) for name, per in counted.items())
    return _units(counted, next(iter(counted.values())))


def _units(units: Iterable[str], per: int) -> str:
    named = ", ".join(told(word(unit)) for unit in units)
    return named if per == 1 else f"{per:,} × {named}"


def _beside(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['model']} ({found['percent']} %)"


def _explanation_price(plan: Mapping[str, Any]) -> str:
    price = plan["explanation_price"]
    return _("included") if price == "0" else f"{price} {plan['currency']}"


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Where customers connect.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    operator_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="For /metrics and /docs, on loopback."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that answer; 1 for each core is most.")
    ] = 1,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="The certificate's full chain, in PEM; taken anew on change."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, in PEM.")] = None,
    behind_proxy: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS[,ADDRESS]",
            help="A proxy there has TLS; its X-Forwarded headers are believed.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve others than this machine without TLS.")
    ] = False,
    trial: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Free calls a day without a key, for all visitors together. (default: none)",
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Serve every published product: page, API, health, metering and receipts.

    Others than this machine are served with TLS, or behind a proxy that has it.
    """
    from mintage.cli.serving import run_server  # noqa: PLC0415 - half a second to load

    if port and port == operator_port:
        raise ConfigError(
            _("Customers and operator cannot share the port {port}.", port=port),
            remedy=_("Give --port and --operator-port two numbers, or 0 for any free one."),
        )
    most = max(4, 4 * available_cores())
    if workers > most:
        raise ConfigError(
            _(
                "{workers} processes would only slow each other down on {cores} cores.",
                workers=workers,
                cores=available_cores(),
            ),
            remedy=_("Give --workers {most} at most; 1 for each core is best.", most=most),
        )
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "operator_port": operator_port,
        "trial": trial,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "behind_proxy": behind_proxy,
        "insecure": insecure or None,  # None leaves it to MINTAGE_INSECURE
    }
    with opened(home, **settings) as app:
        if not app.products.list():
            raise RequestError(
                _("Nothing is published yet."),
                remedy=_("Publish a model first: mintage publish pets@latest --product pets"),
            )
        for upstream, reason in app.language.without_key():
            warn(
                _(
                    "{reason} Until it is there, {upstream} cannot be asked for {product}.",
                    reason=reason,
                    upstream=upstream.name,
                    product=upstream.product,
                )
            )
        said = partial(_say_addresses, durability=app.settings.durability)
        run_server(app, samples=(), on_started=said, workers=workers)


_DURABILITIES: dict[Durability, Message] = {
    "flush": _("on the disk before its answer leaves"),
    "process": _("recorded before its answer leaves, but a power cut may take it"),
}


def _say_addresses(customers: str, operator: str, *, durability: Durability) -> None:
    facts(
        [
            (_("page and API"), f"{customers}/"),
            (_("operator"), _("{operator}/docs and {operator}/metrics", operator=operator)),
            (_("usage"), _DURABILITIES[durability]),
        ]
    )
    if stderr.is_terminal:  # elsewhere stderr is the log alone
        say(_("A key for a customer: mintage customer add NAME. Ctrl-C ends the server."))
