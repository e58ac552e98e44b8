"""Unsorted files in a folder, by paths relative to it; none of them leads out of it."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError, said_by
from mintage.core.messages import _
from mintage.core.types import Skipped
from mintage.sources.damage import refuse_missing, unreadable
from mintage.sources.listing import is_hidden, name_fault, unsupported_reason, well_formed


@dataclass(frozen=True)
class Pictures:
    """Relative paths with ``/``, as the disk spells them, and what was left out."""

    paths: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()


def find_pictures(folder: Path, endings: frozenset[str], unsupported: frozenset[str]) -> Pictures:
    """Every file below ``folder`` whose ending the modality reads, hidden ones passed over.

    Raises:
        DataError: it is no folder, or may not be read.
    """
    refuse_missing(folder)
    if not folder.is_dir():
        raise DataError(
            _("{location} is not a folder.", location=folder),
            remedy=_("Name the folder that holds the pictures."),
        )
    root = folder.resolve()
    paths: list[str] = []
    skipped: list[Skipped] = []
    closed: list[OSError] = []
    for relative in _files(root, closed):
        ending = PurePosixPath(relative).suffix.rstrip().lower()
        reason = name_fault(relative)
        if ending in unsupported:
            reason = unsupported_reason(ending)
        elif ending not in endings and not (root / relative).is_dir():
            continue
        if reason := reason or _why_not(root, relative):
            skipped.append(Skipped(well_formed(relative), reason))
        else:
            paths.append(relative)
    for error in closed:
        if Path(error.filename) == root:
            raise unreadable(folder, error)
        reason = _("a folder that cannot be read: {reason}", reason=said_by(error))
        skipped.append(Skipped(well_formed(_relative(root, error.filename)), reason))
    return Pictures(tuple(sorted(paths)), tuple(sorted(skipped, key=lambda each: each.path)))


def _files(root: Path, closed: list[OSError]) -> Iterator[str]:
    """Every file, and every link to a folder, that is not hidden."""
    for inner, folders, files in os.walk(root, onerror=closed.append):
        links = [name for name in folders if (Path(inner) / name).is_symlink()]
        folders[:] = [name for name in folders if not is_hidden(PurePosixPath(name))]
        for name in [*links, *files]:
            if not is_hidden(PurePosixPath(name)):
                yield _relative(root, os.path.join(inner, name))  # noqa: PTH118 - both are text


def _relative(root: Path, path: str) -> str:
    return Path(path).relative_to(root).as_posix()


def _why_not(root: Path, relative: str) -> str:
    try:
        mode = (root / relative).lstat().st_mode
        if stat.S_ISLNK(mode) and (root / relative).is_dir():
            return _("a symbolic link that is not followed")
        if not stat.S_ISREG(mode):
            locate(root, relative)
    except OSError as error:
        return _("cannot be read: {reason}", reason=said_by(error))
    except DataError as error:
        return error.message
    return ""


def locate(folder: Path, relative: str) -> Path:
    """The regular file that a relative path means, once every link is followed.

    Raises:
        DataError: it is not inside the folder, or is none; the message is the reason.
    """
    parts = PurePosixPath(relative)
    if not relative or parts.is_absolute() or ".." in parts.parts:
        raise DataError(_("its path leads out of the folder"))
    try:
        root = folder.resolve()
        found = (root / _spelled(root, relative)).resolve(strict=True)
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DataError(_("no such file in {folder}", folder=folder)) from error
    except OSError as error:
        raise DataError(_("cannot be read: {reason}", reason=said_by(error))) from error
    except RuntimeError as error:  # Path.resolve before Python 3.13
        raise DataError(_("a symbolic link that leads to itself")) from error
    if not found.is_relative_to(root):
        raise DataError(_("a symbolic link that leads out of the folder; copy the file instead"))
    if not stat.S_ISREG(mode):
        raise DataError(_("not a regular file"))
    return found


def _spelled(root: Path, relative: str) -> str:
    """The path as this disk spells it: another system may have composed its accents otherwise."""
    forms = (relative, *(unicodedata.normalize(form, relative) for form in ("NFC", "NFD")))
    return next((form for form in forms if os.path.lexists(root / form)), relative)
