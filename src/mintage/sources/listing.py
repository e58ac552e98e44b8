"""What every source shares: which names are hidden, stray, unreadable or an example.

Here, and only here, names become what a manifest holds: Unicode's composed form (NFC), so that
``café`` of a Mac, which decomposes it, and of any other system is one class and one path.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError
from mintage.core.files import read_whole
from mintage.core.messages import _
from mintage.core.types import NO_COLUMNS, Found, Skipped, SourceListing

MOST_BYTES = 200_000_000
"""Of one example; the largest photographs have a quarter of that."""

_HIDDEN_NAMES = {"__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r"}
_ARCHIVES = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
_SURROGATES = re.compile("[\ud800-\udfff]")
# What moves a terminal's cursor or turns its text around: C0, C1, separators, bidi embeddings.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}
_LONGEST_SHOWN = 300


def is_hidden(path: PurePosixPath) -> bool:
    """Whether any part of the path is one that file managers and tools leave behind."""
    return any(part.startswith(".") or part in _HIDDEN_NAMES for part in path.parts)


def well_formed(text: str) -> str:
    """A name as it may be stored and shown: composed (NFC), and nothing that is no character.

    A byte that is not UTF-8 becomes U+FFFD, a control character its picture: ``␊`` for a new line.
    """
    composed = unicodedata.normalize("NFC", _SURROGATES.sub("\ufffd", text))
    return _CONTROLS.sub(_picture, composed)


def _picture(control: re.Match[str]) -> str:
    code = ord(control[0])
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def label_of(name: str) -> str:
    """A class's label: its name composed (NFC), without spaces around it."""
    return well_formed(name).strip()


def name_fault(name: str) -> str:
    """Why a name cannot be used, or ''."""
    if _SURROGATES.search(name):
        return _("its name is not UTF-8; rename it")
    if _CONTROLS.search(name):
        return _("its name holds control characters; rename it")
    return ""


def unsupported_reason(ending: str) -> str:
    """Why a known picture format is left out, and what to do."""
    return _("{format} is not read; convert it to JPEG or PNG", format=ending.lstrip(".").upper())


