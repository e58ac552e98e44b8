"""Trust: a text as an upstream gets it, without personal data; how much of that is found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mintage.app import deidentifying
from mintage.cli.options import Json
from mintage.cli.output import emit, line, say, table, warn
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.trust.deidentify.detectors import kinds_of

_MOST_BYTES = 64_000_000
_BY_LINE = (".jsonl", ".ndjson")


def deidentify(
    file: Annotated[
        Path | None, typer.Argument(help="A text, or JSON Lines; - reads standard input.")
    ] = None,
    *,
    kinds: Annotated[
        str,
        typer.Option(
            "--kinds",
            help="What to replace: all, or some of "
            "email,phone,card,iban,id,uscc,plate,passport,ssn,ip.",
        ),
    ] = "all",
    recall: Annotated[
        bool,
        typer.Option("--recall", help="Measure how much is found, in texts that are made for it."),
    ] = False,
    texts: Annotated[
        int,
        typer.Option(
            "--texts", min=deidentifying.FEWEST_TEXTS, max=1_000_000, help="How many of those."
        ),
    ] = 4_000,
    seed: Annotated[int, typer.Option("--seed", help="The same one makes the same texts.")] = 0,
    as_json: Json = False,
) -> None:
    """Print a text with placeholders in place of the personal data that is found in it.

    So an upstream gets it that was declared with --deidentify. What is not found stays.
    """
    if recall == (file is not None):
        raise ConfigError(
            _("Name a file, or say --recall."), remedy=_("See: mintage deidentify --help")
        )
    if recall:
        _show_recall(deidentifying.measured(texts, seed), as_json=as_json)
        return
    chosen = kinds_of(kinds)
    data = _read(file or Path("-"))
    by_line = file is not None and file.suffix.lower() in _BY_LINE
    found = deidentifying.replaced(data, chosen, by_line=by_line)
    if as_json:
        emit({"text": found.text, "replaced": dict(found.counts)})
        return
    sys.stdout.write(found.text)
    sys.stdout.flush()
    said = ", ".join(f"{kind} {count:,}" for kind, count in found.counts.items())
    say(_("replaced: {counts}", counts=said) if said else _("replaced: nothing was found"))


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataError(
            _("{path} cannot be read: {reason}.", path=file, reason=error.strerror or error),
            remedy=_("Name a file that is there and that you may read."),
        ) from error
    if len(data) > _MOST_BYTES:
        raise DataError(
            _("{path} is larger than {megabytes} MB.", path=file, megabytes=_MOST_BYTES // 10**6),
            remedy=_("Split it, and do one part after another."),
        )
    return data


def _show_recall(found: deidentifying.Measured, *, as_json: bool) -> None:
    if as_json:
        emit(found.to_json())
        return
    columns = (
        _("kind"),
        _("language"),
        _("planted"),
        _("found whole"),
        _("95 % interval"),
        _("false alarms"),
    )
    rows = []
    for each in found.recalls:
        low, high = deidentifying.interval_of(each)
        share = each.found / each.planted
        rows.append(
            (
                each.kind,
                each.language,
                f"{each.planted:,}",
                f"{share:.1%}",
                f"{low:.1%}–{high:.1%}",
                f"{each.false_alarms:,}",
            )
        )
    table(columns, rows, numbers=4)
    line()
    line(
        _(
            "In {texts:,} texts that were made for this (seed {seed}), in ways of writing that "
            "were thought of.",
            texts=found.texts,
            seed=found.seed,
        )
    )
    warn(
        _(
            "It says nothing of other ways to write them, nor of names, addresses and dates of "
            "birth, which nobody looks for."
        )
    )
