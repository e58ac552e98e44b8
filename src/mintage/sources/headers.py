"""What a server's headers say of a file: its name, and which part comes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from email.message import Message as Headers
from pathlib import Path
from urllib.parse import unquote

from mintage.core.canonical import sha256_hex
from mintage.core.files import write_atomic
from mintage.sources.guard import WebAddress

# Digits are bounded: of thousands of them int() makes an error and float() infinity.
_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})")
_UNSAFE = re.compile(r"[^\w.()\[\]-]+")


@dataclass(frozen=True)
class Notes:
    """What must be the same for a download to go on; lies beside the file as JSON."""

    url_sha256: str
    etag: str
    last_modified: str
    name: str
    media_type: str

    @classmethod
    def of(cls, address: WebAddress, headers: Headers) -> Notes:
        """What an answer from this address says."""
        return cls(
            sha256_hex(address.url.encode()),
            headers.get("ETag", ""),
            headers.get("Last-Modified", ""),
            _name(address, headers),
            headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        )

    @classmethod
    def read(cls, path: Path, address: WebAddress) -> Notes | None:
        """The notes, if they are whole and about this address."""
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.url_sha256 == sha256_hex(address.url.encode()) else None

    def write(self, path: Path) -> None:
        """Keep them beside the file."""
        write_atomic(path, json.dumps(asdict(self)).encode())

    @property
    def validator(self) -> str:
        """What proves that a range belongs to the same bytes (RFC 9110 §13.1.5), or ''."""
        return self.last_modified if self.etag.startswith("W/") else self.etag or self.last_modified


def _name(address: WebAddress, headers: Headers) -> str:
    """What the server calls the file (RFC 6266), else the end of its address."""
    try:
        named = headers.get_filename()
    except ValueError:  # written so that the standard library cannot decode it
        named = None
    return safe_name(named or unquote(address.target.partition("?")[0]))


def content_range(headers: Headers) -> tuple[int | None, int | None, int | None]:
    """First and last position and the whole size, as ``Content-Range`` says (RFC 9110 §14.4)."""
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None, None, None
    first, last, total = (None if each is None else int(each) for each in found.groups())
    return first, last, total


def safe_name(name: str) -> str:
    """A file name that cannot lead anywhere, hide, or be too long."""
    last = re.split(r"[/\\]", name)[-1]
    plain = _UNSAFE.sub("_", last).strip("._")
    stem, dot, ending = plain.rpartition(".")
    return (f"{stem[:80]}.{ending[:12]}" if dot else plain[:80]) or "download"
