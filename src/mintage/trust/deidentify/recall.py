"""How much personal data is found, of each kind, in texts that were made for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from mintage.trust.deidentify.detectors import KINDS, Found
from mintage.trust.deidentify.synthetic import Example


@dataclass(frozen=True)
class Recall:
    """Of a kind in a language: how many there were, and how many were found whole.

    ``false_alarms`` are what was taken for this kind where nothing was planted.
    """

    kind: str
    language: str
    planted: int
    found: int
    false_alarms: int


def recalls(
    texts: Iterable[Example], find: Callable[[str, Collection[str]], Sequence[Found]]
) -> list[Recall]:
    """What ``find`` finds of these texts, by kind and language, in the order of ``KINDS``.

    A value is found where no character of it is left, whatever kind it was taken for.
    """
    planted = dict[tuple[str, str], int]()
    found = dict[tuple[str, str], int]()
    alarms = dict[tuple[str, str], int]()
    languages = dict[str, None]()
    for each in texts:
        languages[each.language] = None
        spans = find(each.text, KINDS)
        for value in each.planted:
            key = (value.kind, each.language)
            planted[key] = planted.get(key, 0) + 1
            found[key] = found.get(key, 0) + _is_covered(value, spans)
        for span in spans:
            if not any(span.start < value.end and value.start < span.end for value in each.planted):
                key = (span.kind, each.language)
                alarms[key] = alarms.get(key, 0) + 1
    return [
        Recall(kind, language, planted.get(key, 0), found.get(key, 0), alarms.get(key, 0))
        for kind in KINDS
        for language in languages
        for key in [(kind, language)]
    ]


def _is_covered(value: Found, spans: Sequence[Found]) -> bool:
    place = value.start
    for span in spans:
        if span.start <= place < span.end:
            place = span.end
    return place >= value.end
