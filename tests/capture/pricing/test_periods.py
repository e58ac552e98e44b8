"""Months and days: 28 to 31 of them, clocks that change, midnights that are missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.pricing.periods import Period, Span, beginning_of, year_from, zone_of
from mintage.core.errors import ConfigError

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Apia",
    "Australia/Lord_Howe",
]
moments = st.timedeltas(timedelta(0), timedelta(days=30 * 365)).map(
    lambda later: datetime(2005, 1, 1, tzinfo=UTC) + later
)


@given(moment=moments, zone=st.sampled_from(ZONES))
def test_every_moment_is_in_one_month_alone(moment: datetime, zone: str) -> None:
    period = Period.containing(moment, zone)
    begin, end = period.bounds(zone)
    assert begin <= moment < end
    assert period.following.bounds(zone)[0] == end
    assert period.preceding.bounds(zone)[1] == begin
    assert Period.parse(str(period)) == period


@given(moment=moments, zone=st.sampled_from(ZONES))
def test_a_day_begins_with_its_first_moment(moment: datetime, zone: str) -> None:
    day = moment.astimezone(zone_of(zone)).date()
    begin = beginning_of(day, zone)
    assert begin.astimezone(zone_of(zone)).date() == day
    assert (begin - timedelta(microseconds=1)).astimezone(zone_of(zone)).date() < day


@pytest.mark.parametrize(
    ("text", "days"),
    [("2026-01", 31), ("2026-02", 28), ("2028-02", 29), ("2026-04", 30), ("2000-02", 29)],
)
def test_a_month_has_the_days_that_it_has(text: str, days: int) -> None:
    assert Period.parse(text).days == days


def test_a_month_in_which_clocks_change_is_an_hour_shorter_or_longer_and_has_all_its_days() -> None:
    hours = {}
    for text in ("2026-03", "2026-10", "2026-05"):
        begin, end = Period.parse(text).bounds("Europe/Berlin")
        hours[text] = (end - begin) / timedelta(hours=1)
    assert hours == {"2026-03": 31 * 24 - 1, "2026-10": 31 * 24 + 1, "2026-05": 31 * 24}


def test_a_day_that_a_zone_left_out_begins_where_the_next_one_does() -> None:
    # Samoa went from 29 to 31 December 2011.
    assert beginning_of(date(2011, 12, 30), "Pacific/Apia") == datetime(
        2011, 12, 30, 10, tzinfo=UTC
    )
    assert beginning_of(date(2011, 12, 31), "Pacific/Apia") == datetime(
        2011, 12, 30, 10, tzinfo=UTC
    )


def test_the_new_year_is_another_one_elsewhere() -> None:
    moment = datetime(2026, 12, 31, 20, tzinfo=UTC)
    assert str(Period.containing(moment, "UTC")) == "2026-12"
    assert str(Period.containing(moment, "Asia/Shanghai")) == "2027-01"


def test_a_year_from_the_leap_day_begins_on_the_28th_where_there_is_none() -> None:
    begun = date(2028, 2, 29)
    assert year_from(begun, 0) == Span(begun, date(2029, 2, 28))
    assert year_from(begun, 1) == Span(date(2029, 2, 28), date(2030, 2, 28))
    assert year_from(begun, 4) == Span(date(2032, 2, 29), date(2033, 2, 28))


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "26-01", "2026-1", "0001-01", "now", ""])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="month"):
        Period.parse(text)


@pytest.mark.parametrize("name", ["Europe/Bonn", "", "../etc/passwd", "/UTC"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="time zone"):
        zone_of(name)
