"""A table that is not finished: its rows so far, beside it, and what they are rows of.

While ``scores.csv`` comes it is ``scores.csv.part``, and ``scores.csv.part.json`` says which
source, model and columns it is about; both are gone once it is whole. A process that is killed in
between leaves them, and the same command goes on from the last whole rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mintage.core.errors import ConfigError, NotReady
from mintage.core.files import (
    alone,
    readable_failures,
    sync_folder,
    write_all,
    write_atomic,
)
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.deliver.forms import Cell, Form, Tally

Finish = Callable[[Path, Path], None]
"""Makes of the whole part (the first) what is to take the target's name (the second)."""


@dataclass(frozen=True)
class Purpose:
    """What must be the same for a table to go on; lies beside it as JSON.

    ``source`` is a digest of every path, label and stamp.
    """

    model: str
    bundle: str
    source: str
    columns: tuple[str, ...]
    mintage: str

    @classmethod
    def read(cls, path: Path) -> Purpose | None:
        """What is said there, if it is whole."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**found | {"columns": tuple(found["columns"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, path: Path) -> None:
        """Keep it beside the part."""
        write_atomic(path, json.dumps(asdict(self), ensure_ascii=False).encode())

    def unlike(self, before: Purpose | None) -> Message | None:
        """What another command was about that this one is not."""
        if before is None:
            return _("of what it is, is not known")
        if (before.model, before.bundle) != (self.model, self.bundle):
            return _("it was begun with {model}, this is {now}", model=before.model, now=self.model)
        if before.source != self.source:
            return _("the source has changed since, or is another")
        if before.columns != self.columns:
            return _("it has other columns")
        if before.mintage != self.mintage:
            return _("Mintage {version} began it", version=before.mintage)
        return None


@contextmanager
def unfinished(
    target: Path, purpose: Purpose, form: Form, *, anew: bool, progress: Progress
) -> Iterator[Unfinished]:
    """The part of a table, locked; empty, or with rows of the same purpose.

    ``anew`` lets go of rows of another purpose.

    Raises:
        ConfigError: there are such rows.
        NotReady: another process writes it.
    """
    part = target.with_name(target.name + ".part")
    notes = part.with_name(part.name + ".json")
    with alone(part, notes) as stream:
        if stream is None:
            raise NotReady(
                _("{path} is being written by another process.", path=target),
                remedy=_("Wait until it has ended, then run the same command again."),
            )
        table = Unfinished(target, part, notes, form, stream.fileno())
        if table.size and (other := purpose.unlike(Purpose.read(notes))):
            if not anew:
                raise ConfigError(
                    _("{path} holds the rows of another run: {other}.", path=part, other=other),
                    remedy=_("Finish that one as it was begun, or begin anew with --force."),
                )
            progress.say(_("{path} begins anew: {other}.", path=target, other=other))
            table.cut(0)
        if not table.size:
            purpose.write(notes)
        yield table


class Unfinished:
    """The rows so far, open for more."""

    def __init__(self, target: Path, part: Path, notes: Path, form: Form, descriptor: int) -> None:
        self._target, self._part, self._notes = target, part, notes
        self._form = form
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def recover(self, paths: Sequence[str], step: int) -> Tally:
        """Count the rows that stand there for the first of these paths, and cut the rest.

        They are kept by whole ``step``s, since that many are answered together: what follows is
        then the same as if nothing had been interrupted.
        """
        kept, end = Tally(), 0
        with readable_failures(self._part), self._part.open("rb") as lines:
            waiting = []
            if lines.read(len(self._form.head)) == self._form.head:
                for path in paths:
                    said = self._form.decode(lines.readline())
                    if said is None or said.path != path:
                        break
                    waiting.append(said)
                    if len(waiting) == step or kept.rows + len(waiting) == len(paths):
                        for each in waiting:
                            kept.add(each)
                        waiting.clear()
                        end = lines.tell()
            self.cut(end)
        return kept

    def cut(self, size: int) -> None:
        """Let go of what stands behind."""
        with readable_failures(self._part):
            os.ftruncate(self._descriptor, size)
        self.size = size

    def append(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write these rows; where that fails, none of them stays.

        Raises:
            DependencyDown: the disk is full.
        """
        lines = b"".join(map(self._form.encode, rows))
        data = lines if self.size else self._form.head + lines
        try:
            with readable_failures(self._part):
                write_all(self._descriptor, data)
        except BaseException:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(data)

    def finish(self, finish: Finish | None) -> None:
        """Let the whole table take its name at once; ``finish`` makes it of the rows, if given."""
        with readable_failures(self._target):
            os.fsync(self._descriptor)
            if finish is None:
                self._part.replace(self._target)
            else:
                made = self._part.with_name(self._part.name + ".tmp")
                try:
                    finish(self._part, made)
                    made.replace(self._target)
                finally:
                    made.unlink(missing_ok=True)
                self._part.unlink()
            self._notes.unlink(missing_ok=True)
            sync_folder(self._target.parent)
