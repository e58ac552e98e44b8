"""Identifiers that sort by the moment they were made and cannot be guessed."""

from __future__ import annotations

import secrets
import time

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 characters: 48 bits of milliseconds, then 82 random bits (as ULID)."""
    number = (time.time_ns() // 1_000_000) << 82 | secrets.randbits(82)
    digits = [_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"
