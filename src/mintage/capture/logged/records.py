"""The record that an event's row ought to have on the log, spelled as it was when it was logged.

It is what ``UsageRecord.spelled`` makes of the same event, in a third of the time: most of an event
is as in many others, and is spelled once.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any

from mintage.capture.events import NAME_OF_COLUMN
from mintage.capture.logged.repository import USAGE
from mintage.capture.repository import EVENT_COLUMNS
from mintage.core.canonical import canonical_json
from mintage.core.money import decimal_text
from mintage.core.types import PICOS

_LEAST_PLAIN, _MOST_PLAIN = 1e-4, 1e16

# What is another in each event; `quantities` are canonical JSON already.
_TEXTS = ("id", "input_sha256", "output_sha256", "receipt", "recorded_at")
_NUMBERS = ("compute_seconds", "latency_seconds", "probability")
_SPELLED = ("cost_picos", "quantities")
_TRUTHS = ("abstained", "final")
_OWN = (*_TEXTS, *_NUMBERS, *_SPELLED)
_SHARED = [name for name in EVENT_COLUMNS if name not in (*_OWN, "log_position")]
COLUMNS = [*_SHARED, *_OWN]
"""In which order a row is to be read."""

_NAMES = NAME_OF_COLUMN | {"cost_picos": "cost"}
MEMBERS = [_NAMES.get(column, column) for column in COLUMNS]
"""What a record calls the same."""

_ORDER = sorted([*MEMBERS, "kind"])
_in_order = itemgetter(*(_OWN.index(name) for name in sorted(_OWN, key=lambda n: _NAMES.get(n, n))))


def record_of(row: Sequence[Any]) -> bytes:
    """The record of the event in a row of ``COLUMNS``.

    Raises:
        TypeError: a column holds another type than its own.
        DataError: it cannot be said.
    """
    shared = len(_SHARED)
    texts, numbers = shared + len(_TEXTS), shared + len(_TEXTS) + len(_NUMBERS)
    own = (
        *map(encode_basestring, row[shared:texts]),
        *map(_number, row[texts:numbers]),
        _cost(row[numbers]),
        row[numbers + 1],
    )
    text: str = _template(tuple(row[:shared])) % _in_order(own)
    return text.encode()


@lru_cache(maxsize=4096)
def _template(shared: tuple[Any, ...]) -> str:
    said = dict(zip(_SHARED, shared, strict=True)) | {"kind": USAGE}
    said |= {name: bool(said[name]) for name in _TRUTHS}  # SQLite has numbers
    spelled = {
        _NAMES.get(name, name): canonical_json(value).decode().replace("%", "%%")
        for name, value in said.items()
    }
    members = [f'"{name}":{spelled.get(name, "%s")}' for name in _ORDER]
    return f"{{{','.join(members)}}}"


def _number(value: float | None) -> str:
    if type(value) is float and _LEAST_PLAIN <= value < _MOST_PLAIN:
        return repr(value).removesuffix(".0")
    return canonical_json(value).decode()


@lru_cache(maxsize=4096)
def _cost(picos: int) -> str:
    return encode_basestring(decimal_text(Fraction(picos, PICOS)))
