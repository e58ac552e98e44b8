"""Files from elsewhere: a public set by its digest, or whatever lies at an https address."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from mintage.core import registry
from mintage.core.canonical import sha256_hex
from mintage.core.errors import (
    DataError,
    DependencyDown,
    InputError,
    SignatureMismatch,
    TrustError,
)
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.sources.guard import Guard, WebAddress
from mintage.sources.headers import safe_name
from mintage.sources.https import (
    Downloaded,
    Limits,
    PublicFile,
    digest,
    download,
)
from mintage.sources.tables import PATH_COLUMNS

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LINES = (".jsonl", ".ndjson")
_TEXT_TABLES = (".csv", ".tsv", *_LINES)
_READ = (".zip", ".xlsx", *_TEXT_TABLES)
_ENDINGS = {
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
_PAGES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True)
class Located:
    """A file from an address, ready to be collected; ``source_name`` is for the dataset's card."""

    path: Path
    source_name: str
    sha256: str


def is_address(location: str) -> bool:
    """Whether it is written as an address (``https://…``) and not as a path."""
    return _ADDRESS.match(location) is not None


class Downloads:
    """Downloads into the workspace's folder ``downloads``; what came stays there until swept."""

    def __init__(self, folder: Path, guard: Guard | None = None) -> None:
        """``guard`` is for tests of a server on loopback; nothing else gives one."""
        self._folder = folder
        self._guard = guard or Guard()

    def place(self, file: PublicFile) -> Path:
        """Where a public set's file lies, once it came."""
        return self._folder / file.name

    def located(self, location: str, progress: Progress | None = None) -> Located:
        """The file at an https address, on this disk; fetched anew only where it has changed.

        Raises:
            ConfigError: not https, or it leads to what is not public.
            DataError: a web page, or a table whose pictures lie elsewhere.
            TrustError: the server's certificate cannot be verified.
            DependencyDown: it does not answer; what came is kept.
        """
        address = WebAddress.parse(location)
        folder = self._folder / sha256_hex(address.url.encode())[:16]
        target = folder / safe_name(unquote(address.target.partition("?")[0]))
        found = download(location, target, guard=self._guard, progress=progress)
        if found.media_type in _PAGES:
            shutil.rmtree(folder)
            raise DataError(
                _("{url} is a web page, not a file.", url=found.url),
                remedy=_("Give the address of the file itself, to which a button there leads."),
            )
        path = _with_ending(found)
        if path.suffix.lower() in _TEXT_TABLES:
            _refuse_pictures_elsewhere(path, found.url)
        return Located(path, f"{path.name} (https://{address.authority})", found.sha256)

    def fetched(self, file: PublicFile, progress: Progress) -> Path:
        """A public set's file, from the first address that has it; one that is there is used.

        Raises:
            DataError: no address has it.
            SignatureMismatch: the bytes are not the ones that were published.
            DependencyDown: nothing answers; what came is kept.
        """
        *others, last = file.addresses
        for url in others:
            try:
                return self._download(url, file, progress).path
            except (InputError, TrustError, DependencyDown) as error:
                progress.say(_("{reason} The next address is tried.", reason=error.message))
        return self._download(last, file, progress).path

    def _download(self, url: str, file: PublicFile, progress: Progress) -> Downloaded:
        return download(
            url,
            self.place(file),
            limits=Limits(most_bytes=file.size),
            sha256=file.sha256,
            progress=progress,
            guard=self._guard,
        )


def checked(source: Path, file: PublicFile, name: str, progress: Progress) -> Path:
    """The file that somebody has already, if its bytes are the published ones.

    Raises:
        DataError: it is another file, or none.
        SignatureMismatch: of the same size, but other bytes.
    """
    remedy = _(
        "To use it as it is: mintage collect {source} --name {name}", source=source, name=name
    )
    if not source.exists():
        raise DataError(_("{source} does not exist.", source=source), remedy=_("Check the path."))
    size = source.stat().st_size
    if not source.is_file() or size != file.size:
        raise DataError(
            _(
                "{source} is {got}; expected {file}, {size:,} bytes.",
                source=source,
                got=_("{size:,} bytes", size=size) if source.is_file() else _("not a file"),
                file=file.name,
                size=file.size,
            ),
            remedy=remedy,
        )
    progress.start(_("Checking {name}", name=source.name))
    found = digest(source)
    progress.finish()
    if found != file.sha256:
        raise SignatureMismatch(
            _(
                "{source} is not the file that was published: SHA-256 {found}, expected {sha256}.",
                source=source,
                found=found,
                sha256=file.sha256,
            ),
            remedy=remedy,
        )
    return source


def _with_ending(found: Downloaded) -> Path:
    """The same file under a name that says what it is, where its address does not."""
    if found.path.suffix.lower() in _READ:
        return found.path
    name = found.name
    if PurePosixPath(name).suffix.lower() not in _READ:
        name += _ENDINGS.get(found.media_type, "")
    path = found.path.with_name(name)
    if path != found.path:
        path.unlink(missing_ok=True)
        path.hardlink_to(found.path)
    return path


def _refuse_pictures_elsewhere(path: Path, url: str) -> None:
    """A table may name pictures by paths beside it; beside an address nothing can be looked for."""
    endings = registry.modalities().get("image").endings
    for row in _first_rows(path):
        for column in PATH_COLUMNS:
            named = str(row.get(column) or "")
            if PurePosixPath(named).suffix.lower() in endings:
                raise DataError(
                    _("{url} names pictures that are not in it: {named}.", url=url, named=named),
                    remedy=_(
                        "Give the address of a zip of class folders, or download table and "
                        "pictures into one folder and collect the table there."
                    ),
                )


def _first_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """A row or two; what cannot be read is for the source to explain."""
    with path.open("rb") as stream:
        lines = stream.read(64_000).decode("utf-8-sig", "replace").splitlines()[:3]
    if path.suffix.lower() in _LINES:
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row
    elif lines:
        yield from csv.DictReader(lines, delimiter=max(",;\t", key=lines[0].count))
