"""A zip of class folders, read without unpacking it: nothing is ever written by its names."""

from __future__ import annotations

import re
import stat
import weakref
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources import damage, listing, tables
from mintage.sources.listing import ListingBuilder, is_hidden, refuse_splits
from mintage.sources.names import entry_names

MOST_ENTRIES = 2_000_000
MOST_RATIO = 1_100
"""Of an entry's bytes to its packed ones: deflate, by its format, ends at 1,032, other methods at a
million. So a whole zip unpacks to no more than so many times what it has itself."""
_DOCUMENT_ENTRIES = {"[Content_Types].xml", "mimetype"}
"""By which a zip is a document: of Office, or of OpenDocument and EPUB."""

_MAGIC = b"PK\x03\x04"
_ENCRYPTED = 0x1
_LEAST_PACKED = 100  # below it a method's own few bytes count more than what it packed
_DRIVE = re.compile("[A-Za-z]:")


def is_cut_short(location: Path) -> bool:
    """Whether it begins or is named like a zip, but has no readable end.

    Raises:
        OSError: it may not be read.
    """
    ending = location.suffix.lower()
    if not location.is_file() or ending in tables.ENDINGS or zipfile.is_zipfile(location):
        return False
    with location.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC or ending == ".zip"


def cut_short(location: Path) -> DataError:
    """The error for such a file."""
    return DataError(
        _("{location} is a zip that is cut short or damaged.", location=location),
        remedy=_("Fetch it again, or unpack it and collect the folder."),
    )


class ZipSource:
    """The label is the first folder's name; one wrapping folder around all is looked through."""

    name = "zip"

    def matches(self, location: Path) -> bool:
        """Whether it is a zip by its content, whatever its name but a table's."""
        return (
            location.is_file()
            and location.suffix.lower() not in tables.ENDINGS
            and zipfile.is_zipfile(location)
        )

    def list(
        self,
        location: Path,
        *,
        label: str,
        endings: frozenset[str],
        unsupported: frozenset[str],
        labelled: bool = True,
    ) -> SourceListing:
        """List the examples; ``label`` belongs to tables.

        Raises:
            DataError: no zip, a document, encrypted, too many entries; or labels are wanted, and
                there are no class folders in it, or folders of splits.
        """
        del label
        archive = _open(location)
        names = entry_names(archive.filelist)
        _refuse_documents(location, names)
        _refuse_encrypted(location, archive)
        builder = ListingBuilder(endings, unsupported, labelled=labelled)
        entries = _unwrapped(_safe_entries(archive, names, builder))
        if labelled:
            _refuse_unsorted(location, entries, builder)
        for path, entry in entries.items():
            if not entry.folder:
                builder.add(path, _Packed(archive, entry.info))
            elif not is_hidden(path):
                builder.add_class(path.parts[0])
        return builder.listing()


@dataclass(frozen=True)
class _Entry:
    info: zipfile.ZipInfo
    folder: bool


@dataclass(frozen=True, slots=True)
class _Packed:
    """Reads one entry."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def __call__(self) -> bytes:
        """Its bytes, counted as they come: the header's size may lie."""
        try:
            with self.archive.open(self.info) as stream:
                data = stream.read(min(listing.MOST_BYTES, self._most()) + 1)
        except damage.ZIP as error:
            raise DataError(_("damaged in the zip ({error})", error=error)) from error
        if len(data) > listing.MOST_BYTES:
            raise DataError(listing.too_large())
        if len(data) > self._most():
            raise DataError(
                _("packed so that it grows more than {ratio:,} times", ratio=MOST_RATIO)
            )
        return data

    def _most(self) -> int:
        return MOST_RATIO * max(self.info.compress_size, _LEAST_PACKED)

    def stamp(self) -> str:
        """The size and checksum that the zip says it has."""
        return f"{self.info.file_size}-{self.info.CRC:08x}"


def _refuse_unsorted(
    location: Path, entries: dict[PurePosixPath, _Entry], builder: ListingBuilder
) -> None:
    classes = {path.parts[0] for path in entries if len(path.parts) > 1}
    visible = {name for name in classes if not is_hidden(PurePosixPath(name))}
    if not visible:
        builder.refuse_if_nothing()
        raise DataError(
            _("{location} holds no class folders.", location=location),
            remedy=_("Zip one folder for each class, named after it."),
        )
    refuse_splits(
        visible,
        lambda name: {p.parts[1] for p in entries if p.parts[0] == name and len(p.parts) > 2},
    )


