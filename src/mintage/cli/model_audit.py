"""``audit run``, ``report`` and ``due``: models looked over, again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table
from mintage.core.errors import TrustError
from mintage.core.files import write_atomic
from mintage.core.messages import Message, _, current

if TYPE_CHECKING:
    from mintage.app.root import App
    from mintage.create.model_audit.checks import Extent

Out = Annotated[Path | None, typer.Option(help="A file for what was found, signed.")]
Html = Annotated[Path | None, typer.Option(help="A file for the same as a page.")]
Card = Annotated[
    Path | None, typer.Option(help="A file for the model's card with what it gives away.")
]


def run(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer pictures and queries, and not every blob.")
    ] = False,
    eps: Annotated[
        int,
        typer.Option(min=1, max=64, help="By how much the attack may change a value, in 255ths."),
    ] = 4,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Test pictures to attack. (default: 100)")
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(min=2, help="Questions that the attack may ask of each. (default: 1000)"),
    ] = None,
    others: Annotated[
        Path | None,
        typer.Option(
            help="A folder, zip or table of pictures of the same kind that never trained it, for "
            "membership at low false positive rates."
        ),
    ] = None,
    out: Out = None,
    html: Html = None,
    card: Card = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Look a model over and sign what was found; exit 3 where something does not hold.

    Signature, graph, dataset and canary inputs hold or not. How it stands an attack, and whether
    its answers tell what it was trained on, is measured, beside controls.
    """
    with opened(home) as app:
        extent = _extent(quick=quick, eps=eps, examples=examples, queries=queries)
        with TerminalProgress() as progress:
            found = app.model_audits.run(model, extent, progress, others=others)
        _write(app, found, out, html, card)
    if as_json:
        emit(found)
    else:
        _show(found)
        say(
            _(
                "{model} was audited and this is signed and logged as {id}; the next is due on "
                "{day}.",
                model=found["model"],
                id=found["id"],
                day=found["due_at"][:10],
            )
        )
    if not found["passed"]:
        raise typer.Exit(TrustError.exit_status)


def report(
    audit: Annotated[str, typer.Argument(help="A model, for its newest audit; or an audit's id.")],
    *,
    out: Out = None,
    html: Html = None,
    card: Card = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what an audit found, once more."""
    with opened(home) as app:
        found = app.model_audits.find(audit)
        _write(app, found, out, html, card)
    if as_json:
        emit(found)
    else:
        line(f"{found['id']}  {found['model']}  {found['audited_at'][:10]}")
        _show(found)


def _write(
    app: App, found: Mapping[str, Any], out: Path | None, html: Path | None, card: Path | None
) -> None:
    if out is not None:
        write_atomic(out, app.model_audits.signed(found["id"]))
    if html is not None:
        from mintage.create.model_audit.page import render  # noqa: PLC0415 - numerics

        write_atomic(html, render(found, current()).encode())
    if card is not None:
        write_atomic(card, found["card"].encode())


def _extent(*, quick: bool, eps: int, examples: int | None, queries: int | None) -> Extent:
    from mintage.create.model_audit.checks import QUICK, Extent  # noqa: PLC0415 - numerics

    extent = replace(QUICK if quick else Extent(), eps=eps)
    if examples is not None:
        extent = replace(extent, examples=examples)
    return extent if queries is None else replace(extent, queries=queries)


def _show(found: Mapping[str, Any]) -> None:
    from mintage.create.model_audit.words import (  # noqa: PLC0415
        MORE,
        NAMES,
        STATES,
        controls_in_words,
    )

    table(
        (_("check"), _("status"), _("found")),
        [
            (NAMES[each["check"]], STATES[each["status"]], Message(each["found"]))
            for each in found["checks"]
        ],
    )
    if found["membership"] is not None:
        line(controls_in_words(found["membership"]["controls"]))
    if found["membership"] is not None or found["robustness"] is not None:
        line(MORE)


def due(*, home: Home = None, as_json: Json = False) -> None:
    """List what is sold with its last audit and the day on which the next is due."""
    with opened(home) as app:
        standing, now = app.model_audits.due(), app.workspace.now()
    if as_json:
        emit([vars(each) | {"overdue": each.is_overdue(now)} for each in standing])
    elif standing:
        table(
            (_("model"), _("audited"), _("due"), _("state")),
            [
                (
                    each.model,
                    (each.audited_at or "")[:10],
                    (each.due_at or "")[:10],
                    each.in_words(now),
                )
                for each in standing
            ],
        )
    else:
        say(_("No model is sold."))
