"""Examples on their way into a dataset: found, read, and told apart by their content."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.parallel import in_order
from mintage.core.ports import BlobStore, Modality
from mintage.core.progress import Progress
from mintage.core.types import NO_COLUMNS, Example, Found, InputSpec, Skipped, SourceListing
from mintage.sources.location import attempt


@dataclass(frozen=True, slots=True)
class Kept:
    """An example whose blob is stored; ``before`` is its line in the version that is grown.

    There is one for each picture of a source: it holds what a manifest and the search for near
    duplicates need, nothing more.
    """

    sha256: str
    path: str
    label: str
    size: tuple[int, int]
    orientation: int
    fingerprint: bytes
    before: Example | None = None
    columns: Mapping[str, str] = field(default_factory=lambda: NO_COLUMNS)


@dataclass(frozen=True)
class Sorted:
    """Examples told apart by content; the two lists are as they stand on a dataset's card."""

    unique: list[Kept]
    duplicates: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]


def check_columns(listing: SourceListing, columns: Collection[str]) -> None:
    """Refuse a column that is not there to be kept.

    Raises:
        DataError: no example has it; a folder's have none.
    """
    there = dict.fromkeys(name for found in listing.examples for name in found.columns)
    for column in columns:
        if column not in there:
            raise DataError(
                _("There is no column {column!r} to keep.", column=column),
                remedy=_("There are: {columns}.", columns=", ".join(there))
                if there
                else _("Only a table has columns besides path and label."),
            )


@dataclass(frozen=True, slots=True)
class Asked:
    """An example as networks are asked about it, one array for each, and its blob's name."""

    sha256: str
    inputs: tuple[NDArray[np.uint8], ...]


def to_be_asked(
    kind: Modality, examples: Sequence[Found], specs: Sequence[InputSpec], progress: Progress
) -> Iterator[tuple[Found, Asked | Skipped]]:
    """Each example as it would be kept, decoded for each of the inputs; nothing is stored."""

    def read(data: bytes) -> Asked:
        kept = kind.ingest(data, fingerprint=False)
        turn = kept.properties.get("orientation")
        inputs = tuple(kind.decode(kept.data, spec, orientation=turn) for spec in specs)
        return Asked(sha256_hex(kept.data), inputs)

    made = in_order(_("Reading"), examples, lambda found: attempt(found, read), progress)
    return zip(examples, made, strict=True)


def store_all(
    blobs: BlobStore,
    kind: Modality,
    listing: SourceListing,
    progress: Progress,
    *,
    strict: bool,
    columns: Collection[str] = (),
) -> tuple[list[Kept], list[Skipped]]:
    """Store the blob of every example that can be read; the others with their reasons.

    Of what a table says besides, ``columns`` are kept.

    Raises:
        DataError: (strict) the first that cannot be read.
    """
    if strict and listing.skipped:
        _refuse(listing.skipped[0])
    kept: list[Kept] = []
    skipped: list[Skipped] = list(listing.skipped)
    sizes: dict[tuple[int, int], tuple[int, int]] = {}  # a camera's pictures share theirs

    def store(found: Found) -> Kept | Skipped:
        result = attempt(found, kind.ingest)
        if isinstance(result, Skipped):
            return result
        digest = sha256_hex(result.data)
        blobs.put(digest, result.data)
        said = {name: text for name, text in found.columns.items() if name in columns}
        about = result.properties
        size = (about["width"], about["height"])
        return Kept(
            digest,
            found.path,
            found.label,
            sizes.setdefault(size, size),
            about["orientation"],
            result.fingerprint,
            columns=said or NO_COLUMNS,
        )

    for result in in_order(_("Reading"), listing.examples, store, progress):
        if isinstance(result, Kept):
            kept.append(result)
        elif strict:
            _refuse(result)
        else:
            skipped.append(result)
    return kept, skipped


def _refuse(skipped: Skipped) -> None:
    raise DataError(
        _("{path}: {reason}.", path=skipped.path, reason=skipped.reason),
        remedy=_("Mend or remove it, or leave --strict out to go on without it."),
    )


def by_content(kept: Sequence[Kept]) -> Sorted:
    """Same bytes and label: one example. Same bytes and two labels: none, listed as conflict.

    Of copies the one that was there before stays, else the first by path.
    """
    # One key after the other, the last first: a tuple for each would be as much as an example.
    ordered = sorted(kept, key=attrgetter("path"))
    ordered.sort(key=lambda example: example.before is None)
    ordered.sort(key=attrgetter("sha256"))
    found = Sorted([], [], [])
    for digest, copies in groupby(ordered, attrgetter("sha256")):
        same = list(copies)
        if len({example.label for example in same}) > 1:
            listed = [{"path": example.path, "label": example.label} for example in same]
            found.conflicts.append({"sha256": digest, "examples": listed})
            continue
        found.unique.append(same[0])
        if len(same) > 1:
            left_out = [example.path for example in same[1:]]
            found.duplicates.append({"kept": same[0].path, "left_out": left_out})
    return found
