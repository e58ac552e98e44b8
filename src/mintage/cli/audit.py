"""The audit log: show, verify, prove, export, head; witness and cosigned; audits of models."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mintage.app.auditing import Entry, Wanted
from mintage.app.root import App
from mintage.app.witnessing import NAME
from mintage.cli.model_audit import due, report, run
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table, warn
from mintage.core.clock import timestamp
from mintage.core.errors import ConfigError, LogForked
from mintage.core.messages import Message, _, plural, told
from mintage.trust.audit import Checked

audit = typer.Typer(
    help="The audit log: what happened, and that nobody rewrote it; and audits of models.",
    no_args_is_help=True,
)
audit.command()(run)
audit.command()(report)
audit.command()(due)
_MOST_SHOWN = 100
_DIGEST = re.compile("[0-9a-f]{64}")
_("The audit log {origin} is frozen: {reason}")  # as the log itself says it, where it finds so


class _Aloud(logging.Handler):
    """Says warnings in the reader's language."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say one."""
        warn(told(record.getMessage()))


@contextmanager
def _opened(home: Path | None, *, make: bool = False) -> Iterator[App]:
    """The workspace; what its log finds wrong with itself meanwhile is said to people."""
    logger, handler = logging.getLogger("mintage.trust"), _Aloud(logging.WARNING)
    logger.addHandler(handler)
    try:
        with opened(home, make=make) as app:
            yield app
    finally:
        logger.removeHandler(handler)


