"""Backup and restore: one file that holds a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.app import backup as backups
from mintage.app.backup import Contents
from mintage.app.restore import restore as restore_it
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, facts, line, say
from mintage.core.messages import _, told
from mintage.core.settings import load_settings
from mintage.core.units import format_size


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, such as 2026-11-26.tar.")],
    *,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Put the private signing keys into it too.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Make none: hash every byte of one that is there.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write all that the workspace holds into one file, also while it is served.

    It holds what customers are charged by: keep it where nobody else reads it.
    """
    if check:
        contents = backups.verify(file, TerminalProgress())
    else:
        with opened(home) as app:
            contents = backups.make(
                app.workspace, file, with_keys=with_keys, progress=TerminalProgress()
            )
    if as_json:
        emit({"path": str(file), **contents.to_json()})
        return
    _show(contents)
    if check:
        say(_("Every byte is as it was put there."))
    else:
        line(str(file))


def restore(
    file: Annotated[Path, typer.Argument(help="A backup's file.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a workspace of a backup, in a new folder; never over one that is there.

    With MINTAGE_DATABASE_URL its rows go into that database, which has to be empty; from which
    kind they come does not matter.
    """
    settings = load_settings(home=home)
    done = restore_it(
        file,
        settings.home,
        database_url=settings.database_url,
        seal_key=settings.seal_key,
        progress=TerminalProgress(),
    )
    problems = [each for each in done.findings if each.status == "problem"]
    if as_json:
        findings = [each.to_json() for each in done.findings]
        emit({"home": str(done.home), **done.contents.to_json(), "findings": findings})
    else:
        _show(done.contents)
        say(
            _(
                "{leaves} records are as they were logged, and {transactions} transactions of the "
                "ledger sum to zero.",
                leaves=done.leaves,
                transactions=done.transactions,
            )
        )
        for each in problems:
            say(f"{told(each.check)}: {told(each.found)} {told(each.remedy)}")
        if not done.contents.with_keys:
            say(
                _(
                    "The backup holds no signing keys: put the folder keys back before anything is "
                    "signed there. Without it no tree head is."
                )
            )
        line(str(done.home))
    if problems:
        raise typer.Exit(2)


def _show(contents: Contents) -> None:
    facts(
        [
            (_("made at"), contents.made_at[:19].replace("T", " ")),
            ("Mintage", contents.version),
            (_("rows"), sum(contents.rows.values())),
            (_("files"), sum(name.startswith("files/") for name in contents.digests)),
            (_("size"), format_size(contents.size_bytes)),
            (_("records of the log"), contents.leaves),
            (_("private keys"), _("in it") if contents.with_keys else _("not in it")),
        ]
    )
    if contents.gone:
        say(_("{count} files were gone before they could be read.", count=len(contents.gone)))
