"""Files from elsewhere: a public set by its digest, or the zip that lies at an https address."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from mintage.core.canonical import sha256_hex
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    InputError,
    SignatureMismatch,
    TrustError,
)
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.sources import tables
from mintage.sources.archive import ZipSource, is_cut_short
from mintage.sources.damage import refuse_missing
from mintage.sources.guard import Guard, WebAddress
from mintage.sources.headers import safe_name
from mintage.sources.https import (
    Downloaded,
    Limits,
    PublicFile,
    digest,
    download,
)

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
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

    def __init__(self, folder: Path, guard: Guard | None = None, *, sealed: bool = False) -> None:
        """``guard`` is for tests of a server on loopback; nothing else gives one.

        Into a ``sealed`` workspace nothing is downloaded: it would lie there open.
        """
        self._sealed = sealed
        self._folder = folder
        self._guard = guard or Guard()

    def place(self, file: PublicFile) -> Path:
        """Where a public set's file lies, once it came."""
        return self._folder / file.name

    def located(self, location: str, progress: Progress | None = None) -> Located:
        """The zip at an https address, on this disk; fetched anew only where it has changed.

        It lies under the name that its address ends with, whatever the server calls it.

        Raises:
            ConfigError: not https, or it leads to what is not public.
            DataError: a web page, a table, or anything else that is no zip.
            TrustError: the server's certificate cannot be verified.
            DependencyDown: it does not answer; what came is kept.
        """
        self._refuse_sealed()
        address = WebAddress.parse(location)
        folder = self._folder / sha256_hex(address.url.encode())[:16]
        target = folder / safe_name(unquote(address.target.partition("?")[0]))
        if target.suffix.lower() in tables.ENDINGS:
            raise _no_zip(address.shown)
        try:
            found = download(location, target, guard=self._guard, progress=progress)
        except BaseException:
            with suppress(OSError):  # what came before it failed is kept; an empty folder is not
                folder.rmdir()
            raise
        if found.media_type in _PAGES:
            shutil.rmtree(folder, ignore_errors=True)
            raise DataError(
                _("{url} is a web page, not a file.", url=found.url),
                remedy=_("Give the address of the file itself, to which a button there leads."),
            )
        # One that is cut short goes on: whoever reads it says so.
        if not (ZipSource().matches(found.path) or is_cut_short(found.path)):
            shutil.rmtree(folder, ignore_errors=True)
            raise _no_zip(found.url)
        return Located(found.path, f"{found.name} (https://{address.authority})", found.sha256)

    def fetched(self, file: PublicFile, progress: Progress) -> Path:
        """A public set's file, from the first address that has it; one that is there is used.

        Raises:
            DataError: no address has it.
            SignatureMismatch: the bytes are not the ones that were published.
            DependencyDown: nothing answers; what came is kept.
        """
        self._refuse_sealed()
        *others, last = file.addresses
        for url in others:
            try:
                return self._download(url, file, progress).path
            except (InputError, TrustError, DependencyDown) as error:
                progress.say(_("{reason} The next address is tried.", reason=error.message))
        return self._download(last, file, progress).path

    def _refuse_sealed(self) -> None:
        if self._sealed:
            raise ConfigError(
                _("A sealed workspace downloads nothing: it would lie there open."),
                remedy=_("Download the file yourself, collect it, then delete it."),
            )

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
    refuse_missing(source)
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


def _no_zip(url: str) -> DataError:
    """A table names files by paths: from elsewhere, it would have this machine's read."""
    return DataError(
        _("{url} is not a zip; of what lies at an address, only a zip is collected.", url=url),
        remedy=_(
            "Give the address of a zip of class folders, or download table and "
            "pictures into one folder and collect the table there."
        ),
    )
