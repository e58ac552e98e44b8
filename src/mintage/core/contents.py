"""What a file is by its first bytes, whatever its name says: of those that are never opened."""

from __future__ import annotations

LOOKED_AT = 512
"""So many bytes are enough to tell."""

_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257
_TAR_CHECKSUM = slice(148, 156)
# Where a tar is compressed it is refused as what it is compressed by.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
}


def is_pickle(head: bytes) -> bool:
    """Whether it begins as a pickle of protocol 2 to 5 does (PEP 307, 3154, 574).

    Protocols 0 and 1 have no beginning of their own; they are no format that anything here reads.
    """
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def is_tar(head: bytes) -> bool:
    """Whether it begins with a tar's header: POSIX's by its name, older ones by their checksum."""
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return True
    if len(head) < LOOKED_AT:
        return False
    try:
        said = int(head[_TAR_CHECKSUM].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    counted = sum(head[:LOOKED_AT]) - sum(head[_TAR_CHECKSUM]) + 8 * ord(" ")
    return said == counted > 8 * ord(" ")


def compressed_by(head: bytes) -> str:
    """What packed it, where that is nothing that is read here; '' for anything else."""
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), "")
