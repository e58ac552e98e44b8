"""A row's record is spelled as the event was when it was logged, whatever the event."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.events import UsageRecord
from mintage.capture.logged.records import COLUMNS, record_of
from mintage.capture.repository import EVENT_COLUMNS
from mintage.core.canonical import Spelled

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SECONDS = st.floats(min_value=0, max_value=1e12, allow_nan=False)
VALUES = {
    "quantities": st.dictionaries(st.sampled_from(["image", "input_token"]), st.integers(0, 2**40)),
    "probability": st.none() | st.floats(0, 1),
    "abstained": st.booleans(),
    "final": st.booleans(),
    "latency_seconds": SECONDS,
    "compute_seconds": SECONDS,
    "plan_version": st.integers(1, 10**6),
    "cost": st.sampled_from(["0", "0.000750000001", "12.5", "3"]),
}
NAMES = UsageRecord.__dataclass_fields__
EVENTS = st.fixed_dictionaries({name: VALUES.get(name, TEXT) for name in NAMES})


@given(values=EVENTS, as_numbers=st.booleans())
def test_a_record_is_spelled_as_it_was_logged(values: dict[str, Any], as_numbers: bool) -> None:
    event = UsageRecord(**values)
    row = dict(zip(EVENT_COLUMNS, event.to_row(7), strict=True))
    if as_numbers:  # as SQLite's driver has it
        row |= {name: int(row[name]) for name in ("abstained", "final")}
    found = record_of([row[name] for name in COLUMNS])
    assert found == (event.spelled() | Spelled.of({"kind": "usage"})).encode()
