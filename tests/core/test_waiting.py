"""When to ask again."""

from __future__ import annotations

import random

import pytest
from tests.conftest import ManualClock

from mintage.core.waiting import asked_to_wait, backoff


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 14:00:30 +0200", 30.0),
        ("Monday, 23-Nov-26 12:00:30 GMT", 30.0),
        ("Mon Nov 23 12:00:30 2026", 30.0),
        ("Mon, 23 Nov 2026 11:59:30 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("-1", None),
        ("9" * 400, None),
        ("Mon, 23 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_a_header_says_seconds_or_a_date_in_any_form_that_http_had(
    clock: ManualClock, header: str | None, seconds: float | None
) -> None:
    assert asked_to_wait(header, clock) == seconds


def test_failures_double_the_wait_up_to_a_limit_and_chance_spreads_it() -> None:
    chance = random.Random(7)
    for failures, most in enumerate([0.5, 1, 2, 4, 8, 8, 8], 1):
        for __ in range(100):
            assert most / 2 <= backoff(failures, None, chance) <= most


def test_what_was_asked_for_is_waited_at_least() -> None:
    chance = random.Random(7)
    waits = [backoff(5, 30.0, chance) for __ in range(100)]
    assert min(waits) >= 30.0
    assert max(waits) <= 30.5
    assert len(set(waits)) == 100
