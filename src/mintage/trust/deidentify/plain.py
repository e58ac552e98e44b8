r"""A text as its detectors see it: of the same length, so that a place in one is a place in both.

Digits of any script and full-width characters are ASCII; dashes and spaces of any kind are one
kind; what JSON escapes, as ``\n`` or ``\u7535``, is a line end, since its letters are no part of
what stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

_SPACES = "\xa0\u202f\u205f\u2060\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200E)))
"""Also those without a width, which pages put between the groups of a number."""
_DASHES = "\u2212\ufe58\ufe63" + "".join(map(chr, range(0x2010, 0x2016)))
_IN_NUMBERS = "@.+-_()/"
_LAST = 0x1FFFF  # beyond it no script has digits
# From the first backslash of several on: JSON may be in JSON. Otherwise a long row of them would be
# looked at from each of them anew.
_ESCAPE = re.compile(r'(?<!\\)\\++(?:u[0-9a-fA-F]{4}|[nrtbf"/])')


def plain(text: str) -> str:
    """The text with all that is written otherwise as in ASCII."""
    if not text.isascii():
        text = text.translate(_in_ascii())
    if "\\" in text:
        text = _ESCAPE.sub(lambda found: "\n" * len(found[0]), text)
    return text


@cache
def _in_ascii() -> Mapping[int, str]:
    """What stands for a character of ASCII, and for which."""
    found = dict.fromkeys(_SPACES, " ") | dict.fromkeys(_DASHES, "-")
    full_width = ((chr(each), chr(each - 0xFEE0)) for each in range(0xFF01, 0xFF5F))
    found |= {wide: each for wide, each in full_width if each.isalnum() or each in _IN_NUMBERS}
    found |= {each: str(int(each)) for each in map(chr, range(0x80, _LAST)) if each.isdecimal()}
    return {ord(each): ascii_ for each, ascii_ in found.items()}
