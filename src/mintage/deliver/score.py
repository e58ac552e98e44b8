"""Files in bulk: every picture of a source answered by one model, a row each, and resumed.

Rows come in the order of their paths. Pictures are decoded in parallel, answered ``BATCH`` at a
time and written as they come, so that what is in memory of them does not grow with their number.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.canonical import sha256_hex
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.core.parallel import in_order
from mintage.core.ports import Provider
from mintage.core.progress import Progress
from mintage.core.types import Answer, Found, Skipped, SourceListing
from mintage.core.version import __version__
from mintage.deliver.forms import Cell, CsvForm, Form, JsonLinesForm, Said, columns
from mintage.deliver.unfinished import Purpose, unfinished
from mintage.sources.listing import well_formed
from mintage.sources.location import attempt, list_source, stamp_of

BATCH = 32
"""Pictures answered together: always the same ones, however often the run was interrupted."""

_Input = Found | Skipped


@dataclass(frozen=True)
class Work:
    """What is to be scored, and by what; ``labels`` are the model's, in their order.

    ``label`` is a table's column with the true label; None is ``label``, where there is one.
    """

    provider: Provider
    labels: tuple[str, ...]
    location: Path
    label: str | None = None

    @property
    def model(self) -> str:
        """``name@version``."""
        return f"{self.provider.info.model}@{self.provider.info.version}"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A picture, decoded; or why it is not."""

    sha256: str | None
    pixels: NDArray[np.uint8] | None
    error: str | None


def score(
    work: Work, target: Path, *, force: bool, progress: Progress, clock: Clock
) -> dict[str, Any]:
    """Write a row for each picture of the source to ``target``, and count them.

    A run that was interrupted goes on where it was. ``force`` replaces what is there: a whole
    table, or the rows of another run.

    Raises:
        ConfigError: no ending of ours; a table, or rows of another run, are there already.
        DataError: no source reads the location, or no picture is there.
        DependencyDown: the disk is full (the rows so far stay), or pyarrow is not installed.
        NotReady: another process writes the same table.
    """
    form, finish = _form(target)
    _check_target(target, force=force)
    source, listing = _listed(work)
    inputs: list[_Input] = sorted([*listing.examples, *listing.skipped], key=attrgetter("path"))
    names = columns(work.labels, true_label=_has_labels(listing, work.labels))
    bundle = work.provider.info.bundle_digest
    purpose = Purpose(work.model, bundle, _digest(inputs), names, __version__)
    with unfinished(target, purpose, form(names), anew=force, progress=progress) as table:
        tally = table.recover([well_formed(each.path) for each in inputs], BATCH)
        resumed, total = tally.rows, len(inputs)
        if resumed:
            progress.say(
                _(
                    "{path} goes on after {done:,} of {total:,} rows.",
                    path=target,
                    done=resumed,
                    total=total,
                )
            )
        try:
            for rows in _answered(work, inputs[resumed:], _Pace(progress, clock, resumed)):
                table.append([[row[name] for name in names] for row in rows])
                for row in rows:
                    tally.add(_said(row))
        except KeyboardInterrupt:
            progress.say(
                _(
                    "{done:,} of {total:,} rows are kept. Run the same command again to go on.",
                    done=tally.rows,
                    total=total,
                )
            )
            raise
        table.finish(None if finish is None else partial(finish, columns=names))
    return {
        "model": work.model,
        "source": source,
        "path": str(target),
        **tally.to_json(),
        "resumed": resumed,
        "hidden": listing.hidden,
        "stray": listing.stray,
    }


def _form(target: Path) -> tuple[Callable[[Sequence[str]], Form], Callable[..., None] | None]:
    """How the rows are written, and what makes the table of them, if they are not it already."""
    match target.suffix.lower():
        case ".csv":
            return CsvForm, None
        case ".jsonl":
            return JsonLinesForm, None
        case ".parquet":
            from mintage.deliver.parquet import write_parquet  # noqa: PLC0415 - has an extra

            return JsonLinesForm, write_parquet
    raise ConfigError(
        _("{path} is no name for a table of scores.", path=target),
        remedy=_("Give it the ending .csv, .jsonl or .parquet."),
    )


