"""The names of a zip's entries, whatever system wrote them.

A zip says of a name that it is UTF-8 (bit 11), or says nothing. What says nothing is, in practice,
UTF-8 all the same (macOS, older tools), the Chinese Windows' GBK, or the code page 437 that the
format prescribes (APPNOTE.TXT, appendix D). One program wrote all of a zip, so the names decide
together: 猫 alone, in GBK, would also be UTF-8.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence

from mintage.sources.encoding import unmarked

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_DEFAULT = "cp437"
"""As zipfile reads a name without the flag; each byte is a character, so nothing is lost."""


def entry_names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The name of each entry."""
    said = [(_said(info), info) for info in entries]
    encoding = _common([_raw(info) for name, info in said if not name])
    return [name or _decoded(_raw(info), encoding) for name, info in said]


def _said(info: zipfile.ZipInfo) -> str:
    """The name where the zip says what it is: by its flag, or in Info-ZIP's Unicode Path field."""
    if info.flag_bits & _UTF8_FLAG:
        return info.orig_filename
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(field) > 5:
            version, checksum = struct.unpack_from("<BL", field)
            # Where the name was changed by a tool that does not know the field, it is stale.
            if version == 1 and checksum == zlib.crc32(_raw(info)):
                return field[5:].decode("UTF-8", errors="replace")
    return ""


def _raw(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode(_DEFAULT)


def _common(names: Sequence[bytes]) -> str:
    """The one encoding that all names are in, or '' where each is judged alone."""
    try:
        return unmarked(b"/".join(names))[1]
    except UnicodeDecodeError:
        return ""


def _decoded(name: bytes, encoding: str) -> str:
    if encoding:
        return name.decode(encoding)
    try:
        return unmarked(name)[0]
    except UnicodeDecodeError:
        return name.decode(_DEFAULT)
