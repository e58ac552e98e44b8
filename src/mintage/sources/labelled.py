"""A labels file as a source: its pictures with the label that stands in the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources.labels import is_labels, read_labels
from mintage.sources.listing import ListingBuilder, file_stamp, read_file
from mintage.sources.pictures import locate


class LabelsSource:
    """What ``mintage label`` wrote; paths are relative to the folder that it was about."""

    name = "labels"

    def matches(self, location: Path) -> bool:
        """Whether it is a ``.jsonl`` whose first line says that it is one of ours."""
        return is_labels(location)

    def list(
        self,
        location: Path,
        *,
        label: str,
        endings: frozenset[str],
        unsupported: frozenset[str],
        labelled: bool = True,
    ) -> SourceListing:
        """List the examples by their final label; ``label`` belongs to tables.

        Skipped and evenly disputed pictures, and those that are gone, are listed with the reason;
        those whose bytes changed since say so when they are read.

        Raises:
            DataError: it may not be read; or labels are wanted, and nothing is labelled in it.
        """
        del label
        labels = read_labels(location)
        folder = location.parent / (labels.header.folder or "")
        builder = ListingBuilder(endings, unsupported, labelled=labelled)
        for number, reason in labels.faults:
            builder.skip(_("line {number}", number=number), reason)
        decided = False
        for path in labels.book:
            final = labels.book.final(path)
            decided |= final is not None
            if labelled and final is None:
                continue
            if labelled and final is not None and final.label is None:
                builder.skip(path, final.reason)
                continue
            target = (final.label if final else None) or ""
            try:
                file = locate(folder, path)
            except DataError as error:
                builder.skip(path, error.message)
                continue
            builder.add_class(target)
            read = _Unchanged(str(file), labels.book.sha256(path))
            builder.add_example(PurePosixPath(path), target, read)
        if labelled and not decided:
            raise DataError(
                _("Nothing is labelled yet in {location}.", location=location),
                remedy=_("Label first: mintage label FOLDER --classes good,scratch"),
            )
        return builder.listing()


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """Reads a picture, if it is still the one that was labelled."""

    path: str
    sha256: str

    def __call__(self) -> bytes:
        data = read_file(self.path)
        if sha256_hex(data) != self.sha256:
            raise DataError(_("changed since it was labelled; label it again"))
        return data

    def stamp(self) -> str:
        return file_stamp(self.path)
