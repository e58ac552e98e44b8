"""What is said of a name that nothing has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from mintage.core.messages import _

INVOICE_NUMBER = re.compile(r"(INV|CN)-\d{4}-\d{6,}|inv_\w+")
"""What an invoice or a credit note is called in its workspace."""


def instead(name: str, names: Sequence[str], otherwise: str) -> str:
    """What somebody who misspelt a name, or a version, may have meant."""
    if name in names:
        return _(
            "{name} exists, but not in that version; leave the version out for the newest.",
            name=name,
        )
    near = difflib.get_close_matches(name, names, n=1)
    return _("Did you mean {name}?", name=near[0]) if near else otherwise
