"""Feedback: what customers said of answers, for the next dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.cli.collecting import collected_json, show_change, show_some
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table
from mintage.core.messages import _, told
from mintage.create.diff import difference

feedback = typer.Typer(
    help="What customers said of answers: list it, and make examples of it.", no_args_is_help=True
)

_Product = Annotated[str, typer.Argument(help="The product that was asked.")]


@feedback.command("list")
def list_feedback(
    *,
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    all_of_it: Annotated[
        bool, typer.Option("--all", help="Also what is part of a dataset by now.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List what customers said of answers, the oldest first, each with its receipt."""
    with opened(home) as app:
        listed = app.feedback.list(product, waiting=not all_of_it)
        names = {each.id: each.name for each in app.capture.customers.list()}
    if as_json:
        emit([each.to_json() for each in listed])
        return
    rows = [
        (
            each.given_at[:16].replace("T", " "),
            names.get(each.customer, each.customer),
            each.product,
            each.output.get("label") or "–",
            told(_("yes") if each.right else _("no")),
            each.label or "–",
            each.receipt,
            *((each.collected_into or "–",) if all_of_it else ()),
        )
        for each in listed
    ]
    head = (_("when"), _("customer"), _("product"), _("answer"), _("right?"), _("true label"))
    table((*head, _("receipt"), *((_("dataset"),) if all_of_it else ())), rows)


@feedback.command("collect")
def collect(
    product: _Product,
    *,
    into: Annotated[str, typer.Option(help="The dataset that grows: pets or pets#1f9c.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add the pictures with their true labels to a dataset; what is used waits no longer."""
    with opened(home) as app:
        done = app.feedback.collect(product, into, progress=TerminalProgress())
        growth = done.growth
        found = {**app.create.inspect(growth.dataset.reference), **growth.quality}
        change = difference(growth.before, growth.dataset)
    if as_json:
        ways: dict[str, Any] = {"used": done.used, "left": done.left}
        receipts = {way: [each.receipt for each in those] for way, those in ways.items()}
        emit(collected_json(found, change) | receipts)
        return
    show_change(change)
    line(
        _(
            "feedback used: {used:,}, left waiting: {left:,}",
            used=len(done.used),
            left=len(done.left),
        )
    )
    show_some([_("{receipt}: {label}", receipt=e.receipt, label=e.label) for e in done.left])
    say(_("Next: mintage train {name} --time 5m", name=growth.dataset.name))


@feedback.command("export")
def export(
    product: _Product,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the pictures and a labels file, to look at before they are collected."""
    with opened(home) as app:
        labels = app.feedback.export(product, folder)
    if as_json:
        emit({"labels": str(labels)})
        return
    line(str(labels))
    say(
        _(
            "Look at them with: mintage label {folder}; then: mintage collect {labels} --into NAME",
            folder=folder,
            labels=labels,
        )
    )


@feedback.command("remove")
def remove(
    receipt: Annotated[str, typer.Argument(help="The receipt that it was given for.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Forget what was said of one answer, and its picture."""
    with opened(home) as app:
        app.feedback.withdraw(receipt)
    if as_json:
        emit({"removed": receipt})
    else:
        line(_("The feedback for {receipt} is forgotten, with its picture.", receipt=receipt))
