"""The one downloader: a file over https, by way of the guard, resumed, capped and checked.

It stands on the standard library's HTTP client, not on httpx: here one connection goes to one
address that was checked, nothing is pooled, decoded or read from the environment, and the socket
is ours, so that a deadline holds for every byte, headers too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message as Headers
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    NotReady,
    SignatureMismatch,
)
from mintage.core.files import alone, readable_failures, sync_folder
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.units import format_size
from mintage.core.version import __version__
from mintage.core.waiting import asked_to_wait
from mintage.sources.guard import Guard, Pace, WebAddress
from mintage.sources.headers import Notes, content_range

MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 500, 502, 503, 504)
_CHUNK = 1 << 16
_SPARE_BYTES = 64_000_000
_KEPT = _("Run the same command again to go on: what came is kept.")


@dataclass(frozen=True)
class Limits:
    """What a server may cost: bytes, time and patience."""

    most_bytes: int = 10_000_000_000
    connect_seconds: float = 15.0
    stall_seconds: float = 30.0
    stall_bytes: int = 30_000
    """Fewer than this in ``stall_seconds`` is too slow."""
    tries: int = 5
    most_wait_seconds: float = 60.0


@dataclass(frozen=True)
class PublicFile:
    """A file as its publisher describes it; the same bytes lie at each of the addresses."""

    name: str
    size: int
    sha256: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Downloaded:
    """A whole file; ``name`` is what the server, else the address, calls it, made safe."""

    path: Path
    url: str
    sha256: str
    size: int
    name: str
    media_type: str
    new: bool
    """False where the file that was kept from before is still the right one."""


class _Dropped(Exception):
    """The server did not finish; another try may."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_seconds = wait_seconds


