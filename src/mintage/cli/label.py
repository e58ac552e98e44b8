"""Label: a local page for unsorted pictures, and what came of it."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.labelling import Labelling, next_command, split_classes
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, table, warn
from mintage.core.messages import Message, _
from mintage.core.units import parse_share
from mintage.create.labelling import LabelSession

_SHOWN = 10


def label(
    folder: Annotated[Path, typer.Argument(help="A folder of unsorted pictures.")],
    *,
    classes: Annotated[
        str, typer.Option(help="What they are to be told apart as: good,scratch.")
    ] = "",
    labeller: Annotated[str, typer.Option(help="Who labels. (default: the system's user)")] = "",
    overlap: Annotated[
        str | None,
        typer.Option(
            help="The share of pictures that every labeller gets, such as 20%. "
            "(default: as before, or none)"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model, pets@latest, whose most doubtful pictures come first."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The labels' file. (default: FOLDER/labels.jsonl)")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page. (default: any free one)")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the page's address.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Label unsorted pictures on a local page: number keys, undo, resume; Ctrl-C ends it."""
    from mintage.api.labelling import serve_labelling  # noqa: PLC0415 - half a second to load

    wanted: dict[str, Any] = {
        "classes": split_classes(classes),
        "labeller": labeller,
        "overlap": None if overlap is None else parse_share(overlap),
        "out": out,
    }
    if model is None:
        session = Labelling().open(folder, **wanted)
    else:
        with opened(home) as app:
            session = app.labelling.open(folder, model=model, **wanted)
    try:
        _say_found(session)
        serve_labelling(
            session,
            port=port,
            following=next_command(session),
            on_started=lambda people, browser: _say_started(people, browser, opens=not no_browser),
        )
        found = session.summary()
    finally:
        session.close()
    if as_json:
        emit(found | {"next": next_command(session)})
        return
    _show(found)
    say(_("Next: {command}", command=next_command(session)))


def _say_found(session: LabelSession) -> None:
    for note in session.journal.notes:
        warn(note)
    if session.changed:
        warn(
            _(
                "Changed since labelled, so asked about again: {count:,} (the first: {first}).",
                count=len(session.changed),
                first=session.changed[0],
            )
        )
    if session.gone:
        warn(
            _(
                "Labelled, but not in the folder any more: {count:,} (the first: {first}).",
                count=len(session.gone),
                first=session.gone[0],
            )
        )
    state = session.state()
    say(
        _(
            "Left for {labeller}: {left:,}. Labels go to {path}.",
            left=state["left"],
            labeller=state["labeller"],
            path=session.journal.path,
        )
    )


def _say_started(people: str, browser: str, *, opens: bool) -> None:
    """The address with its token; the browser that is started gets one that works but once."""
    say(_("Page: {address}", address=people))
    say(_("Keep the address to yourself; it holds until Ctrl-C ends this."))
    if opens and _has_display():
        # Some wait for the browser, and the server must answer it meanwhile.
        threading.Thread(target=_open, args=(browser,), daemon=True).start()


def _open(address: str) -> None:
    with suppress(webbrowser.Error):
        webbrowser.open(address)


def _has_display() -> bool:
    """Whether a browser has a screen; without one, some would start in the terminal itself."""
    shows = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in shows)


def _show(found: Mapping[str, Any]) -> None:
    facts(
        [
            (_("labels"), found["labels"]),
            (_("pictures"), f"{found['pictures']:,}"),
            (_("labelled"), f"{sum(found['classes'].values()):,}"),
            *((f"  {name}", f"{count:,}") for name, count in found["classes"].items()),
            (_("without a label yet"), f"{found['unlabelled']:,}"),
            (_("left for {labeller}", labeller=found["labeller"]), f"{found['left']:,}"),
            (_("skipped by {labeller}", labeller=found["labeller"]), f"{found['skipped']:,}"),
            (_("unreadable"), f"{len(found['unreadable']):,}"),
        ]
    )
    _show_agreement(found)
    _show_left_out(_("without a label"), found["undecided"])
    _show_left_out(_("unreadable"), found["unreadable"])


def _show_agreement(found: Mapping[str, Any]) -> None:
    agreement, model = found["agreement"], found["agreement_with_model"]
    if agreement:
        line(
            _(
                "labellers agree on {agreed:.1%} of {units:,} shared pictures, "
                "Krippendorff's alpha {alpha}",
                agreed=agreement["agreed"],
                units=agreement["units"],
                alpha=_index(agreement["alpha"]),
            )
        )
        head = (_("labellers"), _("pictures"), _("agreement"), _("Cohen's kappa"))
        rows = [
            (
                " · ".join(pair["labellers"]),
                f"{pair['units']:,}",
                f"{pair['agreed']:.1%}",
                _index(pair["kappa"]),
            )
            for pair in agreement["pairs"]
        ]
        table(head, rows, numbers=3)
    if found["disagreements"]:
        line(
            _(
                "disagreements: {count:,}; the page resolves them, else the majority counts",
                count=found["disagreements"],
            )
        )
    if model and model["compared"]:
        line(
            _(
                "{model} agreed on {agreed:,} of {compared:,} that it answered",
                model=found["model"],
                agreed=model["agreed"],
                compared=model["compared"],
            )
        )
    if found["model_failure"]:
        warn(_("The model stopped: {reason}", reason=Message(found["model_failure"])))


def _index(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _show_left_out(title: str, listed: Sequence[Mapping[str, str]]) -> None:
    if not listed:
        return
    shown = listed[:_SHOWN]
    table((_("picture"), _("why")), [(each["path"], each["reason"]) for each in shown], title=title)
    if len(listed) > len(shown):
        line(_("… and {count:,} more; --json lists all", count=len(listed) - len(shown)))
