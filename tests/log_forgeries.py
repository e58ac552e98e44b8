"""What can be done to an export of three logs, two of them frozen, and what each checker says.

The first has entries at 0 to 4, of which 3 are good; the second begins at 5, has 3 entries, all of
them good; the third begins at 8 and has 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Lines = list[Any]
"""What the lines of an export say: five entries behind the first line, three behind two others."""
SECOND, THIRD = 6, 10
"""The lines that announce them; the next one's record names the logs before."""


@dataclass(frozen=True)
class Forgery:
    """What is done to the lines, and what either checker says of it."""

    change: Callable[[Lines], object]
    ours: str
    tools: str


def in_record(line: int, change: Callable[[Any], object]) -> Callable[[Lines], None]:
    def changed(lines: Lines) -> None:
        record = json.loads(lines[line]["record"])
        change(record)
        lines[line]["record"] = json.dumps(record)

    return changed


def unnamed(change: Callable[[Any], object], line: int = SECOND + 1) -> Forgery:
    """The first entry of a log says something else of the logs before it."""
    said = "does not say which logs were frozen"
    return Forgery(in_record(line, change), said, said)


def ungood(change: Callable[[Any], object], line: int = SECOND + 1) -> Forgery:
    """It says something else of how much of them is good."""
    return Forgery(
        in_record(line, change), "does not say which logs were frozen", "how much is good"
    )


def said(line: int, **members: Any) -> Callable[[Lines], None]:
    return lambda lines: lines[line].update(members)


def frozen(number: int = 0, **members: Any) -> Callable[[Any], None]:
    def change(record: Any) -> None:
        record["frozen"][number] |= members

    return change


TWICE_OR_EARLY = ("begins twice, or too early", "begins twice, or before")
MISSING = ("position {} is missing", "position {} is missing")


def gone(position: int, change: Callable[[Lines], object]) -> Forgery:
    return Forgery(change, *(each.format(position) for each in MISSING))


FORGED: dict[str, Forgery] = {
    "another kind": unnamed(lambda record: record.update(kind="usage")),
    "no number": Forgery(
        in_record(SECOND + 1, lambda record: record.pop("log")),
        "does not say which logs were frozen",
        "KeyError: 'log'",
    ),
    "another number": unnamed(lambda record: record.update(log=3)),
    "another name": unnamed(lambda record: record.update(origin="example.com/log/3")),
    "another beginning": unnamed(lambda record: record.update(first_position=4)),
    "no logs before": unnamed(lambda record: record.update(frozen=[])),
    "a log before too many": unnamed(lambda record: record["frozen"].append(record["frozen"][0])),
    "another number of the one before": unnamed(frozen(log=2)),
    "another name of the one before": unnamed(frozen(origin="example.com/other")),
    "another beginning of the one before": unnamed(frozen(first_position=1)),
    "more good than is there": ungood(frozen(good_size=6)),
    "less than nothing good": ungood(frozen(good_size=-1)),
    "a fraction good": ungood(frozen(good_size=2.5)),
    "as text": ungood(frozen(good_size="3")),
    "more of the first than was said before": ungood(frozen(good_size=4), THIRD + 1),
    "more of the second than is there": ungood(frozen(1, good_size=4), THIRD + 1),
    "the order of those before": unnamed(lambda record: record["frozen"].reverse(), THIRD + 1),
    "one before left out": unnamed(lambda record: record["frozen"].pop(0), THIRD + 1),
    "another name in its line": Forgery(
        said(SECOND, origin="example.com/other"),
        "does not say which logs were frozen",
        "does not say which logs were frozen",
    ),
    "another beginning in its line": gone(6, said(SECOND, first_position=6)),
    "a beginning in the log before": Forgery(said(SECOND, first_position=4), *TWICE_OR_EARLY),
    "a beginning that is no number": Forgery(
        said(SECOND, first_position="5"), "Line 7 is no entry", "TypeError"
    ),
    "a name twice": Forgery(said(SECOND, origin="example.com/log"), *TWICE_OR_EARLY),
    "a first log that begins later": gone(0, said(0, first_position=1)),
    "what names those before left out": gone(5, lambda lines: lines.pop(SECOND + 1)),
    "a log without entries": Forgery(
        lambda lines: lines.__delitem__(slice(THIRD + 1, None)),
        "does not say which logs were frozen",
        "does not say which logs were frozen",
    ),
    "a log without entries before another": Forgery(
        lambda lines: lines.__delitem__(slice(SECOND + 1, THIRD)),
        "does not say which logs were frozen",
        "does not say which logs were frozen",
    ),
    "a position that is no number": Forgery(
        said(2, position=True), "Line 3 is no entry", "position 1 is missing"
    ),
    "an entry of a good log": Forgery(
        lambda lines: lines[1].update(salt="00" * 16),
        "first 3 entries are not those",
        "does not begin with the 3 entries",
    ),
}
