"""A bundle as one file, to travel: a zip with one spelling.

Its entries are stored, not compressed: the same bytes under every zlib, and nothing in it can grow
when it is opened. What is read is packed again and compared, so that whatever a zip can hide (bytes
before, between and after the entries, comments, links, a second directory) is a difference.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mintage.bundle.format import OPTIONAL_FILES, REQUIRED_FILES
from mintage.core.errors import DataError, SignatureMismatch, said_by
from mintage.core.messages import _
from mintage.trust.signing import SIGNATURE_FILE

ENDING = ".mintage"
MOST_BYTES = 2_000_000_000
"""Below 2 GiB, which neither an ONNX graph in one file nor a zip without extensions can pass."""

_MOST_OVERHEAD = 10_000  # of the headers and the directory, which the names alone bound
_NAMES = REQUIRED_FILES | OPTIONAL_FILES | {SIGNATURE_FILE}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can state
_UNIX = 3
_MODE = 0o100644
_LOCAL = struct.Struct("<4s2x2H8x2L2H")  # signature, flags, method, two sizes, two lengths
_ENCRYPTED = 1
_REMEDY = _("Fetch it again from its maker, or have it made with: mintage export")


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files, ``signature.json`` among them; the same files, the same bytes.

    Raises:
        DataError: they are too large for one archive.
    """
    if sum(map(len, files.values())) > MOST_BYTES - _MOST_OVERHEAD:
        raise DataError(
            _("This bundle is larger than {most_gb} GB.", most_gb=MOST_BYTES // 10**9),
            remedy=_("Copy its folder instead."),
        )
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            archive.writestr(entry, files[name])
    return target.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of an archive, nothing of them verified yet.

    Raises:
        DataError: this is no archive of ours.
        SignatureMismatch: it was one, and something in it was changed.
    """
    files: dict[str, bytes] = {}
    position = 0
    while data.startswith(b"PK\3\4", position):
        name, start, end = _entry(data, position)
        if name in files:
            raise _refused(_("it holds {name} twice", name=name))
        files[name] = data[start:end]
        position = end
    packed = pack(files) if files else b""
    if packed == data and files:
        return files
    if len(packed) == len(data) > 0:
        raise SignatureMismatch(
            _("This bundle's archive was changed after it was exported."), remedy=_REMEDY
        )
    raise _refused(_("its bytes are not those that mintage export writes"))


def read_archive(path: Path) -> dict[str, bytes]:
    """The files of the archive at a path; raises DataError as ``unpack`` does."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(
            _(
                "{path} cannot be read: {reason}.",
                path=path,
                reason=said_by(error),
            ),
            remedy=_("Check the path: it is the file that mintage export wrote."),
        ) from error
    if len(data) > MOST_BYTES:
        raise _refused(_("it is larger than {most_gb} GB", most_gb=MOST_BYTES // 10**9))
    return unpack(data)


def _entry(data: bytes, position: int) -> tuple[str, int, int]:
    """An entry's name, and where its bytes begin and end."""
    try:
        header = _LOCAL.unpack_from(data, position)
    except struct.error as error:
        raise _refused(_("it ends too early")) from error
    __, flags, method, packed, size, name_length, extra_length = header
    begin = position + _LOCAL.size
    name = data[begin : begin + name_length].decode("ascii", "backslashreplace")
    if name not in _NAMES:
        raise _refused(_("{name!r} does not belong in it", name=name))
    if flags & _ENCRYPTED:
        raise _refused(_("{name} is encrypted", name=name))
    if method or packed != size:
        raise _refused(_("{name} is compressed", name=name))
    start = begin + name_length + extra_length
    if start + size > len(data):
        raise _refused(_("it ends too early"))
    return name, start, start + size


def _refused(what: str) -> DataError:
    return DataError(_("This is not a bundle's archive: {what}.", what=what), remedy=_REMEDY)
