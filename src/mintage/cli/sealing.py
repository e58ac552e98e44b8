"""Trust: begin a workspace, seal it, exchange its keys, erase a customer."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.app import sealing
from mintage.app.root import App
from mintage.capture.erasing import erasing
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, facts, line, say
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.settings import load_settings
from mintage.store.workspace import DESCRIPTION

Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Where the key-encryption key is: file:PATH, made if it is not there, env:NAME, or "
        "SERVICE:ADDRESS. (default: $MINTAGE_SEAL_KEY, or a file of its own in ~/.config/mintage)",
    ),
]

seal = typer.Typer(
    help="Encrypt all that the workspace holds, or go on where that was cut short.",
    invoke_without_command=True,
)
erase = typer.Typer(help="Erase a customer from a sealed workspace.", no_args_is_help=True)


def init(
    *,
    sealed: Annotated[bool, typer.Option("--seal", help="Encrypt what it will hold.")] = False,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Begin a workspace, which other verbs do by themselves; --seal encrypts it from the start."""
    settings = load_settings(home=home)
    place = settings.home.expanduser() / DESCRIPTION
    if place.exists():
        raise ConfigError(
            _("There is a workspace at {home} already.", home=settings.home),
            remedy=_("Use it as it is, or seal it: mintage seal"),
        )
    if key is not None and not sealed:
        raise ConfigError(_("--key says where the key of a sealed workspace is: add --seal."))
    if sealed or settings.seal_key is not None:
        asked = sealing.usable_key(key or settings.seal_key, settings.home)
        settings = load_settings(home=home, seal_key=asked)
    with App(settings) as app:
        made, reference = app.workspace.home, settings.seal_key
    if as_json:
        emit({"home": str(made), "seal_key": reference})
        return
    line(str(made))
    if reference is not None:
        _warn_of(reference)


@seal.callback()
def seal_all(
    context: typer.Context, *, key: Key = None, home: Home = None, as_json: Json = False
) -> None:
    """Encrypt all that the workspace holds, or go on where that was cut short.

    Nobody else may have it open meanwhile. Afterwards nothing in it opens without the key.
    """
    if context.invoked_subcommand is not None:
        return
    done = sealing.seal_workspace(load_settings(home=home), key, TerminalProgress())
    if as_json:
        emit(done.to_json())
        return
    facts(
        [
            (_("rows"), done.rows),
            (_("files"), done.files),
            (_("blobs"), done.blobs),
            (_("removed, as they lay open"), done.removed),
        ]
    )
    _warn_of(done.key)


@seal.command("rotate")
def rotate(
    *,
    data_keys: Annotated[
        bool, typer.Option("--data-keys", help="Seal under new data keys from now on.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Exchange the key-encryption key, while the workspace is served.

    Only data keys are wrapped anew; nothing else is written.
    """
    with opened(home) as app:
        if data_keys:
            count = sealing.renew(app.workspace)
            if as_json:
                emit({"retired": count})
            else:
                say(_("{count} data keys seal nothing new; what they sealed opens.", count=count))
            return
        done = sealing.rotate(app.workspace)
    if as_json:
        emit(vars(done))
        return
    say(
        _(
            "The key-encryption key {wrapped_by} wraps {count} data keys; the former wraps none.",
            wrapped_by=done.wrapped_by,
            count=done.wrapped,
        )
    )


@erase.command("customer")
def erase_customer(
    customer: Annotated[str, typer.Argument(help="A customer's name or id.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Destroy a customer's data key, and say what the law has you keep. There is no way back."""
    with opened(home) as app:
        done = erasing.erase(app.workspace, customer)
    if as_json:
        emit(done.to_json())
        return
    say(_("{customer} was erased; nothing that was sealed for them opens.", customer=done.customer))
    facts([(name, count) for name, count in done.removed.items()])
    say(
        _(
            "The law has you keep: {invoices} invoices and {credit_notes} credit notes, with the "
            "name on them, and {usage_events} usage events, without it.",
            **done.remains,
        )
    )
    for dataset in done.datasets:
        say(_("Pictures of theirs are part of {dataset}: remove it, or leave it.", dataset=dataset))
    say(_("Backups that were made before still hold all of it, and its key."))


def _warn_of(reference: str) -> None:
    say(_("Sealed. Its key-encryption key is {reference}.", reference=reference))
    say(_("Keep a copy of that key elsewhere: without it nothing here opens, and nobody can help."))