def _open(location: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(location)
    except damage.ZIP as error:
        raise cut_short(location) from error
    if archive.fp is not None:
        # It is read for as long as its listing is kept; of garbage its file goes first.
        weakref.finalize(archive, archive.fp.close)
    if len(archive.filelist) > MOST_ENTRIES:
        raise DataError(
            _(
                "{location} has more than {most_entries:,} entries.",
                location=location,
                most_entries=MOST_ENTRIES,
            ),
            remedy=_("Unpack it and collect the folder."),
        )
    return archive


def _refuse_documents(location: Path, names: Iterable[str]) -> None:
    if not _DOCUMENT_ENTRIES.isdisjoint(names):
        raise DataError(
            _("{location} is a document, not a zip of class folders.", location=location),
            remedy=_("Zip the folders of pictures, or save a table of their paths as XLSX or CSV."),
        )


def _refuse_encrypted(location: Path, archive: zipfile.ZipFile) -> None:
    # Not ZipInfo.is_dir, which raises for an entry without a name (Python 3.11).
    files = [info for info in archive.filelist if not info.filename.endswith("/")]
    if files and all(info.flag_bits & _ENCRYPTED for info in files):
        raise DataError(
            _("{location} is encrypted.", location=location),
            remedy=_("Unpack it with its password, and collect the folder."),
        )


def _safe_entries(
    archive: zipfile.ZipFile, names: Iterable[str], builder: ListingBuilder
) -> dict[PurePosixPath, _Entry]:
    entries: dict[PurePosixPath, _Entry] = {}
    overlapping = _overlapping(archive)
    for name, info in zip(names, archive.filelist, strict=True):
        path = PurePosixPath(name)
        if not path.parts and not name.endswith("/"):
            builder.skip(name or _("an entry"), _("it has no name"))
        elif path.is_absolute() or ".." in path.parts or _DRIVE.match(name):
            builder.skip(name, _("its name leads out of the archive"))
        elif "\\" in name:
            builder.skip(name, _("its name holds a backslash; zip it again with another program"))
        elif stat.S_ISLNK(info.external_attr >> 16):
            builder.skip(name, _("a symbolic link; zip the file itself"))
        elif info.flag_bits & _ENCRYPTED:
            builder.skip(name, _("it is encrypted; unpack it with its password"))
        elif id(info) in overlapping:
            builder.skip(name, _("damaged in the zip: its data reach into the next entry's"))
        elif path not in entries:
            entries[path] = _Entry(info, name.endswith("/"))
        elif not name.endswith("/"):
            builder.skip(name, _("a second entry of the same name; rename one of them"))
    entries.pop(PurePosixPath(), None)
    return entries


def _overlapping(archive: zipfile.ZipFile) -> set[int]:
    """Entries (by ``id``) that reach into the next: by sharing data a zip of 10 MB holds 281 TB.

    Source: Fifield, A better zip bomb, WOOT 2019.
    """
    ordered = sorted(archive.filelist, key=lambda info: info.header_offset)
    ends = [*(info.header_offset for info in ordered[1:]), archive.start_dir]
    return {
        id(info)
        for info, end in zip(ordered, ends, strict=False)
        if info.header_offset + info.compress_size > end
    }


def _unwrapped(entries: dict[PurePosixPath, _Entry]) -> dict[PurePosixPath, _Entry]:
    """Without the wrapping folder; hidden entries beside it (``__MACOSX``) stay as they are."""
    wrapper = _wrapper(entries)
    if not wrapper:
        return entries
    return {
        path.relative_to(wrapper) if path.parts[0] == wrapper else path: entry
        for path, entry in entries.items()
        if path.parts != (wrapper,)
    }


def _wrapper(paths: Iterable[PurePosixPath]) -> str:
    """The one folder around all class folders, if there is one; a licence may lie beside it."""
    seen = [path for path in paths if not is_hidden(path)]
    tops = {path.parts[0] for path in seen if len(path.parts) > 1}
    deep = any(len(path.parts) > 2 for path in seen)
    return tops.pop() if len(tops) == 1 and deep else ""
