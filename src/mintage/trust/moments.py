"""When a signed thing says that it was made.

Whoever has a key can write any moment, so this shows nothing in favour of a thing; but one that
names a moment at which its key signed no more is wrong by its own words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

LEEWAY: Final = timedelta(minutes=5)
"""What clocks of machines that serve together may differ by, and a server takes to notice."""

_MEMBERS: Final = {
    "urn:mintage:invoice:v1": "issued_at",
    "urn:mintage:credit-note:v1": "issued_at",
    "urn:mintage:plan:v1": "created_at",
    "urn:mintage:evaluation:v1": "measured_at",
    "urn:mintage:audit:v1": "audited_at",
}
"""Of each kind of document, which of its members says so. Of files nothing does."""


def said_moment(payload: bytes) -> str | None:
    """What a receipt or a document says of when it was made; None: it is another thing."""
    try:
        found = json.loads(payload)
        if "predicateType" in found:
            said = found["predicate"][_MEMBERS[found["predicateType"]]]
        else:
            said = found["recorded_at"]
        datetime.fromisoformat(said)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return str(said)


def moment_of(document: Mapping[str, Any], kind: str) -> str | None:
    """The same of a document that is open."""
    said = document.get(_MEMBERS.get(f"urn:mintage:{kind.replace('_', '-')}:v1", ""))
    return said if isinstance(said, str) else None


def is_well_after(moment: str, until: str) -> bool:
    """Whether one is later than the other by more than clocks may differ."""
    try:
        return datetime.fromisoformat(moment) > datetime.fromisoformat(until) + LEEWAY
    except TypeError:  # one of them names no zone: nothing of ours is written so
        return True
