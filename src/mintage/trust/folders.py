"""What lies in a folder that has to be what was signed: each name, and what is wrong with it.

Nothing is ever ignored, no link is followed, and no name passes that another system would read as
another one.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError, SignatureMismatch, said_by
from mintage.core.files import opened_file
from mintage.core.messages import Message, _
from mintage.core.vaults import mounted

_MOST_TOLD = 5
_MOST_SIGNATURE_BYTES = 1 << 26
"""Of a signature: as much as three hundred thousand files take to list."""
_MISSING = _("{name} is missing")
_UNSIGNED = _("{name} is not signed")
_CHANGED = _("{name} was changed")
_LINK = _("{name} is a symbolic link")
_NO_FILE = _("{name} is neither a file nor a folder")
_REMEDY = _("Do not use it: fetch it again from its maker, or make it anew.")


def check_is_folder(folder: Path) -> None:
    """Refuse what is none.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            _("There is no folder {folder}.", folder=folder), remedy=_("Check the path.")
        )


def look(folder: Path, signed: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each name below the folder and what is wrong with it, or ''.

    Only folders that hold a ``signed`` name are entered; another is named once, with a slash.
    """
    parents = {str(parent) for name in signed for parent in PurePosixPath(name).parents}
    return _look(folder, parents)


def _look(folder: Path, parents: set[str], prefix: str = "") -> Iterator[tuple[str, str]]:
    with _readable(prefix or str(folder)), os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_symlink():
                yield name, _LINK
            elif entry.is_file(follow_symlinks=False):
                yield name, ""
            elif not entry.is_dir(follow_symlinks=False):
                yield name, _NO_FILE
            elif name in parents:
                yield from _look(Path(entry.path), parents, f"{name}/")
            else:
                yield f"{name}/", _UNSIGNED


def read(folder: Path, name: str) -> bytes:
    """A file's bytes, if it is a file and no link to one.

    Raises:
        SignatureMismatch: it cannot be read.
    """
    with opened(folder, name) as stream:
        return stream.read()


def read_signature(folder: Path, name: str) -> bytes:
    """A signature's bytes; raises as ``read``, and where nobody would sign so long a list.

    Nothing is known of it yet: whoever lays a file there must not decide how much memory it takes.
    """
    with opened(folder, name) as stream:
        data = stream.read(_MOST_SIGNATURE_BYTES + 1)
    if len(data) > _MOST_SIGNATURE_BYTES:
        raise mismatch(
            _("{name} is larger than {most:,} bytes", name=name, most=_MOST_SIGNATURE_BYTES)
        )
    return data


def hashed(folder: Path, name: str, algorithm: str = "sha256") -> str:
    """A file's digest in hexadecimal, of a file that memory might not hold; raises as ``read``."""
    with opened(folder, name) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@contextmanager
def opened(folder: Path, name: str) -> Iterator[BufferedReader]:
    """A file, opened; raises as ``read``, also where reading it fails later."""
    with _readable(name):
        if mounted(folder / name) is not None and not (folder / name).is_symlink():
            with opened_file(folder / name) as stream:
                yield stream
            return
        # A pipe that was put in its place is not waited for.
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            yield stream


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise mismatch(
            _("{name} cannot be read: {reason}", name=name, reason=said_by(error))
        ) from error


def differences(
    signed: Iterable[str], found: Mapping[str, str], is_same: Callable[[str], bool]
) -> list[Message]:
    """What differs from what was signed, in words, by name.

    ``found`` gives for each name that is there what is wrong with it, or ''; ``is_same`` is asked
    of those that are signed, and there with nothing wrong.
    """
    known, problems = set(signed), []
    for name in sorted({*known, *found}):
        problem = found.get(name, _MISSING)
        if not problem and name not in known:
            problem = _UNSIGNED
        elif not problem and not is_same(name):
            problem = _CHANGED
        if problem:
            problems.append(Message(problem, name=shown(name)))
    return problems


def refuse(subject: str, problems: Sequence[Message]) -> None:
    """Refuse what differs; the first few are named.

    Raises:
        SignatureMismatch: there is anything that differs.
    """
    if problems:
        raise mismatch(
            _(
                "{subject} is not what was signed: {problems}",
                subject=shown(subject),
                problems=_listed(problems),
            )
        )


def _listed(problems: Sequence[Message]) -> Message:
    """The first few, and how many more there are."""
    more = len(problems) - _MOST_TOLD
    listed = problems[0]
    for problem in problems[1:_MOST_TOLD]:
        listed = _("{first}; {second}", first=listed, second=problem)
    return _("{listed}; and {count} more", listed=listed, count=more) if more > 0 else listed


def name_problem(names: Iterable[str]) -> str:
    """What makes the names unsafe or ambiguous on any file system, or ''."""
    seen: dict[str, str] = {}
    for name in names:
        # Windows reads past a dot or a blank at the end: two such names are one file there.
        ends_badly = any(not part or part[-1] in ". " for part in name.split("/"))
        if ends_badly or not name.isprintable() or {"\\", ":"} & {*name}:
            return _("{name!r} is not a plain relative name", name=name)
        # Unicode's canonical caseless matching (chapter 3, D145).
        decomposed = unicodedata.normalize("NFD", name)
        folded = unicodedata.normalize("NFC", decomposed.casefold())
        if folded in seen:
            return _(
                "{first} and {second} would be one file where case does not count",
                first=seen[folded],
                second=name,
            )
        seen[folded] = name
    return ""


def shown(name: str) -> str:
    """A name as it can be printed, whatever it holds."""
    return name if name.isprintable() else repr(name)


def mismatch(what: str) -> SignatureMismatch:
    """What is not what was signed, with the one remedy for it."""
    return SignatureMismatch(_("{what}.", what=what), remedy=_REMEDY)
