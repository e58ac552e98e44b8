"""What lies at a location: which source reads it, and the bytes of each example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mintage.core import registry
from mintage.core.errors import DataError, said_by
from mintage.core.messages import _
from mintage.core.ports import Modality
from mintage.core.types import Found, Skipped, SourceListing
from mintage.sources import archive
from mintage.sources.damage import refuse_missing, unreadable

Made = TypeVar("Made")


def list_source(
    location: Path, kind: Modality, label: str, *, labelled: bool = True
) -> tuple[str, SourceListing]:
    """The name of the source that reads the location, and what it holds there.

    Not ``labelled``: examples without a label count too.

    Raises:
        DataError: there is nothing there, or no source reads it.
    """
    refuse_missing(location)
    for name in registry.sources():
        source = registry.sources().get(name)
        if source.matches(location):
            listing = source.list(
                location,
                label=label,
                endings=kind.endings,
                unsupported=kind.unsupported,
                labelled=labelled,
            )
            return name, listing
    try:
        if archive.is_cut_short(location):
            raise archive.cut_short(location)
    except OSError as error:
        raise unreadable(location, error) from error
    raise DataError(
        _(
            "{location} is not a folder of class folders, a zip of one, "
            "or a CSV, TSV, JSONL or XLSX table.",
            location=location,
        )
        if labelled
        else _(
            "{location} is not a folder of pictures, a zip of one, "
            "or a CSV, TSV, JSONL or XLSX table of their paths.",
            location=location,
        ),
        remedy=_("See: mintage collect --help"),
    )


def attempt(found: Found, make: Callable[[bytes], Made]) -> Made | Skipped:
    """What is made of the bytes of one example; what cannot be read comes back with its reason."""
    try:
        return make(found.read())
    except DataError as error:
        return Skipped(found.path, error.message)
    except OSError as error:
        return Skipped(found.path, _("cannot be read: {reason}", reason=said_by(error)))


def stamp_of(found: Found) -> str:
    """What changes when the example's bytes do, without reading them; '' where nobody knows."""
    stamp = getattr(found.read, "stamp", None)
    return "" if stamp is None else str(stamp())
