"""A folder of class folders: ``photos/cats/1.jpg``, ``photos/dogs/2.jpg``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError, said_by
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources.damage import unreadable
from mintage.sources.listing import FileBelow, ListingBuilder, is_hidden, refuse_splits


class FolderSource:
    """The label is the first folder's name; folders below it do not matter."""

    name = "folder"

    def matches(self, location: Path) -> bool:
        """Whether it is a folder."""
        return location.is_dir()

    def list(
        self,
        location: Path,
        *,
        label: str,
        endings: frozenset[str],
        unsupported: frozenset[str],
        labelled: bool = True,
    ) -> SourceListing:
        """List the examples below ``location``; ``label`` belongs to tables.

        Raises:
            DataError: it may not be read; or labels are wanted, and it holds no class folders, or
                folders of splits.
        """
        del label
        root = location.resolve()
        builder = ListingBuilder(endings, unsupported, labelled=labelled)
        with _readable(location):
            top = _folders(root)
        if labelled:
            self._add_classes(builder, location, top)
        unreadable: list[OSError] = []
        for folder, folders, files in os.walk(root, onerror=unreadable.append):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in [*links, *files]:
                self._add(builder, root, Path(folder) / name)
        for error in unreadable:
            relative = PurePosixPath(Path(error.filename).relative_to(root).as_posix())
            if not is_hidden(relative):
                builder.skip(
                    str(relative),
                    _("a folder that cannot be read: {reason}", reason=said_by(error)),
                )
        return builder.listing()

    def _add_classes(self, builder: ListingBuilder, location: Path, folders: set[str]) -> None:
        classes = sorted(name for name in folders if not is_hidden(PurePosixPath(name)))
        if not classes:
            linked = any(path.is_symlink() and path.is_dir() for path in location.iterdir())
            raise DataError(
                _("{location} holds no class folders.", location=location),
                remedy=_(
                    "Links to folders are not followed. Copy what they lead to, or list the files "
                    "in a table of paths and labels."
                )
                if linked
                else _("Put the examples of each class into a folder named after it."),
            )
        with _readable(location):
            refuse_splits(classes, lambda name: _folders(location / name))
        for name in classes:
            builder.add_class(name)

    def _add(self, builder: ListingBuilder, root: Path, path: Path) -> None:
        relative = PurePosixPath(path.relative_to(root).as_posix())
        reason = _why_not(path, root)
        if reason and not is_hidden(relative):
            builder.skip(str(relative), reason)
        else:
            builder.add(relative, FileBelow(str(root), str(relative)))


@contextmanager
def _readable(location: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(location, error) from error


def _folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and not path.is_symlink()}


def _why_not(path: Path, root: Path) -> str:
    """Why it is not read, or ''; to open a named pipe would be to wait for ever."""
    try:
        if path.is_symlink():
            if not path.resolve().is_relative_to(root):
                return _("a symbolic link that leads out of the folder; copy the file instead")
            return "" if path.is_file() else _("a symbolic link that is not followed")
        mode = path.stat().st_mode
    except OSError as error:
        return _("cannot be read: {reason}", reason=said_by(error))
    except RuntimeError:  # Path.resolve before Python 3.13
        return _("a symbolic link that leads to itself")
    return "" if stat.S_ISREG(mode) else _("not a regular file")