def too_large() -> str:
    """Why an example above the limit is left out."""
    return _("larger than {megabytes} MB; save it smaller", megabytes=MOST_BYTES // 10**6)


def read_file(path: Path | str) -> bytes:
    """A file's bytes.

    Raises:
        DataError: it is larger than an example may be.
        OSError: it is gone, or may not be read.
    """
    data = read_whole(path, MOST_BYTES)
    if len(data) > MOST_BYTES:
        raise DataError(too_large())
    return data


def file_stamp(path: Path | str) -> str:
    """What changes when a file does: its size and the time of its last change; '' if it is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path's own takes twice as long
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


@dataclass(frozen=True, slots=True)
class FileAt:
    """Reads one file."""

    path: str

    def __call__(self) -> bytes:
        """The file's bytes; errors are those of ``read_file``."""
        return read_file(self.path)

    def stamp(self) -> str:
        """What changes when the file does."""
        return file_stamp(self.path)


@dataclass(frozen=True, slots=True)
class FileBelow:
    """Reads one file of a folder; there is one for each example, so it holds what it must."""

    root: str
    name: str

    def __call__(self) -> bytes:
        """The file's bytes; errors are those of ``read_file``."""
        return read_file(f"{self.root}{os.sep}{self.name}")

    def stamp(self) -> str:
        """What changes when the file does."""
        return file_stamp(f"{self.root}{os.sep}{self.name}")


class ListingBuilder:
    """Sorts entries ``class/…/file`` into examples, skipped ones and what is passed over.

    Where they need not be ``labelled``, a file in no folder is an example as well, of label ''.
    """

    def __init__(
        self, endings: frozenset[str], unsupported: frozenset[str], *, labelled: bool = True
    ) -> None:
        self._endings = endings
        self._unsupported = unsupported
        self._labelled = labelled
        self._examples: list[tuple[Found, str]] = []
        self._skipped: list[Skipped] = []
        self._passed = Counter[str]()
        self._classes: set[str] = set()

    def add_class(self, name: str) -> None:
        """A class is named, whether or not an example of it follows.

        Raises:
            DataError: the name cannot be a label, and labels are wanted.
        """
        if not self._labelled:
            return
        if reason := name_fault(name):
            raise DataError(
                _(
                    "The class folder {name} cannot be used: {reason}.",
                    name=well_formed(name),
                    reason=reason,
                ),
                remedy=_("If it was unpacked from a zip, collect the zip itself."),
            )
        if not label_of(name):
            raise DataError(
                _("A class folder's name is nothing but spaces."), remedy=_("Rename it.")
            )
        self._classes.add(label_of(name))

    def skip(self, path: str, reason: str) -> None:
        """Leave something out, with the reason."""
        shown = well_formed(path)
        if len(shown) > _LONGEST_SHOWN:
            shown = shown[:_LONGEST_SHOWN] + "…"
        self._skipped.append(Skipped(shown, reason))

    def add(self, path: PurePosixPath, read: Callable[[], bytes]) -> None:
        """Sort one file of a folder of class folders."""
        label = path.parts[0] if len(path.parts) > 1 else ""
        if is_hidden(path):
            self._passed["hidden"] += 1
        elif self._labelled and not label:
            self._passed["stray"] += 1
        else:
            self.add_class(label)
            self.add_example(path, label, read)

    def add_example(
        self,
        path: PurePosixPath,
        label: str,
        read: Callable[[], bytes],
        file: str = "",
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Take a file as an example if the modality reads its ending.

        ``file`` tells apart two of one name; without it, how the name is spelled does.
        ``columns`` is what else is said of it.
        """
        ending = path.suffix.rstrip().lower()
        if ending in self._endings:
            if reason := name_fault(str(path)):
                self.skip(str(path), reason)
            else:
                known = sys.intern(label_of(label))  # the same few over and over: a string each
                found = Found(well_formed(str(path)), known, read, columns or NO_COLUMNS)
                self._examples.append((found, file or str(path)))
        elif ending in self._unsupported:
            self.skip(str(path), unsupported_reason(ending))
        elif ending in _ARCHIVES:
            self.skip(str(path), _("an archive inside; unpack it first"))
        else:
            self._passed["stray"] += 1

    def listing(self) -> SourceListing:
        """The result, in an order that does not depend on the file system's.

        Raises:
            DataError: all that might have been an example had to be left out.
        """
        self.refuse_if_nothing()
        examples, again = self._told_apart()
        labelled = {example.label for example in examples}
        return SourceListing(
            examples=tuple(examples),
            skipped=tuple(sorted([*self._skipped, *again], key=lambda skipped: skipped.path)),
            hidden=self._passed["hidden"],
            stray=self._passed["stray"],
            empty_classes=tuple(sorted(self._classes - labelled)),
        )

    def _told_apart(self) -> tuple[list[Found], list[Skipped]]:
        """The examples by path, and those of another file whose path is the same once composed."""
        files: dict[str, str] = {}
        kept, again = [], []
        for found, file in sorted(
            self._examples, key=lambda example: (example[0].path, example[1])
        ):
            if files.setdefault(found.path, file) == file:
                kept.append(found)
            else:
                reason = _("a second file of this name, its accents written otherwise; rename it")
                again.append(Skipped(found.path, reason))
        return kept, again

    def refuse_if_nothing(self) -> None:
        """Say why, where all that might have been an example had to be left out.

        Raises:
            DataError: so it is.
        """
        if self._skipped and not self._examples:
            first = min(self._skipped, key=lambda skipped: skipped.path)
            raise DataError(
                _(
                    "Nothing here can be used ({count:,} left out). {path}: {reason}.",
                    count=len(self._skipped),
                    path=first.path,
                    reason=first.reason,
                ),
                remedy=_("Mend that, then run the same command again."),
            )


def refuse_splits(classes: Iterable[str], inner: Callable[[str], set[str]]) -> None:
    """Refuse a folder of ``train`` and ``test`` folders: they are splits, not classes.

    Raises:
        DataError: every top folder is named like a split and they hold the same folders.
    """
    names = sorted(classes)
    if len(names) < 2 or not all(name.lower() in _SPLIT_NAMES for name in names):
        return
    contents = [inner(name) for name in names]
    if len(set.intersection(*contents)) >= 2:
        raise DataError(
            _("The folders {names} look like splits, not like classes.", names=", ".join(names)),
            remedy=_(
                "Collect one of them ({folder}/…); Mintage draws its own splits.", folder=names[-1]
            ),
        )
