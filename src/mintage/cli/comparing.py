"""Create, side by side: what is different between two datasets, which of two models is better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.cli.collecting import show_some
from mintage.cli.evaluating import measured_on
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, table, warn
from mintage.core.messages import Message, _
from mintage.create.words import parts_of

_SHOWN = 10


def diff(
    before: Annotated[str, typer.Argument(help="A dataset: pets#1f9c.")],
    after: Annotated[
        str | None, typer.Argument(help="Another one. (default: the newest of that name)")
    ] = None,
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what was added, removed, relabelled or moved to another split between two datasets."""
    with opened(home) as app:
        found = app.create.diff(before, after)
    if as_json:
        emit(found)
    else:
        _show_difference(found)


def _show_difference(found: Mapping[str, Any]) -> None:
    line(_("{before} → {after}", before=_short(found["before"]), after=_short(found["after"])))
    if found["before"] == found["after"]:
        line(_("They are the same."))
        return
    line()
    columns = {
        "before": _("before"),
        "added": _("added"),
        "removed": _("removed"),
        "relabelled_to": _("relabelled to it"),
        "relabelled_from": _("relabelled from it"),
        "after": _("after"),
        "moved": _("moved to another split"),
    }
    rows = [
        (label, *(counts[column] for column in columns))
        for label, counts in found["classes"].items()
    ]
    table((_("class"), *columns.values()), rows, numbers=len(columns))
    line()
    for name, sentence in (("added", _added), ("removed", _removed)):
        show_some([sentence(each) for each in found[name]])
    show_some([_relabelled(each) for each in found["relabelled"]])
    show_some([_moved(each) for each in found["moved"]])
    if found["renamed"]:
        line(_("{renamed:,} have another path, with the same content.", renamed=found["renamed"]))


def _short(reference: str) -> str:
    name, __, version = reference.partition("#")
    return f"{name}#{version[:12]}"


def _added(each: Mapping[str, Any]) -> Message:
    return _("added: {path} ({label})", path=each["path"], label=each["label"])


def _removed(each: Mapping[str, Any]) -> Message:
    return _("removed: {path} ({label})", path=each["path"], label=each["label"])


def _relabelled(each: Mapping[str, Any]) -> Message:
    return _("relabelled: {path} ({before} → {after})", path=each["path"], **each["label"])


def _moved(each: Mapping[str, Any]) -> Message:
    split = {side: parts_of(None)[name] for side, name in each["split"].items()}
    return _("moved: {path} ({before} → {after})", path=each["path"], **split)


def compare(
    first: Annotated[str, typer.Argument(help="A model: pets@1.")],
    second: Annotated[str, typer.Argument(help="Another one: pets@2.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder, zip or table. (default: test data that neither has seen)"),
    ] = None,
    label: Annotated[str, typer.Option(help="A table's column with the label.")] = "label",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say which of two models is better on the same examples, and whether that may be chance."""
    with opened(home) as app:
        measured = app.create.compare(
            first, second, data=data, label=label, progress=TerminalProgress()
        )
    for skipped in measured["skipped"][:_SHOWN]:
        reason = Message(skipped["reason"])
        warn(_("left out {path}: {reason}", path=skipped["path"], reason=reason))
    if measured["left_out"]["seen"] is None:
        warn(
            _(
                "A model's dataset is not in this workspace: whether these examples trained it "
                "is not known."
            )
        )
    if as_json:
        emit(measured)
    else:
        _show_comparison(measured)


def _show_comparison(measured: Mapping[str, Any]) -> None:
    line(measured_on(measured["data"]))
    if seen := measured["left_out"]["seen"]:
        line(_("left out: {seen:,} examples that trained or chose one of the two", seen=seen))
    if near := measured["left_out"]["near_duplicates"]:
        line(_("left out: {near:,} near duplicates of others among them", near=near))
    line()
    rows = [
        (
            each["model"],
            f"{each['accuracy']:.1%}",
            _("{low:.1%} to {high:.1%}", low=each["interval"][0], high=each["interval"][1]),
        )
        for each in measured["models"]
    ]
    table((_("model"), _("right"), _("95 % interval")), rows, numbers=2)
    line()
    first, second = (each["model"] for each in measured["models"])
    counts = [
        (_("both right"), measured["both_right"]),
        (_("only {model} right", model=first), measured["only_first_right"]),
        (_("only {model} right", model=second), measured["only_second_right"]),
        (_("both wrong"), measured["both_wrong"]),
        (_("all"), measured["examples"]),
    ]
    table((_("examples"), ""), counts, numbers=1)
    line()
    low, high = measured["difference_interval"]
    line(
        _(
            "{second} minus {first}: {difference:+.1f} points "
            "(95 % interval {low:+.1f} to {high:+.1f})",
            second=second,
            first=first,
            difference=100 * measured["difference"],
            low=100 * low,
            high=100 * high,
        )
    )
    line(measured["in_words"])
