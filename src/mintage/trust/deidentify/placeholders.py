"""Placeholders: ``[EMAIL_1]`` stands for an address, and is the address again when it comes back.

In brackets, since models write those as they read them: ``<`` is escaped in HTML, and inside JSON
by some servers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from mintage.trust.deidentify.detectors import KINDS, Found, find

# As models write them, too: in small letters, in brackets of Chinese, as Markdown escapes ``_``.
_OPEN, _CLOSE = "[［【", "]］】"
_DIGITS = 7
_PLACEHOLDER = re.compile(
    rf"[{re.escape(_OPEN)}]({'|'.join(KINDS)})\\{{0,2}}_(\d{{1,{_DIGITS}}})[{re.escape(_CLOSE)}]",
    re.ASCII | re.IGNORECASE,
)
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_NUMBER_BEFORE, _NUMBER_AFTER = re.compile(r"[-+0-9.eE]+$"), re.compile(r"[-+0-9.eE]+")


def _beginning_of(word: str) -> str:
    """A pattern of every beginning of a placeholder, without its bracket."""
    pattern = rf"(?:\\{{1,2}}|\\{{0,2}}_\d{{0,{_DIGITS}}})?"
    for each in reversed(word):
        pattern = f"(?:{each}{pattern})?"
    return pattern


_BEGINNING = re.compile("|".join(map(_beginning_of, KINDS)), re.ASCII | re.IGNORECASE)
_LONGEST = 1 + max(map(len, KINDS)) + 3 + _DIGITS


class Placeholders:
    """What personal data was replaced by, within one request. It is in memory, and never said.

    The same value has the same placeholder, and another one another.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        self._kinds = frozenset(kinds)
        self._taken = set[tuple[str, str]]()
        self._of: dict[tuple[str, str], str] = {}
        self._values: dict[tuple[str, str], str] = {}
        self._last = Counter[str]()  # the last number of each kind
        self._counts = Counter[str]()

    def __repr__(self) -> str:
        """Without values: a trace of an error may have it."""
        return f"Placeholders({dict(self.counts)})"

    @property
    def counts(self) -> Mapping[str, int]:
        """How many values of each kind were replaced."""
        return self._counts

    def keep(self, text: str) -> None:
        """Give to no value what stands in this text already, so that it stays as it is."""
        self._taken.update(map(_key, _PLACEHOLDER.finditer(text)))

    def replaced(self, text: str) -> str:
        """The text without personal data; every text of the request has to be kept before.

        JSON stays JSON; where what it escapes is part of a value, that is written as it is.
        """
        found = find(text, self._kinds)
        bare: Mapping[int, Found] = {}
        if (found or "\\u" in text) and _is_json(text):
            read = _ESCAPED.sub(_read, text)
            in_read = find(read, self._kinds)
            if _values(read, in_read) != _values(text, found):  # escapes were within a value
                text, found = read, in_read
            bare = dict(_outside_strings(text, found))
        parts, place = list[str](), 0
        for each in found:
            start, end, kind = bare.get(each.start, each)
            standing = self._for(kind, text[start:end])
            parts += text[place:start], f'"{standing}"' if each.start in bare else standing
            place = end
        return "".join((*parts, text[place:]))

    def restored(self, text: str) -> str:
        """The text with every value in its place again; what stands for none is left."""
        if not self._values:
            return text
        return _PLACEHOLDER.sub(lambda found: self._values.get(_key(found), found[0]), text)

    def _for(self, kind: str, value: str) -> str:
        standing = self._of.get((kind, value))
        if standing is None:
            self._last[kind] += 1
            while (key := (kind, str(self._last[kind]))) in self._taken:
                self._last[kind] += 1
            self._counts[kind] += 1
            self._of[kind, value] = standing = f"[{kind.upper()}_{key[1]}]"
            self._values[key] = value
        return standing


class StreamedText:
    """Restores a text that comes in parts, in which a placeholder may be cut anywhere."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be said now: all but what may be the beginning of a placeholder."""
        text = self._held + text
        cut = _beginning_at(text)
        self._held = text[cut:]
        return self._placeholders.restored(text[:cut])

    def rest(self) -> str:
        """What was held when the text ended: it began as a placeholder does, and was none."""
        held, self._held = self._held, ""
        return held


def _key(found: re.Match[str]) -> tuple[str, str]:
    return found[1].lower(), found[2]


def _beginning_at(text: str) -> int:
    """Where a placeholder begins that is not whole yet; the text's length where none does."""
    start = max(text.rfind(each, -_LONGEST) for each in _OPEN)
    if start >= 0 and _BEGINNING.fullmatch(text, start + 1):
        return start
    return len(text)


def _values(text: str, found: Sequence[Found]) -> list[str]:
    return [text[each.start : each.end] for each in found]


def _is_json(text: str) -> bool:
    """Whether it is an object or a list of JSON, as calls of tools and their answers are."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read(escape: re.Match[str]) -> str:
    """The character that JSON escapes, where it may stand there as it is, too."""
    if escape[1] is None:
        return escape[0]
    character = chr(int(escape[1], 16))
    return character if character.isprintable() and character not in ('"', "\\") else escape[0]


def _outside_strings(text: str, found: Sequence[Found]) -> Iterator[tuple[int, Found]]:
    """Of what was found in JSON, what is in its numbers, each as all of that number.

    In their place has to be a string, or it would be JSON no more.
    """
    strings = _STRING.finditer(text)
    string = next(strings, None)
    for each in found:
        while string is not None and string.end() <= each.start:
            string = next(strings, None)
        if string is None or each.start < string.start():
            before = _NUMBER_BEFORE.search(text, max(0, each.start - _LONGEST), each.start)
            start = each.start if before is None else before.start()
            after = _NUMBER_AFTER.match(text, each.end)
            yield each.start, Found(start, each.end if after is None else after.end(), each.kind)
