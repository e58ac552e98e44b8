"""The evidence of an invoice as one zip, written and read a line at a time.

Whoever reads one has it from a stranger: names are those of a list, each once, and bytes are
counted as they come, whatever the zip says of them.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path as FilePath
from types import TracebackType
from typing import Any, Self

from mintage.capture.chain.evidence import (
    BUNDLE_FILES,
    DATASET_FILES,
    ENTRIES,
    EVENTS,
    HEADS,
    INVOICE,
    KEYS,
    PROOFS,
    RECEIPTS,
    UPSTREAMS,
    Entry,
    Event,
    Proof,
)
from mintage.core.canonical import read_json
from mintage.core.errors import DataError, said_by
from mintage.core.messages import Message, _

_NAME = re.compile(
    r"(invoice|keys|upstreams)\.json|heads/[1-9][0-9]{0,4}\.txt"
    r"|(entries|events|proofs|receipts)\.jsonl"
    r"|plans/[^/\\]{1,80}\.json"
    r"|bundles/[0-9a-f]{64}/(signature|bundle|evaluation)\.json"
    r"|datasets/[0-9a-f]{64}/(signature|card)\.json"
)
_MOST_EXTRA_BYTES = 32
"""Sizes and a place beyond 4 GB (APPNOTE 4.5.3)."""
_MOST_FILES = 10_000
_MOST_BYTES = 64_000_000  # of a file that is read as a whole
_MOST_LINE_BYTES = 1_000_000
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can state
_PORTION_BYTES = 1 << 18
_LEVEL = 1  # of DEFLATE: what paths have in common is found by the lowest, in a third of the time


def archived(
    files: Iterable[tuple[str, bytes]], lines: Mapping[str, Iterable[bytes]]
) -> Iterator[bytes]:
    """The zip, in portions; ``lines`` are those of files that are too large to be held."""
    portions = _Portions()
    with zipfile.ZipFile(portions, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, data in files:
            archive.writestr(_entry(name), data)
            yield portions.taken()
        for name, each in lines.items():
            with archive.open(_entry(name), "w", force_zip64=True) as stream:
                for line in each:
                    stream.write(line)
                    if portions.waiting > _PORTION_BYTES:
                        yield portions.taken()
    yield portions.taken()


class _Portions(io.RawIOBase):
    """What is written to it, to be taken in portions; nothing is ever sought in it."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self.waiting = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Keep it until it is taken."""
        self._written.append(bytes(data))
        self.waiting += len(data)
        return len(data)

    def taken(self) -> bytes:
        """All that was written since it was asked last."""
        found = b"".join(self._written)
        self._written.clear()
        self.waiting = 0
        return found


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o100644 << 16
    return entry


