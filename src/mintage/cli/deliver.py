"""Deliver: publish, products, serve."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, stderr, table, warn
from mintage.cli.words import word
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import _


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
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Verify a model and sell it: the product's `stable` points at it from now on."""
    with opened(home) as app:
        done = app.deliver.publish(model, product, price=price, currency=currency)
    for text in done["warnings"]:
        warn(text)
    if as_json:
        emit(done)
        return
    plan = done["plan"]
    line(
        _(
            "{product} → {model}, {price} {currency} per {unit}",
            product=product,
            model=done["model"],
            price=plan["price"],
            currency=plan["currency"],
            unit=word(plan["unit"]),
        )
    )
    say(_("Next: mintage customer add NAME, then mintage serve"))


def products(*, home: Home = None, as_json: Json = False) -> None:
    """List what is sold, and which model answers for it."""
    with opened(home) as app:
        listed = app.deliver.catalogue()
    if as_json:
        emit(listed)
        return
    rows = [
        (
            product["product"],
            product["model"],
            f"{product['plan']['price']} {product['plan']['currency']}",
            word(product["plan"]["unit"]),
        )
        for product in listed
    ]
    table((_("product"), _("model"), _("price"), _("per")), rows)


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Where customers connect.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    operator_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="For /metrics and /docs, on loopback."),
    ] = None,
    home: Home = None,
) -> None:
    """Serve every published product: page, API, health, metering and receipts."""
    from mintage.cli.serving import run_server  # noqa: PLC0415 - half a second to load

    if port and port == operator_port:
        raise ConfigError(
            _("Customers and operator cannot share the port {port}.", port=port),
            remedy=_("Give --port and --operator-port two numbers, or 0 for any free one."),
        )
    with opened(home, host=host, port=port, operator_port=operator_port) as app:
        if not app.deliver.products.list():
            raise RequestError(
                _("Nothing is published yet."),
                remedy=_("Publish a model first: mintage publish pets@latest --product pets"),
            )
        run_server(app, samples=(), trial_key=None, on_started=_say_addresses)


def _say_addresses(customers: str, operator: str) -> None:
    facts(
        [
            (_("page and API"), f"{customers}/"),
            (_("operator"), _("{operator}/docs and {operator}/metrics", operator=operator)),
        ]
    )
    if stderr.is_terminal:  # elsewhere stderr is the log alone
        say(_("A key for a customer: mintage customer add NAME. Ctrl-C ends the server."))
