"""What is never shown: a customer's or an operator's key, a webhook's or a provider's secret."""

from __future__ import annotations

import re

KEY_PREFIX = "mtg_live_"
"""What every customer's API key begins with."""
OPERATOR_PREFIX = "mtg_op_"
"""What every operator's key begins with."""
SEAL_PREFIX = "mtg_kek_"
"""What every key-encryption key of a sealed workspace begins with."""

# In any case: some of what quotes a header or a name has made it small. A webhook's secret is
# base64; a payment provider's key says whether it is for trying out.
_KEY = re.compile(
    rf"({KEY_PREFIX}|{OPERATOR_PREFIX}|{SEAL_PREFIX})\w+|(whsec_)[\w+/=-]+|([rs]k_(?:live|test)_)\w+",
    re.IGNORECASE,
)
_MARKS = ("mtg_", "whsec_", "k_live_", "k_test_")


def without_keys(text: str) -> str:
    """The text with no secret in it; of each its prefix is left."""
    # The pattern takes longer, and this is asked of every line of the log.
    small = text.lower()
    return _KEY.sub(_hidden, text) if any(mark in small for mark in _MARKS) else text


def can_be_shown(text: str, most: int) -> bool:
    """Whether what a person wrote can be kept and shown: so many printable characters, no key."""
    return 1 <= len(text) <= most and text.isprintable() and not has_key(text)


def has_key(text: str) -> bool:
    """Whether a secret is in it, or something that begins as one does."""
    return _KEY.search(text) is not None


def _hidden(found: re.Match[str]) -> str:
    return f"{next(filter(None, found.groups())).lower()}…"