def download(
    url: str,
    target: Path,
    *,
    limits: Limits | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Downloaded:
    """Fetch a file to ``target``; one that was begun goes on, one that is there is used.

    While it comes it is ``target`` with ``.part``. A file that is there already is used without
    asking where its digest is the one that is wanted, else if the server says that it has not
    changed. No proxy of the environment is used (see ``guard``).

    Raises:
        ConfigError: not https, or it leads to what is not public.
        DataError: the server has no such file, or one that is too large or packed.
        SignatureMismatch: the digest is another; the file is removed.
        TrustError: the server's certificate cannot be verified.
        DependencyDown: it does not answer, is too slow, or the disk is full; what came is kept.
    """
    address = WebAddress.parse(url)
    if sha256 is not None and target.is_file() and digest(target) == sha256:
        notes = Notes.read(_beside(target), address) or Notes.of(address, Headers())
        return _downloaded(target, address, notes, sha256, new=False)
    job = _Download(
        address, target, sha256, limits or Limits(), guard or Guard(), progress or Silent()
    )
    with _alone(job.part, target.name) as stream:
        try:
            return job.fetch(stream, sleep) or job.keep(stream)
        except KeyboardInterrupt:
            job.progress.say(_("Interrupted. {next_step}", next_step=_KEPT))
            raise


class _Download:
    """One file on its way."""

    def __init__(
        self,
        address: WebAddress,
        target: Path,
        sha256: str | None,
        limits: Limits,
        guard: Guard,
        progress: Progress,
    ) -> None:
        self.address, self.target, self.sha256 = address, target, sha256
        self.part = target.with_name(target.name + ".part")
        self.limits, self.guard, self.progress = limits, guard, progress

    def fetch(self, stream: BinaryIO, sleep: Callable[[float], None]) -> Downloaded | None:
        """Try until the part is whole; or the file that was kept, where it has not changed."""
        for number in range(1, self.limits.tries + 1):
            try:
                return self._try(stream)
            except _Dropped as dropped:
                last = dropped
            wait = 2.0 ** (number - 1) if last.wait_seconds is None else last.wait_seconds
            if wait > self.limits.most_wait_seconds:
                raise DependencyDown(
                    _("{host} asks to wait {wait:.0f} s.", host=self.address.host, wait=wait),
                    remedy=_("Run the same command again after that time."),
                    retry_after_seconds=round(wait),
                ) from last
            if number < self.limits.tries:
                self.progress.say(
                    _("{reason}; trying again in {wait:.0f} s.", reason=last.reason, wait=wait)
                )
                sleep(wait)
        raise DependencyDown(
            _("{url} did not come: {reason}.", url=self.address.shown, reason=last.reason),
            remedy=_(
                "{next_step} Behind a proxy, download it with another program and give its path.",
                next_step=_KEPT,
            ),
        ) from last

    def keep(self, stream: BinaryIO) -> Downloaded:
        """Check the whole part and give it its name."""
        with readable_failures(self.part):
            stream.flush()
            os.fsync(stream.fileno())
        self.progress.start(_("Checking {name}", name=self.target.name))
        found = digest(self.part)
        self.progress.finish()
        if self.sha256 not in (None, found):
            self._discard()
            raise SignatureMismatch(
                _(
                    "{url} is not the file that was published: SHA-256 {found}, expected {sha256}.",
                    url=self.address.shown,
                    found=found,
                    sha256=self.sha256,
                ),
                remedy=_("It was removed. Try again later, or another address."),
            )
        notes = Notes.read(_beside(self.part), self.address)
        with readable_failures(self.target):
            self.part.replace(self.target)
            if notes is not None:
                _beside(self.part).replace(_beside(self.target))
            sync_folder(self.target.parent)
        notes = notes or Notes.of(self.address, Headers())
        return _downloaded(self.target, self.address, notes, found, new=True)

    def _try(self, stream: BinaryIO) -> Downloaded | None:
        """One request for what is missing."""
        start = stream.seek(0, os.SEEK_END)
        begun = Notes.read(_beside(self.part), self.address)
        kept = None
        if self.sha256 is None and self.target.is_file():
            kept = Notes.read(_beside(self.target), self.address)
        headers = {}
        if start and begun is not None and begun.validator:
            headers = {"Range": f"bytes={start}-", "If-Range": begun.validator}
        elif kept is not None and kept.etag:
            headers = {"If-None-Match": kept.etag}
        elif kept is not None and kept.last_modified:
            headers = {"If-Modified-Since": kept.last_modified}
        with ExitStack() as stack:
            response = self._open(headers, stack)
            if response.status == 304 and kept is not None and "Range" not in headers:
                found = digest(self.target)
                return _downloaded(self.target, self.address, kept, found, new=False)
            if response.status == 416 and "Range" in headers:
                self._check_end(response, stream, start)
                return None
            self._check_answer(response)
            if response.status == 206:
                self._check_range(response, stream, start, begun)
            else:
                if "Range" in headers:
                    self.progress.say(_("{name} begins anew.", name=self.target.name))
                start = _emptied(stream)
                Notes.of(self.address, response.headers).write(_beside(self.part))
            self._body(response, stream, start)
        return None

    def _open(self, headers: Mapping[str, str], stack: ExitStack) -> HTTPResponse:
        """The first answer that is no redirect; each address on the way is checked anew."""
        address, response = self.address, self._ask(self.address, headers, stack)
        for __ in range(MOST_REDIRECTS):
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            try:
                address = address.joined(location)
                response = self._ask(address, headers, stack)
            except ConfigError as error:
                raise DataError(
                    _(
                        "{url} leads elsewhere. {reason}",
                        url=self.address.shown,
                        reason=error.message,
                    ),
                    remedy=_("Download it with another program, if you trust that, and give it."),
                ) from error
        if response.status in _REDIRECTS:
            raise DataError(
                _(
                    "{url} leads to more than {most_redirects} other addresses in turn.",
                    url=self.address.shown,
                    most_redirects=MOST_REDIRECTS,
                ),
                remedy=_("Give the address that it ends at."),
            )
        return response

    def _ask(
        self, address: WebAddress, headers: Mapping[str, str], stack: ExitStack
    ) -> HTTPResponse:
        pace = Pace(self.limits.stall_seconds, self.limits.stall_bytes)
        with _network(address):
            connection = HTTPConnection(address.host, address.port)
            connection.sock = self.guard.connect(
                address, seconds=self.limits.connect_seconds, pace=pace
            )
            stack.callback(connection.close)
            always = {
                "Host": address.authority,
                "User-Agent": f"mintage/{__version__}",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }
            connection.request("GET", address.target, headers=always | dict(headers))
            response = connection.getresponse()
            stack.callback(response.close)
        pace.in_head = False
        return response

    def _check_answer(self, response: HTTPResponse) -> None:
        status = response.status
        if status in _BUSY:
            wait = asked_to_wait(response.headers.get("Retry-After"))
            raise _Dropped(_("it answered {status}", status=status), wait)
        if status in (401, 403):
            raise DataError(
                _("{url} is not open to all ({status}).", url=self.address.shown, status=status),
                remedy=_("Download it where you are logged in, and give its path."),
            )
        if status not in (200, 206):
            raise DataError(
                _("{url} is not there ({status}).", url=self.address.shown, status=status),
                remedy=_("Check the address in a browser."),
            )
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise DataError(
                _("{url} is sent packed as {encoding}.", url=self.address.shown, encoding=encoding),
                remedy=_("Its unpacked size is unknown, so download it yourself and give it."),
            )

    def _check_range(
        self, response: HTTPResponse, stream: BinaryIO, start: int, begun: Notes | None
    ) -> None:
        """A part must begin where ours ends, reach the end, and be of the same file."""
        first, last, total = content_range(response.headers)
        etag = response.headers.get("ETag", "")
        same = begun is not None and etag in ("", begun.etag)
        if not same or first != start or total is None or last != total - 1:
            _emptied(stream)
            raise _Dropped(_("it sent another part than was asked for"), 0.0)
        if response.length is not None and response.length != total - start:
            _emptied(stream)
            raise _Dropped(_("it contradicts itself about the size"), 0.0)

    def _check_end(self, response: HTTPResponse, stream: BinaryIO, start: int) -> None:
        """Nothing comes after what we have: it is whole, or of another file."""
        total = content_range(response.headers)[2]
        if total != start:
            _emptied(stream)
            raise _Dropped(_("it has not as much as came before"), 0.0)

    def _body(self, response: HTTPResponse, stream: BinaryIO, start: int) -> None:
        total = None if response.length is None else start + response.length
        if response.status == 206:
            total = content_range(response.headers)[2]
        self._check_size(start if total is None else total)
        self._check_room(start if total is None else total - start)
        self.progress.start(
            _("Downloading {name} from {host}", name=self.target.name, host=self.address.host),
            total,
        )
        try:
            done = self._copy(response, stream, start, total)
        finally:
            self.progress.finish()
        if total is not None and done < total:
            raise _Dropped(
                _(
                    "it ended after {done} of {total}",
                    done=format_size(done),
                    total=format_size(total),
                )
            )

    def _copy(self, response: HTTPResponse, stream: BinaryIO, done: int, total: int | None) -> int:
        whole = "" if total is None else f" / {format_size(total)}"
        while True:
            with _network(self.address):
                chunk = response.read1(_CHUNK)
            if not chunk:
                return done
            done += len(chunk)
            self._check_size(done)
            with readable_failures(self.part):
                stream.write(chunk)
            self.progress.advance(done, format_size(done) + whole)

    def _check_size(self, size: int) -> None:
        if size <= self.limits.most_bytes:
            return
        self._discard()
        raise DataError(
            _(
                "{url} is larger than {most}.",
                url=self.address.shown,
                most=format_size(self.limits.most_bytes),
            ),
            remedy=_("Download it yourself, if it is what you want, and give its path."),
        )

    def _check_room(self, missing: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if free < missing + _SPARE_BYTES:
            raise DependencyDown(
                _(
                    "{missing} more are to come, and the disk has {free} left.",
                    missing=format_size(missing),
                    free=format_size(free),
                ),
                remedy=_("Make room on the disk. {next_step}", next_step=_KEPT),
            )

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        _beside(self.part).unlink(missing_ok=True)


def digest(path: Path) -> str:
    """The SHA-256 of a file of any size, as 64 lower-case hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _downloaded(
    path: Path, address: WebAddress, notes: Notes, sha256: str, *, new: bool
) -> Downloaded:
    size = path.stat().st_size
    return Downloaded(path, address.shown, sha256, size, notes.name, notes.media_type, new)


def _emptied(stream: BinaryIO) -> int:
    stream.seek(0)
    return stream.truncate()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


@contextmanager
def _network(address: WebAddress) -> Iterator[None]:
    """Whatever a connection does wrong, as one reason to try again."""
    try:
        yield
    except TimeoutError as error:
        raise _Dropped(_("{host} is too slow", host=address.host)) from error
    except ssl.SSLEOFError as error:
        raise _Dropped(_("{host} broke off in the middle", host=address.host)) from error
    except (OSError, HTTPException) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _Dropped(
            _("{host} broke off ({said})", host=address.host, said=said.rstrip("."))
        ) from error


@contextmanager
def _alone(part: Path, name: str) -> Iterator[BinaryIO]:
    """The part, opened for appending by this process alone."""
    with readable_failures(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    with alone(part, _beside(part)) as stream:
        if stream is None:
            raise NotReady(
                _("{name} is being downloaded by another process.", name=name),
                remedy=_("Wait until it has ended, then run the same command again."),
            )
        yield stream
