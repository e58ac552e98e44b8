"""Get: a public set, downloaded, checked and collected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.collecting import Got
from mintage.cli.collecting import conflicting
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, facts, say
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.units import format_size
from mintage.datasets import public


def get(
    name: Annotated[str, typer.Argument(help="The public set: pets.")] = "",
    *,
    source: Annotated[
        Path | None, typer.Option("--from", help="Its file, where you have it already.")
    ] = None,
    dataset: Annotated[
        str, typer.Option("--name", "-n", help="The dataset's name. (default: the set's)")
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="Show the sets and end.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Download a public set of photographs, check it against its digest, and collect it.

    Interrupted, it goes on with the next call; a set that is there already is found again.
    """
    if listed:
        _show_sets(as_json=as_json)
        return
    if not name:
        raise ConfigError(
            _("Which public set is not said."), remedy=_("See them with: mintage get --list")
        )
    wanted = public.find(name)
    with opened(home, make=True) as app:
        say(_("{title}: {what}", title=wanted.title, what=wanted.what))
        say(_("licence: {licence}", licence=wanted.licence))
        size = format_size(wanted.file.size)
        if source is None:
            say(_("from: {address} ({size})", address=wanted.file.addresses[0], size=size))
        else:
            say(_("from: {source}", source=source))
        got = app.create.get(
            wanted.file,
            dataset or wanted.name,
            about=wanted.about,
            source=source,
            progress=TerminalProgress(),
        )
        found = app.create.inspect(got.dataset.reference)
    if as_json:
        emit(_document(wanted, got, found))
    else:
        _show(got, found)
        if source is None and got.path.exists():
            say(_("The file stays at {path} ({size}).", path=got.path, size=size))
        say(_("Next: mintage train {name} --time 5m", name=got.dataset.name))


def _document(wanted: public.PublicSet, got: Got, found: dict[str, Any]) -> dict[str, Any]:
    keys = ("dataset", "version", "examples", "skipped", "duplicates", "conflicts")
    return {
        "set": wanted.name,
        "file": str(got.path),
        "sha256": wanted.file.sha256,
        "new": got.new,
        **{key: found[key] for key in keys},
        "classes": {label: sum(each.values()) for label, each in found["classes"].items()},
    }


def _show(got: Got, found: dict[str, Any]) -> None:
    if not got.new:
        say(_("It was collected already."))
    classes = {label: sum(each.values()) for label, each in found["classes"].items()}
    copies = sum(len(each["left_out"]) for each in found["duplicates"])
    facts(
        [
            (_("dataset"), f"{found['dataset']}#{found['version'][:12]}"),
            (_("examples"), f"{found['examples']:,}"),
            *((label, f"{count:,}") for label, count in classes.items()),
            (_("left out, each with its reason"), f"{len(found['skipped']):,}"),
            (_("exact copies, left out"), f"{copies:,}"),
            (_("same picture with two labels, left out"), f"{conflicting(found['conflicts']):,}"),
        ]
    )


def _show_sets(*, as_json: bool) -> None:
    if as_json:
        emit(
            [
                {
                    "name": each.name,
                    "title": each.title,
                    "what": str(each.what),
                    "licence": str(each.licence),
                    "page": each.page,
                    "file": each.file.name,
                    "size": each.file.size,
                    "sha256": each.file.sha256,
                    "addresses": list(each.file.addresses),
                }
                for each in public.SETS
            ]
        )
        return
    for each in public.SETS:
        facts(
            [
                (_("set"), each.name),
                (_("title"), each.title),
                (_("what"), each.what),
                (_("licence"), each.licence),
                (_("page"), each.page),
                (_("file"), f"{each.file.name} ({format_size(each.file.size)})"),
                (_("SHA-256"), each.file.sha256),
                *((_("address"), address) for address in each.file.addresses),
            ]
        )