@audit.command()
def show(
    *,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only of this kind, such as key.revoked; repeatable.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this operator did.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From this day or moment on: 2026-11-27, or with T14:00.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or moment, in UTC.")] = None,
    first: Annotated[
        int | None, typer.Option("--from", min=0, help="From this position on.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what was logged, the oldest first; without any choice the newest 100."""
    chosen = any(each is not None for each in (kind, actor, since, until, first, last))
    wanted = Wanted(
        kinds=kind or (),
        actor=actor,
        since=None if since is None else _moment(since),
        until=None if until is None else _moment(until),
        first=first,
        last=last if chosen or as_json else _MOST_SHOWN,
    )
    with _opened(home) as app:
        found = list(app.auditing.show(wanted))
    if as_json:
        emit([entry.to_json() for entry in found])
    elif found:
        table((_("position"), _("at"), _("kind"), _("done by"), _("what")), map(_row, found))
    else:
        say(_("Nothing of that is logged."))


def _row(entry: Entry) -> Sequence[object]:
    shown = ", ".join(
        f"{name}: {_short(value)}"
        for name, value in entry.record.items()
        if value not in (None, "")
    )
    return (entry.position, (entry.at or "")[:19], entry.kind, entry.actor or "", shown)


def _short(value: object) -> str:
    """As people read it: of a digest its beginning; ``--json`` has all of it."""
    if isinstance(value, str):
        return f"{value[:12]}…" if _DIGEST.fullmatch(value) else value
    return json.dumps(value, ensure_ascii=False)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            _("Not a day or a moment: {text!r}.", text=text[:50]),
            remedy=_("Write it as 2026-11-27, or 2026-11-27T14:00, in UTC."),
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@audit.command()
def verify(
    *,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="A tree head that was kept elsewhere, repeatable: it must still hold."),
    ] = None,
    begin_anew: Annotated[
        bool,
        typer.Option(
            "--begin-anew", help="Freeze a log that is damaged, and begin another that says so."
        ),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Hash every record again, and hold the whole against every signed head; else exit 3.

    Only heads that were kept where this log's owner cannot reach them show that the log was not
    made anew as a whole, or cut short.
    """
    with _opened(home) as app, TerminalProgress() as progress:
        found = app.auditing.verify(head or (), progress)
        current = found[-1]
        anew = begin_anew and current.fault is not None
        if anew:
            app.auditing.begin_anew(current)
    faults = [each.fault for each in found if each.fault is not None]
    if as_json:
        emit({"logs": [each.to_json() for each in found], "begun_anew": anew})
    else:
        for each in found:
            line(_finding(each))
            if each.erased:
                line(
                    _(
                        "Of these {count} were erased with their customers; erasures that are "
                        "logged account for just these.",
                        count=each.erased,
                    )
                )
        for fault in faults:
            warn(str(fault))
        if anew:
            say(_("The damaged log is frozen, and another goes on in its place."))
    if faults:
        raise typer.Exit(LogForked.exit_status)


def _finding(checked: Checked) -> Message:
    values = {
        "origin": checked.log.origin,
        "records": checked.entries,
        "signed": checked.size,
        "frozen": (checked.log.frozen_at or "")[:19],
        "reason": Message(checked.log.reason or ""),
    }
    if checked.fault is not None and checked.is_frozen:
        one = _("{origin}: damaged behind one record; frozen {frozen}: {reason}")
        many = _("{origin}: damaged behind {records} records; frozen {frozen}: {reason}")
    elif checked.fault is not None:
        one = _("{origin}: damaged behind one record, of {signed} signed.")
        many = _("{origin}: damaged behind {records} records, of {signed} signed.")
    elif checked.is_frozen:
        one = _("{origin}: its one record is as it was logged; frozen {frozen}: {reason}")
        many = _(
            "{origin}: its {records} records are as they were logged; frozen {frozen}: {reason}"
        )
    else:
        one = _("{origin}: one record is as it was logged; {signed} signed.")
        many = _("{origin}: {records} records are as they were logged, {signed} of them signed.")
    return plural(checked.entries, one, many, **values)


@audit.command()
def prove(
    what: Annotated[
        str | None,
        typer.Argument(help="A position, or the id of a receipt.", show_default=False),
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE|FILE",
            help="That the log still begins with what it was, at a size or by a kept head.",
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print a proof, as JSON, that anybody can check: docs/formats/audit-log.md says how."""
    del as_json  # it is JSON anyway; what is wrong is said as JSON where it is asked for
    if (what is None) == (since is None):
        raise ConfigError(
            _("Either an entry is proved, or what the log was."),
            remedy=_("Give a position or the id of a receipt; or --since with a size or a file."),
        )
    with _opened(home) as app:
        if what is not None:
            emit(app.auditing.prove(what))
        elif since is not None:
            emit(app.auditing.prove_since(since))


@audit.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the whole log to a file, for an auditor who would not run our code.

    Records say who did what: it is for whoever may know that, so only you can read the file.
    """
    if file.exists():
        raise ConfigError(
            _("{path} is there already.", path=file), remedy=_("Name a file that is not.")
        )
    with _opened(home) as app:
        count, head = app.auditing.export(file)
    if as_json:
        emit({"path": str(file), "entries": count, "head": head.note})
    else:
        one, many = _("{path}: one entry"), _("{path}: {count} entries")
        line(plural(count, one, many, path=file, count=count))


@audit.command()
def witness(
    head: Annotated[Path, typer.Argument(help="A tree head of another's log.")],
    *,
    log_key: Annotated[Path, typer.Option(help="That log's public key (PEM).")],
    proof: Annotated[
        Path | None,
        typer.Option(help="What mintage audit prove --since SIZE printed there, for a newer head."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="What this witness is called, such as witness.example.com/w1.")
    ] = NAME,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Cosign a head of another's log, if it continues what was seen of it here before.

    The first head of a log is taken as it is. Give the note that is printed back to the log's
    owner; the key for it is what mintage public-key witness prints here.
    """
    with _opened(home, make=True) as app:
        note = app.witnessing.witness(head, log_key, proof, name)
    if as_json:
        emit({"witness": name, "note": note})
    else:
        line(note.rstrip())


@audit.command()
def cosigned(
    note: Annotated[Path, typer.Argument(help="The head that a witness gave back, signed by it.")],
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            help="The witness's public key (PEM). (default: the witnesses that are trusted here)"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the witness is called. (default: as it says)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Keep what witnesses said of a head of this log, and give it to whoever asks for the head."""
    with _opened(home) as app:
        found = app.witnessing.take(note, key, name)
    said = [
        {"witness": each.name, "key_id": each.key_id, "cosigned_at": timestamp(each.at)}
        for each in found
    ]
    if as_json:
        emit(said)
    for each in [] if as_json else said:
        line(_("{witness} signed this head at {cosigned_at}.", **each))


@audit.command("head")
def print_head(*, home: Home = None, as_json: Json = False) -> None:
    """Print the signed tree head over all that is logged by now: keep it somewhere else."""
    with _opened(home) as app:
        found = app.auditing.head()
    if as_json:
        emit(
            {
                "origin": found.origin,
                "size": found.size,
                "root": found.root.hex(),
                "note": found.note,
            }
        )
    else:
        line(found.note.rstrip())
