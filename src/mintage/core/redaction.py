"""What is never shown: an API key, a webhook's or a provider's secret, wherever one was put."""

from __future__ import annotations

import re

KEY_PREFIX = "mtg_live_"
"""What every API key begins with."""

# In any case: some of what quotes a header or a name has made it small. A webhook's secret is
# base64; a payment provider's key says whether it is for trying out.
_KEY = re.compile(rf"({KEY_PREFIX})\w+|(whsec_)[\w+/=-]+|([rs]k_(?:live|test)_)\w+", re.IGNORECASE)
_MARKS = (KEY_PREFIX, "whsec_", "k_live_", "k_test_")


def without_keys(text: str) -> str:
    """The text with no secret in it; of each its prefix is left."""
    # The pattern takes longer, and this is asked of every line of the log.
    small = text.lower()
    if not any(mark in small for mark in _MARKS):
        return text
    return _KEY.sub(lambda found: f"{next(filter(None, found.groups())).lower()}…", text)


def has_key(text: str) -> bool:
    """Whether a secret is in it, or something that begins as one does."""
    return _KEY.search(text) is not None
