"""What is never shown: an API key, wherever somebody put one."""

from __future__ import annotations

import re

KEY_PREFIX = "mtg_live_"
"""What every API key begins with."""

# In any case: some of what quotes a header or a name has made it small.
_KEY = re.compile(rf"{KEY_PREFIX}\w+", re.IGNORECASE)
_HIDDEN = f"{KEY_PREFIX}…"


def without_keys(text: str) -> str:
    """The text with no API key in it; of each its prefix is left."""
    # The pattern takes longer, and this is asked of every line of the log.
    return _KEY.sub(_HIDDEN, text) if KEY_PREFIX in text.lower() else text


def has_key(text: str) -> bool:
    """Whether an API key is in it, or something that begins as one does."""
    return _KEY.search(text) is not None
