"""Capture: what each answer earned and cost."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.capture.books.economics import Earned
from mintage.capture.books.rendering import amount_text
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, say, table
from mintage.core.messages import _
from mintage.core.money import Money


def economics(
    *,
    period: Annotated[str, typer.Option(help="The month: 2026-11.")],
    by: Annotated[
        str | None,
        typer.Option(help="Add up by customer, product or model; several with commas."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What each customer's use of each model version earned and cost in a month.

    Revenue is what the month comes to by its plans, before tax; cost is what answering was
    measured to compute, at what an hour costs you (MINTAGE_COMPUTE_COST, such as '0.05 EUR').
    """
    with opened(home) as app:
        found = app.billing.economics(period, [] if by is None else by.split(","))
    if as_json:
        emit([each.to_json() for each in found])
        return
    rows = [
        (
            each.customer,
            each.product,
            f"{each.model}@{each.model_version}" if each.model else "",
            f"{each.calls:,}",
            f"{each.charged_calls:,}",
            amount_text(Money.rounded(each.revenue, each.currency).amount, each.currency),
            "" if each.cost is None else f"{float(each.cost):,.4f}",
            "" if each.margin is None else f"{float(each.margin):.1%}",
        )
        for each in found
    ]
    heads = (_("customer"), _("product"), _("model"), _("calls"), _("charged"), _("revenue"))
    table((*heads, _("cost"), _("margin")), rows, numbers=5)
    if found and all(each.cost is None for each in found):
        say(_costs(found))


def _costs(found: list[Earned]) -> str:
    seconds = sum(each.compute_seconds for each in found)
    return _(
        "Answers computed for {seconds:,.1f} s. With MINTAGE_COMPUTE_COST='0.05 {currency}', what "
        "an hour of one processor costs you, there are cost and margin too.",
        seconds=seconds,
        currency=found[0].currency,
    )
