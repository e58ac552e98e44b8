"""Base64 with one spelling: what is signed must not be writable in two ways."""

from __future__ import annotations

import base64


def strict_base64(text: str) -> bytes:
    """Decode standard, padded base64 (RFC 4648, section 4) whose unused bits are zero.

    Raises:
        ValueError: it is anything else.
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("The unused bits are set.")
    return data
