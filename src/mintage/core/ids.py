"""Identifiers that sort by the moment they were made and cannot be guessed."""

from __future__ import annotations

import os
import time

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]
_RANDOM_BITS = 82


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 characters: 48 bits of milliseconds, then 82 random bits (as ULID)."""
    random = int.from_bytes(os.urandom(11)) >> 6
    number = (time.time_ns() // 1_000_000) << _RANDOM_BITS | random
    digits = [_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)]
    return f"{prefix}_{''.join(digits)}"
