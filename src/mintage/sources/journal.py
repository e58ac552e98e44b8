"""Writing a labels file: by one process at a time, each line on disk before anything goes on."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from mintage.core.errors import ConfigError, DataError, said_by
from mintage.core.files import failure, readable_failures, sync_folder
from mintage.core.messages import _
from mintage.sources.book import Book
from mintage.sources.decisions import Decision, Header
from mintage.sources.labels import ENDING, begins_like_ours, parse_labels

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Journal:
    """An open labels file, locked; ``header`` is None while it is empty.

    ``notes`` are what its reader should know: lines that say nothing, and one that was cut off.
    """

    def __init__(self, path: Path) -> None:
        """Open or begin the file, and mend what a crash left of its last line.

        Raises:
            ConfigError: its ending is another, it may not be written, or another process writes it.
            DataError: it is there, and none of ours.
        """
        self.path = path
        self.book = Book()
        self.header: Header | None = None
        self.notes: list[str] = []
        self._descriptor = _opened(path)
        try:
            _lock(self._descriptor, path)
            self._recover()
        except BaseException:
            self.close()
            raise

    def _recover(self) -> None:
        with readable_failures(self.path):
            data = self.path.read_bytes()
            try:
                labels = parse_labels(data, self.path)
            except DataError:
                if b"\n" in data or not begins_like_ours(data):
                    raise
                self._cut(len(data), 0)
                return
            faults = labels.faults
            if labels.whole_bytes < len(data):
                self._cut(len(data), labels.whole_bytes)
                faults = faults[:-1]
            elif not data.endswith(b"\n"):
                self._write(b"\n")
            self._end = os.fstat(self._descriptor).st_size
        self.header, self.book = labels.header, labels.book
        self.notes += [_("{path}: {reason}.", path=self.path, reason=said) for __, said in faults]

    def _cut(self, size: int, end: int) -> None:
        """Take away a last line that was never wholly written, so never answered for."""
        os.ftruncate(self._descriptor, end)
        os.fsync(self._descriptor)
        self._end = end
        if size > end:
            self.notes.append(
                _(
                    "A half-written last line ({count} bytes) of {path} was taken away: the "
                    "program or the power had ended in it.",
                    count=size - end,
                    path=self.path,
                )
            )

    def declare(self, header: Header) -> None:
        """Say what is asked of the labellers from now on."""
        if header != self.header:
            is_new = self.header is None
            self._append(header.to_line())
            self.header = header
            if is_new:
                with readable_failures(self.path):
                    sync_folder(self.path.parent)

    def add(self, *decisions: Decision) -> None:
        """Append decisions; they are on disk when this returns, and then in the book.

        Raises:
            DependencyDown: the disk is full; the file is as it was.
        """
        self._append(b"".join(decision.to_line() for decision in decisions))
        for decision in decisions:
            self.book.add(decision)

    def _append(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError as error:
            # A part of a line may be there; the next one must not stand behind it.
            os.ftruncate(self._descriptor, self._end)
            raise failure(error, self.path) from error
        self._end += len(data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file; a second time nothing happens."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _opened(path: Path) -> int:
    if path.suffix.lower() != ENDING:
        raise ConfigError(
            _("A labels file ends in {ending}; {path} does not.", ending=ENDING, path=path),
            remedy=_("Name another file with --out."),
        )
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        raise _not_written(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(
            _("{location} is not a regular file.", location=path),
            remedy=_("Name another file with --out."),
        )
    return descriptor


def _not_written(path: Path, error: OSError) -> ConfigError:
    remedy = (
        _("Keep the labels elsewhere: --out FILE.jsonl")
        if error.errno in _REFUSED
        else _("Name another file with --out.")
    )
    return ConfigError(
        _("{path} cannot be written: {reason}.", path=path, reason=said_by(error)), remedy=remedy
    )


def _lock(descriptor: int, path: Path) -> None:
    """A ``flock``: it ends with the process that holds it, however that ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            _("Another mintage label is writing {path}.", path=path),
            remedy=_(
                "End that one with Ctrl-C first, or keep labels of your own: --out FILE.jsonl"
            ),
        ) from error
    except OSError as error:  # a network file system without locks
        raise _not_written(path, error) from error
