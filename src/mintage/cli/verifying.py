"""Verify: a signed thing by itself, or the chain from an invoice to all that it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from mintage.app.verifying import verifying
from mintage.capture.chain.checks import Chain
from mintage.capture.chain.steps import Mark, Step
from mintage.cli.options import Home, Json
from mintage.cli.output import TerminalProgress, emit, line, say, shown, stdout
from mintage.core.errors import ConfigError
from mintage.core.messages import _

_MARKS: dict[Mark, str] = {"holds": "[green]✓[/]", "open": "[yellow]–[/]", "broken": "[red]✗[/]"}


def verify(
    what: Annotated[
        str,
        typer.Argument(
            help="A model (pets@3), a dataset (pets#1f9c), an invoice's number, or the path of "
            "anything signed."
        ),
    ],
    *,
    chain: Annotated[
        bool,
        typer.Option(
            "--chain", help="Of an invoice: walk on to its events, bundles, evaluations and data."
        ),
    ] = False,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            help="A public key to believe, repeatable: receipt.pub, log.pub; or a list of keys: "
            "keys.json. No workspace is needed then. (default: the workspace's keys)"
        ),
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(
            help="Of a folder that another tool signed by OpenSSF Model Signing: its signature. "
            "(default: signature.json or model.sig in it)"
        ),
    ] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="With --chain: a folder of receipts that you kept.")
    ] = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="Of a proof or an export of a log: a tree head you kept, repeatable."),
    ] = None,
    sent: Annotated[
        Path | None, typer.Option("--input", help="Of a receipt: the file that was sent.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Check that something signed is what was signed: every byte, name and file; else exit 3.

    It may be a bundle, a dataset, an invoice, a plan, an evaluation or a receipt; a tree head, a
    proof or an export of the audit log; or a list of keys. With --chain an invoice (its number, its
    signed file, or the evidence that mintage invoice evidence wrote) is followed to the events on
    the log, and to the models and data that answered; – marks what could not be checked: it is not
    held, or no more than the seller's word.
    """
    if receipts is not None and not chain:
        raise ConfigError(
            _("Receipts are compared along the chain."), remedy=_("Add --chain, or leave them out.")
        )
    for option, given in (("--signature", signature), ("--head", head), ("--input", sent)):
        if chain and given:
            raise ConfigError(
                _("{option} is not for a chain.", option=option),
                remedy=_("Leave it out, or check the thing by itself, without --chain."),
            )
    with verifying(home, key or ()) as verifier:
        for note in verifier.notes:
            say(note)
        if chain:
            _show_chain(verifier.chain(what, receipts), as_json=as_json)
            return
        with TerminalProgress() as progress:
            found = verifier.verify(
                what, progress, signature=signature, heads=head or (), sent=sent
            )
    if as_json:
        emit(dict(found.document))
        return
    line(found.said)
    if found.document.get("key_id"):
        say(_("Signed by the key {key_id}.", key_id=found.document["key_id"]))
    for note in found.notes:
        say(note)


def _show_chain(chain: Chain, *, as_json: bool) -> None:
    unchecked = [str(each.said) for each in chain.root.open()]
    if as_json:
        found = {"holds": chain.broken is None, "chain": chain.root.to_json()}
        if chain.broken is not None:
            error = chain.broken
            found["error"] = {"code": error.code, "message": str(error.message)}
        emit({**found, "not_checked": unchecked})
        if chain.broken is not None:
            raise typer.Exit(chain.broken.exit_status)
        return
    stdout.print(_drawn(chain.root, Tree(_labelled(chain.root))))
    if chain.broken is not None:
        raise chain.broken
    if unchecked:
        say(
            _(
                "What was checked holds. Not checked (marked –), since what shows it is not held, "
                "or is no more than the seller's word: {count}.",
                count=len(unchecked),
            )
        )
    else:
        say(_("The whole chain holds."))


def _drawn(step: Step, branch: Tree) -> Tree:
    for each in step.steps:
        _drawn(each, branch.add(_labelled(each)))
    return branch


def _labelled(step: Step) -> str:
    return f"{_MARKS[step.mark]} {escape(shown(step.said))}"
