"""What every source shares: which names are hidden, stray, unreadable or an example."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import Found, Skipped, SourceListing

_HIDDEN_NAMES = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}


def is_hidden(path: PurePosixPath) -> bool:
    """Whether any part of the path is one that file managers and tools leave behind."""
    return any(part.startswith(".") or part in _HIDDEN_NAMES for part in path.parts)


def well_formed(text: str) -> str:
    """The text with a replacement character for each byte of a name that is not UTF-8."""
    return _SURROGATES.sub("\ufffd", text)


def unsupported_reason(ending: str) -> str:
    """Why a known picture format is left out, and what to do."""
    return f"{ending.lstrip('.').upper()} is not read; convert it to JPEG or PNG"


class ListingBuilder:
    """Sorts entries ``class/…/file`` into examples, skipped ones and what is passed over."""

    def __init__(self, endings: frozenset[str], unsupported: frozenset[str]) -> None:
        self._endings = endings
        self._unsupported = unsupported
        self._examples: list[Found] = []
        self._skipped: list[Skipped] = []
        self._passed = Counter[str]()
        self._classes: set[str] = set()

    def add_class(self, label: str) -> None:
        """A class is named, whether or not an example of it follows."""
        self._classes.add(well_formed(label))

    def skip(self, path: str, reason: str) -> None:
        """Leave something out, with the reason."""
        self._skipped.append(Skipped(well_formed(path), reason))

    def add(self, path: PurePosixPath, read: Callable[[], bytes]) -> None:
        """Sort one file of a folder of class folders."""
        if is_hidden(path):
            self._passed["hidden"] += 1
        elif len(path.parts) < 2:
            self._passed["stray"] += 1
        else:
            self.add_class(path.parts[0])
            self.add_example(path, path.parts[0], read)

    def add_example(self, path: PurePosixPath, label: str, read: Callable[[], bytes]) -> None:
        """Take a file as an example if the modality reads its ending."""
        ending = path.suffix.lower()
        named = f"{path}{label}"
        if ending in self._endings and named != well_formed(named):
            self.skip(str(path), _("its name is not UTF-8; rename it"))
        elif ending in self._endings:
            self._examples.append(Found(str(path), label, read))
        elif ending in self._unsupported:
            self.skip(str(path), unsupported_reason(ending))
        else:
            self._passed["stray"] += 1

    def listing(self) -> SourceListing:
        """The result, in an order that does not depend on the file system's."""
        labelled = {example.label for example in self._examples}
        return SourceListing(
            examples=tuple(sorted(self._examples, key=lambda found: found.path)),
            skipped=tuple(sorted(self._skipped, key=lambda skipped: skipped.path)),
            hidden=self._passed["hidden"],
            stray=self._passed["stray"],
            empty_classes=tuple(sorted(self._classes - labelled)),
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
                "Collect one of them ({value}/…); Mintage draws its own splits.", value=names[-1]
            ),
        )
