"""A zip of class folders, read without unpacking it: nothing is ever written by its names."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources.listing import ListingBuilder, is_hidden, refuse_splits

MOST_ENTRIES = 2_000_000
MOST_BYTES_AN_ENTRY = 200_000_000
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,  # NotImplementedError of unknown methods among them
    OSError,
    EOFError,
    ValueError,
)
"""What zipfile and its decompressors raise for damaged data; DataError is none of them."""


class ZipSource:
    """The label is the first folder's name; one wrapping folder around all is looked through."""

    name = "zip"

    def matches(self, location: Path) -> bool:
        """Whether it is a zip by its content, whatever its name."""
        return location.is_file() and zipfile.is_zipfile(location)

    def list(
        self, location: Path, *, label: str, endings: frozenset[str], unsupported: frozenset[str]
    ) -> SourceListing:
        """List the examples; ``label`` belongs to tables.

        Raises:
            DataError: no zip, too many entries, or no class folders in it.
        """
        del label
        archive = _open(location)
        builder = ListingBuilder(endings, unsupported)
        entries = _unwrapped(_safe_entries(archive, builder))
        classes = {path.parts[0] for path in entries if len(path.parts) > 1}
        visible = {name for name in classes if not is_hidden(PurePosixPath(name))}
        if not visible:
            raise DataError(
                _("{location} holds no class folders.", location=location),
                remedy=_("Zip one folder for each class, named after it."),
            )
        refuse_splits(
            visible,
            lambda name: {p.parts[1] for p in entries if p.parts[0] == name and len(p.parts) > 2},
        )
        for path, info in entries.items():
            if info.is_dir():
                if not is_hidden(path):
                    builder.add_class(path.parts[0])
            else:
                builder.add(path, partial(_read, archive, info))
        return builder.listing()


def _open(location: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(location)
    except _DAMAGE as error:
        raise DataError(
            _("{location} is not a readable zip: {error}.", location=location, error=error)
        ) from error
    if len(archive.filelist) > MOST_ENTRIES:
        raise DataError(
            _(
                "{location} has more than {most_entries:,} entries.",
                location=location,
                most_entries=MOST_ENTRIES,
            )
        )
    return archive


def _safe_entries(
    archive: zipfile.ZipFile, builder: ListingBuilder
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in archive.filelist:
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename:
            builder.skip(info.filename, _("its name leads out of the archive"))
        elif stat.S_ISLNK(info.external_attr >> 16):
            builder.skip(info.filename, _("a symbolic link"))
        elif info.flag_bits & 1:
            builder.skip(info.filename, _("it is encrypted"))
        elif path in entries:
            builder.skip(info.filename, _("a second entry of the same name"))
        elif path.parts:
            entries[path] = info
    return entries


def _unwrapped(
    entries: dict[PurePosixPath, zipfile.ZipInfo],
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Without the wrapping folder; hidden entries beside it (``__MACOSX``) stay as they are."""
    wrapper = _wrapper(entries)
    if not wrapper:
        return entries
    return {
        path.relative_to(wrapper) if path.parts[0] == wrapper else path: info
        for path, info in entries.items()
        if path.parts != (wrapper,)
    }


def _wrapper(paths: Iterable[PurePosixPath]) -> str:
    """The one folder around all class folders, if there is one."""
    seen = [path for path in paths if not is_hidden(path)]
    tops = {path.parts[0] for path in seen}
    deep = any(len(path.parts) > 2 for path in seen)
    flat = any(len(path.parts) == 1 for path in seen if not deep)
    return tops.pop() if len(tops) == 1 and deep and not flat else ""


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read one entry, counting bytes as they come: the header's size may lie."""
    try:
        with archive.open(info) as stream:
            data = stream.read(MOST_BYTES_AN_ENTRY + 1)
    except _DAMAGE as error:
        raise DataError(_("damaged in the zip ({error})", error=error)) from error
    if len(data) > MOST_BYTES_AN_ENTRY:
        raise DataError(
            _(
                "larger than {most_bytes_an_entry} MB when unpacked",
                most_bytes_an_entry=MOST_BYTES_AN_ENTRY // 10**6,
            )
        )
    return data
