"""People's answers: what a table says that each person called each picture.

The document is ``docs/formats/human-answers.md``; whoever changes one changes the other.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mintage.core.errors import DataError
from mintage.core.messages import Message, _
from mintage.core.types import Skipped
from mintage.sources.damage import refuse_missing
from mintage.sources.labels import is_labels, read_labels
from mintage.sources.listing import ListingBuilder, label_of, well_formed
from mintage.sources.rows import Row, read_table
from mintage.sources.tables import PATH_COLUMNS, PATH_COLUMNS_ZH

SHA256_COLUMNS = ("sha256", "sha-256", "sha_256")
PERSON_COLUMNS = ("person", "labeller", "annotator", "rater", "who", "人员", "标注者", "姓名")
ANSWER_COLUMNS = ("answer", "label", "答案", "回答", "标签")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Said:
    """What one person said of one picture, as it was written; ``answer`` may be empty."""

    picture: str
    person: str
    answer: str


@dataclass(frozen=True)
class Sheet:
    """All that a file says, and what of it cannot be read."""

    name: str
    said: tuple[Said, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Picture:
    """One that people may have answered; ``unfit`` is why its answers cannot count."""

    names: tuple[str, ...]
    sha256: str
    label: str
    group: str
    unfit: str = ""


@dataclass
class Matched:
    """Answers by person for each picture (by its position), and what could not be used.

    ``left_out`` counts answers, but whole pictures under ``unknown_picture`` and ``unfit``.
    """

    answers: list[dict[str, str]]
    left_out: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)

    def leave(self, kind: str, picture: str, reason: str) -> None:
        """Count something, and list it with its reason."""
        self.left_out[kind] += 1
        self.skipped.append(Skipped(picture, reason))


def read_sheet(location: Path) -> Sheet:
    """Read a table of people's answers, or the file that ``mintage label`` wrote.

    Raises:
        DataError: it cannot be read, or its columns say neither picture nor answer.
    """
    refuse_missing(location)
    if is_labels(location):
        return _of_labels(location)
    faults = _Faults()
    rows = read_table(location, faults).rows
    if not rows:
        raise DataError(
            _("{location} holds no row beneath its header.", location=location),
            remedy=_("Write a row for each picture: see docs/formats/human-answers.md."),
        )
    columns = list(dict.fromkeys(str(name) for __, row in rows for name in row))
    pictures = [*_all_of(columns, SHA256_COLUMNS), *_all_of(columns, _PICTURES)]
    if not pictures:
        raise DataError(
            _(
                "{location} has no column for the picture; it has {columns}.",
                location=location,
                columns=", ".join(columns),
            ),
            remedy=_(
                "Name it one of: {names}.", names=", ".join((*PATH_COLUMNS, SHA256_COLUMNS[0]))
            ),
        )
    person, answer = _all_of(columns, PERSON_COLUMNS), _all_of(columns, ANSWER_COLUMNS)
    if person and answer:
        said = _long(rows, pictures, person[0], answer[0], faults)
    else:
        said = _wide(rows, pictures, [name for name in columns if name not in pictures], faults)
    return Sheet(location.name, tuple(said), tuple(faults.found))


class _Faults(ListingBuilder):
    """Takes down which lines cannot be read, and lists nothing."""

    def __init__(self) -> None:
        super().__init__(frozenset(), frozenset())
        self.found: list[Skipped] = []

    def skip(self, path: str, reason: str) -> None:
        """Take one down."""
        self.found.append(Skipped(well_formed(path), reason))


_PICTURES = (*PATH_COLUMNS, *PATH_COLUMNS_ZH)


def _all_of(columns: Collection[str], names: Sequence[str]) -> list[str]:
    """The columns that have one of the names, whatever their case, in the order of the names."""
    return [column for name in names for column in columns if column.strip().casefold() == name]


def _of_labels(location: Path) -> Sheet:
    labels = read_labels(location)
    said = [
        Said(path, person, answer or "")
        for path in labels.book
        for person, answer in labels.book.opinions(path).items()
    ]
    faults = [Skipped(_line(number), reason) for number, reason in labels.faults]
    return Sheet(location.name, tuple(said), tuple(faults))


def _long(
    rows: Sequence[Row], pictures: Sequence[str], person: str, answer: str, faults: _Faults
) -> Iterator[Said]:
    for number, row in rows:
        picture, name = _picture(row, pictures), _text(row.get(person))
        if picture and name:
            yield Said(picture, name, _text(row.get(answer)))
        else:
            reason = _("line {number} names no picture or no person", number=number)
            faults.skip(picture or _line(number), reason)


def _wide(
    rows: Sequence[Row], pictures: Sequence[str], people: Sequence[str], faults: _Faults
) -> Iterator[Said]:
    for number, row in rows:
        picture = _picture(row, pictures)
        if not picture:
            faults.skip(_line(number), _("line {number} names no picture", number=number))
            continue
        for person in people:
            if person:
                yield Said(picture, _text(person), _text(row.get(person)))
            elif _text(row.get(person)):
                faults.skip(picture, _("line {number}: a column without a name", number=number))


def _picture(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    return next((text for name in columns if (text := _text(row.get(name)))), "")


def _text(content: Any) -> str:
    return "" if content is None else label_of(str(content))


def _line(number: int) -> Message:
    return _("line {number}", number=number)


def match(sheet: Sheet, pictures: Sequence[Picture], labels: Sequence[str]) -> Matched:
    """Find the picture and the class that each answer means.

    Every answer that is not used is counted and listed: empty ones, those that are no class of
    the model, two of one person that contradict each other, and those about other pictures.
    """
    names, spelled = _Names(pictures), _Labels(labels)
    found = Matched([{} for __ in pictures], skipped=list(sheet.skipped))
    found.left_out["unreadable"] = len(sheet.skipped)
    said = [*_of_people(sheet.said, spelled, found)]
    contradicted: set[tuple[int, str]] = set()
    places = {name: names.find(name) for name in dict.fromkeys(each.picture for each in said)}
    for name, place in places.items():
        if isinstance(place, str):
            found.leave("unknown_picture", name, place)
        elif pictures[place].unfit:
            found.leave("unfit", name, pictures[place].unfit)
    for each in said:
        place = places[each.picture]
        if isinstance(place, str) or pictures[place].unfit:
            continue
        label = spelled.find(each.answer)
        if not each.answer:
            reason = _("{person} gave no answer", person=each.person)
            found.leave("empty", each.picture, reason)
        elif label is None:
            reason = _(
                "{person} answered {answer!r}, which is no class of the model",
                person=each.person,
                answer=each.answer,
            )
            found.leave("unknown_class", each.picture, reason)
        elif found.answers[place].setdefault(each.person, label) != label:
            contradicted.add((place, each.person))
    for place, person in sorted(contradicted):
        del found.answers[place][person]
        reason = _("{person} answered it in two ways", person=person)
        found.leave("contradictory", pictures[place].names[0], reason)
    return found


def _of_people(said: Sequence[Said], labels: _Labels, found: Matched) -> Iterator[Said]:
    """All but what is said in the name of somebody who never named a class: a column of notes."""
    own: dict[str, list[Said]] = defaultdict(list)
    for each in said:
        own[each.person].append(each)
    for person, theirs in own.items():
        if any(labels.find(each.answer) for each in theirs):
            yield from theirs
        else:
            found.leave("not_a_person", person, _("not one answer of it is a class of the model"))


class _Labels:
    """A model's classes, however people write capitals."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._exact = set(labels)
        folded = Counter(label.casefold() for label in labels)
        self._folded = {
            label.casefold(): label for label in labels if folded[label.casefold()] == 1
        }

    def find(self, answer: str) -> str | None:
        """The class that is meant."""
        return answer if answer in self._exact else self._folded.get(answer.casefold())