def _check_target(target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise ConfigError(
            _("There is no folder {folder}.", folder=target.parent),
            remedy=_("Make it first: mkdir -p {folder}", folder=shlex.quote(str(target.parent))),
        )
    if not os.path.lexists(target):
        return
    if not target.is_file():
        raise ConfigError(
            _("{location} is not a regular file.", location=target),
            remedy=_("Name another file with --out."),
        )
    if not force:
        raise ConfigError(
            _("{path} is there already.", path=target),
            remedy=_("Name another file, or replace this one with --force."),
        )


def _listed(work: Work) -> tuple[str, SourceListing]:
    kind = registry.modalities().get(work.provider.info.modality)
    source, listing = list_source(work.location, kind, work.label or "label", labelled=False)
    if not listing.examples:
        raise DataError(
            _("Nothing readable was found in {location}.", location=work.location),
            remedy=_("Check the path."),
        )
    if work.label is not None and not any(found.label for found in listing.examples):
        raise DataError(
            _(
                "{location} says no label in a column {label!r}.",
                location=work.location,
                label=work.label,
            ),
            remedy=_("Name the column that holds the label with --label."),
        )
    return source, listing


def _has_labels(listing: SourceListing, labels: Collection[str]) -> bool:
    """Whether the source says what its pictures are.

    The names of folders are labels where the model knows one of them; else they may be anything,
    and stand in the path all the same.
    """
    said = {found.label for found in listing.examples} - {""}
    return not said.isdisjoint(labels) or any(
        found.label and not found.path.startswith(f"{found.label}/") for found in listing.examples
    )


def _digest(inputs: Sequence[_Input]) -> str:
    """One for all that is there: another once a picture comes, goes or changes."""
    found = hashlib.sha256()
    for each in inputs:
        said = (each.label, stamp_of(each)) if isinstance(each, Found) else (str(each.reason),)
        found.update(json.dumps([each.path, *said]).encode() + b"\n")
    return found.hexdigest()


def _answered(
    work: Work, inputs: Sequence[_Input], progress: Progress
) -> Iterator[list[dict[str, Cell]]]:
    """The rows of each batch; pictures are read and decoded ahead, a bounded number of them."""
    with closing(in_order(_("Scoring"), inputs, partial(_open, work.provider), progress)) as opened:
        pairs = zip(inputs, opened, strict=True)
        while batch := list(islice(pairs, BATCH)):
            pixels = [each.pixels for __, each in batch if each.pixels is not None]
            answers = iter(work.provider.infer(np.stack(pixels)) if pixels else ())
            yield [
                _row(work, found, each, None if each.pixels is None else next(answers))
                for found, each in batch
            ]


def _open(provider: Provider, found: _Input) -> _Opened:
    if isinstance(found, Skipped):
        return _Opened(None, None, found.reason)
    data = attempt(found, bytes)
    if isinstance(data, Skipped):
        return _Opened(None, None, data.reason)
    sha256 = sha256_hex(data)
    try:
        return _Opened(sha256, provider.decode(data), None)
    except DataError as error:
        return _Opened(sha256, None, error.message)


def _row(work: Work, found: _Input, opened: _Opened, answer: Answer | None) -> dict[str, Cell]:
    output = {} if answer is None else answer.output
    chances = output.get("probabilities") or {}
    return {
        "path": well_formed(found.path),
        "label": output.get("label"),
        "probability": output.get("probability"),
        **{f"probability_{label}": chances.get(label) for label in work.labels},
        "unusual": output.get("unusual"),
        "error": None if opened.error is None else str(opened.error),
        "sha256": opened.sha256,
        "model": work.model,
        "true_label": (found.label if isinstance(found, Found) else None) or None,
    }


def _said(row: Mapping[str, Any]) -> Said:
    return Said(row["path"], row["label"], row["unusual"] is True, row["error"] is not None)


class _Pace:
    """Progress that begins where an earlier run ended, and says how many come a second."""

    def __init__(self, progress: Progress, clock: Clock, done: int) -> None:
        self._progress, self._clock, self._done = progress, clock, done
        self._begun = clock.monotonic()

    def start(self, title: str, total: float | None = None) -> None:
        """Begin a stage."""
        self._begun = self._clock.monotonic()
        self._progress.start(title, None if total is None else total + self._done)

    def advance(self, done: float, note: str = "") -> None:
        """So many of this run are finished."""
        seconds = self._clock.monotonic() - self._begun
        if seconds > 0:
            note = _("{rate:,.0f} a second", rate=done / seconds)
        self._progress.advance(self._done + done, note)

    def finish(self) -> None:
        """End the stage."""
        self._progress.finish()

    def say(self, text: str) -> None:
        """One line for people."""
        self._progress.say(text)