class ArchivedEvidence:
    """The evidence in a zip; implements ``Evidence``. Nothing of it is believed yet.

    Raises (on opening, and as it is read):
        DataError: it is no such zip.
    """

    is_ours = False

    def __init__(self, path: FilePath) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, *_BROKEN) as error:
            raise _refused(_reason(error)) from error
        entries = self._archive.infolist()
        names = [entry.filename for entry in entries]
        self._names, self._asked = frozenset(names), set[str]()
        strange = [name for name in names if not _NAME.fullmatch(name)]
        if strange:
            raise _refused(_("{name!r} does not belong in it", name=strange[0][:80]))
        if len(self._names) != len(names) or len(names) > _MOST_FILES:
            raise _refused(_("it holds a file twice, or too many of them"))
        if any(entry.compress_type not in _PACKED for entry in entries):
            raise _refused(_("a file of it is packed in another way than by DEFLATE"))
        # What a length that was changed swallows, the files behind it too, lies in these.
        if any(len(entry.extra) > _MOST_EXTRA_BYTES or entry.comment for entry in entries):
            raise _refused(_("a file of it has more beside it than its name"))
        if INVOICE not in self._names:
            raise _refused(_("{name} is missing", name=INVOICE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._archive.close()

    @cached_property
    def invoice(self) -> bytes:
        """The file in which the invoice was signed."""
        return self._read(INVOICE)

    @cached_property
    def heads(self) -> Mapping[int, str]:
        """The signed head of each log, by its number."""
        numbers = [int(name[len(HEADS) + 1 : -4]) for name in self._names if name.startswith(HEADS)]
        return {each: self._text(f"{HEADS}/{each}.txt") for each in sorted(numbers)}

    @property
    def has_events(self) -> bool:
        """Whether the events of its lines are held."""
        return EVENTS in self._names

    @cached_property
    def upstreams(self) -> Mapping[str, str]:
        """The models of others that answered, by the digest that events name them with."""
        found = _json(self._read(UPSTREAMS)) if UPSTREAMS in self._names else {}
        return {str(digest): str(name) for digest, name in found.items()}

    def events(self) -> Iterator[Event]:
        """Each event that a line is of."""
        return map(Event.from_line, self._lines(EVENTS))

    def entries(self) -> Iterator[Entry]:
        """What set each plan that a line names, what erased its customer, what began the log."""
        return map(Entry.from_line, self._lines(ENTRIES) if ENTRIES in self._names else ())

    def proofs(self) -> Iterator[Proof]:
        """The place of each event."""
        return map(Proof.from_line, self._lines(PROOFS))

    def receipts(self) -> Iterator[Mapping[str, Any] | None]:
        """The receipt of each event, in an envelope; None of one that was erased."""
        return (None if line == b"null" else _json(line) for line in self._lines(RECEIPTS))

    def plan(self, reference: str) -> bytes | None:
        """The file in which ``gold@2`` was signed."""
        name = f"plans/{reference}.json"
        return self._read(name) if name in self._names else None

    def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """``BUNDLE_FILES`` of the bundle of this digest."""
        return self._folder(f"bundles/{digest}", BUNDLE_FILES)

    def dataset(self, version: str) -> Mapping[str, bytes] | None:
        """``DATASET_FILES`` of the dataset of this version."""
        return self._folder(f"datasets/{version}", DATASET_FILES)

    def unused(self) -> Sequence[str]:
        """What lies in it and was not read; of events that upstreams answered there may be none."""
        return sorted(self._names - self._asked - {KEYS, UPSTREAMS})

    def _folder(self, folder: str, names: Sequence[str]) -> Mapping[str, bytes] | None:
        there = [name for name in names if f"{folder}/{name}" in self._names]
        return {name: self._read(f"{folder}/{name}") for name in there} or None

    def _text(self, name: str) -> str:
        return self._read(name).decode("utf-8", "surrogateescape")

    def _read(self, name: str) -> bytes:
        self._asked.add(name)
        with _readable(), self._archive.open(name) as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _refused(_("{name} is too large", name=name))
        return data

    def _lines(self, name: str) -> Iterator[bytes]:
        if name not in self._names:
            raise _refused(_("{name} is missing", name=name))
        self._asked.add(name)
        # In parts of its own: a zip's `readline` takes as long as all else that is done to a line.
        with _readable(), self._archive.open(name) as stream:
            rest = b""
            while part := stream.read(_PORTION_BYTES):
                *lines, rest = (rest + part).split(b"\n")
                yield from lines
                if len(rest) > _MOST_LINE_BYTES:
                    break
            if rest:
                raise _refused(_("a line of {name} is too long, or has no end", name=name))


_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What ``zipfile`` raises of a zip that is damaged, encrypted, or packed in another way."""


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (OSError, *_BROKEN) as error:
        raise _refused(_reason(error)) from error


def _reason(error: Exception) -> Message:
    return said_by(error) if isinstance(error, OSError) else _("the zip is damaged: {e}", e=error)


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = read_json(data)
    except (ValueError, RecursionError) as error:
        raise _refused(_("a line of it is no JSON")) from error
    if not isinstance(found, dict):
        raise _refused(_("a line of it is no JSON"))
    return found


def _refused(what: str) -> DataError:
    return DataError(
        _("This is not an invoice's evidence: {what}.", what=what),
        remedy=_("Have it made again: mintage invoice evidence NUMBER --out FILE.zip"),
    )