class _Names:
    """Pictures by digest, by path, and by the end of a path where only one picture has it.

    People are given pictures without the folders that say the class, or in folders of their own.
    """

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._by_sha256 = {picture.sha256: place for place, picture in enumerate(pictures)}
        self._by_path: dict[tuple[str, ...], int] = {}
        self._by_name: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
        for place, picture in enumerate(pictures):
            for name in picture.names:
                parts = _parts(name)
                self._by_path[parts] = place
                self._by_name[parts[-1]].append((parts, place))

    def find(self, written: str) -> int | str:
        """The picture's place, or why there is none."""
        if _SHA256.fullmatch(written.lower()) and written.lower() in self._by_sha256:
            return self._by_sha256[written.lower()]
        parts = _parts(written)
        if not parts:
            return _("no such picture")
        if parts in self._by_path:
            return self._by_path[parts]
        ends = {place for known, place in self._by_name[parts[-1]] if _same_end(known, parts)}
        if len(ends) == 1:
            return ends.pop()
        return _("several pictures end like that") if ends else _("no such picture")


def _parts(path: str) -> tuple[str, ...]:
    posix = PurePosixPath(well_formed(path).replace("\\", "/"))
    return tuple(part for part in posix.parts if part not in ("/", "."))


def _same_end(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]
