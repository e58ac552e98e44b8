"""A labels file as a source: its pictures with the label that stands in the end."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources.labels import is_labels, read_labels
from mintage.sources.listing import ListingBuilder, read_file
from mintage.sources.pictures import locate


class LabelsSource:
    """What ``mintage label`` wrote; paths are relative to the folder that it was about."""

    name = "labels"

    def matches(self, location: Path) -> bool:
        """Whether it is a ``.jsonl`` whose first line says that it is one of ours."""
        return is_labels(location)

    def list(
        self, location: Path, *, label: str, endings: frozenset[str], unsupported: frozenset[str]
    ) -> SourceListing:
        """List the examples by their final label; ``label`` belongs to tables.

        Skipped and evenly disputed pictures, and those that are gone, are listed with the reason;
        those whose bytes changed since say so when they are read.

        Raises:
            DataError: it may not be read, or nothing is labelled in it.
        """
        del label
        labels = read_labels(location)
        folder = location.parent / (labels.header.folder or "")
        builder = ListingBuilder(endings, unsupported)
        for number, reason in labels.faults:
            builder.skip(_("line {number}", number=number), reason)
        decided = False
        for path in labels.book:
            final = labels.book.final(path)
            if final is None:
                continue
            decided = True
            if final.label is None:
                builder.skip(path, final.reason)
                continue
            try:
                file = locate(folder, path)
            except DataError as error:
                builder.skip(path, error.message)
                continue
            builder.add_class(final.label)
            read = partial(_read_unchanged, file, labels.book.sha256(path))
            builder.add_example(PurePosixPath(path), final.label, read)
        if not decided:
            raise DataError(
                _("Nothing is labelled yet in {location}.", location=location),
                remedy=_("Label first: mintage label FOLDER --classes good,scratch"),
            )
        return builder.listing()


def _read_unchanged(file: Path, sha256: str) -> bytes:
    data = read_file(file)
    if sha256_hex(data) != sha256:
        raise DataError(_("changed since it was labelled; label it again"))
    return data
