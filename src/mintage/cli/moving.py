"""Between machines: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, facts, line, say
from mintage.core.messages import Message, _

_IMPORTED = {
    "imported": _("{model} is here, signed by the key {key_id}"),
    "restored": _("{model} was damaged here and is whole again, signed by the key {key_id}"),
    "present": _("{model} is here already, the very same: nothing was done."),
}


def export(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file to write, or its folder. (default: pets-3.mintage, here; of a language "
            "model the folder chats-3)"
        ),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that holds something else.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a verified model as one file, for another machine; the same model, the same bytes.

    A language model is written as a folder, since it is too large for one file.
    """
    with opened(home) as app:
        done = app.moving.export(model, file, force=force, progress=TerminalProgress())
    if as_json:
        emit(done)
        return
    facts(
        [
            (_("model"), done["model"]),
            (_("file") if done["sha256"] else _("folder"), done["path"]),
            (_("bytes"), done["bytes"]),
            *([("SHA-256", done["sha256"])] if done["sha256"] else []),
            (_("signed by key"), done["key_id"]),
        ]
    )
    if done["own_key"]:
        say(
            _(
                "Give the public key by another way than the file: "
                "mintage public-key bundle > publisher.pub"
            )
        )
    else:
        say(_("Its signer's public key, which is not this workspace's, is needed to import it."))
    say(_("There: mintage trust add publisher.pub, then mintage import {path}", path=done["path"]))


def import_model(
    file: Annotated[
        Path,
        typer.Argument(help="What mintage export wrote, such as pets.mintage or a folder."),
    ],
    *,
    allow_older: Annotated[
        bool,
        typer.Option("--allow-older", help="Even if a newer version of it was sold here already."),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take in an exported model: verified first, by the keys that are trusted here; else exit 3."""
    with opened(home, make=True) as app:
        done = app.moving.import_(file, TerminalProgress(), allow_older=allow_older)
    if as_json:
        emit(done)
        return
    shown = _IMPORTED[done["outcome"]]
    line(Message(shown, model=done["model"], key_id=done["key_id"]))
    say(_("Next: mintage publish {model} --product NAME", model=done["model"]))
