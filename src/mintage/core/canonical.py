"""Canonical JSON (RFC 8785) and SHA-256: what is hashed and signed has one spelling."""

from __future__ import annotations

import hashlib
from mmap import mmap
from typing import Any

import rfc8785

from mintage.core.errors import DataError
from mintage.core.messages import _


def canonical_json(value: Any) -> bytes:
    """Encode by RFC 8785: sorted keys, no spaces, one way to write each number.

    Raises:
        DataError: the value holds something JSON cannot say (NaN, an integer above 2**53).
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise DataError(
            _("This cannot be written as canonical JSON: {error}.", error=error)
        ) from error


def sha256_hex(data: bytes | mmap) -> str:
    """The SHA-256 of the bytes, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
