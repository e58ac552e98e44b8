"""A folder of class folders: ``photos/cats/1.jpg``, ``photos/dogs/2.jpg``."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError
from mintage.core.types import SourceListing
from mintage.sources.listing import ListingBuilder, is_hidden, refuse_splits


class FolderSource:
    """The label is the first folder's name; folders below it do not matter."""

    name = "folder"

    def matches(self, location: Path) -> bool:
        """Whether it is a folder."""
        return location.is_dir()

    def list(
        self, location: Path, *, label: str, endings: frozenset[str], unsupported: frozenset[str]
    ) -> SourceListing:
        """List the examples below ``location``; ``label`` belongs to tables.

        Raises:
            DataError: it holds no class folders, or folders of splits.
        """
        del label
        root = location.resolve()
        classes = sorted(
            path.name
            for path in root.iterdir()
            if path.is_dir() and not path.is_symlink() and not is_hidden(PurePosixPath(path.name))
        )
        if not classes:
            raise DataError(
                f"{location} holds no class folders.",
                remedy="Put the examples of each class into a folder named after it.",
            )
        refuse_splits(classes, lambda name: {p.name for p in (root / name).iterdir() if p.is_dir()})
        builder = ListingBuilder(endings, unsupported)
        for name in classes:
            builder.add_class(name)
        for folder, folders, files in os.walk(root):
            for name in [*folders, *files]:
                self._add(builder, root, Path(folder) / name, is_file=name in files)
        return builder.listing()

    def _add(self, builder: ListingBuilder, root: Path, path: Path, *, is_file: bool) -> None:
        relative = PurePosixPath(path.relative_to(root).as_posix())
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            builder.skip(str(relative), "a symbolic link that leads out of the folder")
        elif is_file and path.exists():
            builder.add(relative, path.read_bytes)
        elif path.is_symlink():
            builder.skip(str(relative), "a symbolic link that is not followed")
