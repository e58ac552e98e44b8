"""What lies at a location: which source reads it, and the bytes of each example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mintage.core import contents, registry
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
        DataError: there is nothing there, or no source reads it; or it is a tar or a pickle,
            whatever its name.
    """
    refuse_missing(location)
    refuse_by_content(location)
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


def refuse_by_content(location: Path) -> None:
    """Refuse what is never opened, under any name; a folder is none of it.

    A tar's entries may be links, devices and paths that lead out of where it is unpacked, and the
    standard library's own filter against them was led round (CVE-2025-4517). A pickle is a program.

    Raises:
        DataError: so it is, or it cannot be read.
    """
    if not location.is_file():
        return
    try:
        with location.open("rb") as stream:
            head = stream.read(contents.LOOKED_AT)
    except OSError as error:
        raise unreadable(location, error) from error
    if contents.is_tar(head):
        raise DataError(
            _("{location} is a tar, which is not opened here.", location=location),
            remedy=_("Unpack it yourself and collect the folder, or zip that."),
        )
    if contents.is_pickle(head):
        raise DataError(
            _(
                "{location} is a pickle, which is never opened: it can run whatever code its "
                "author put in.",
                location=location,
            ),
            remedy=_("Save what is in it as pictures in folders, or as a CSV or JSON Lines table."),
        )
    if name := contents.compressed_by(head):
        raise DataError(
            _("{location} is packed with {name}, which is not read.", location=location, name=name),
            remedy=_("Unpack it yourself and collect the folder, or zip that."),
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
