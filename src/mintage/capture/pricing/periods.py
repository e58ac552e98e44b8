"""Billing periods: calendar months in a zone, half-open, and how many of their days are whose.

A month is as long as it is: 28 to 31 days, of 23 to 25 hours where clocks change. Days are counted
by dates of the zone, so that neither matters to a share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from mintage.core.errors import ConfigError
from mintage.core.messages import _

_FIRST_YEAR, _LAST_YEAR = 2000, 9998


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """The zone of this IANA name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            _("There is no time zone {name!r}.", name=name),
            remedy=_("Write its IANA name, such as UTC, Europe/Berlin or Asia/Shanghai."),
        ) from error


@dataclass(frozen=True, order=True)
class Period:
    """A calendar month, written ``2026-11``."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2026-11``.

        Raises:
            ConfigError: no month.
        """
        match = re.fullmatch(r"(\d{4})-(\d{2})", text)
        if match and _FIRST_YEAR <= int(match[1]) <= _LAST_YEAR and 1 <= int(match[2]) <= 12:
            return cls(int(match[1]), int(match[2]))
        raise ConfigError(_("Not a month: {text!r}.", text=text), remedy=_("Write it as 2026-11."))

    @classmethod
    def containing(cls, moment: datetime, zone: str) -> Self:
        """The month in which a moment is, by this zone's calendar."""
        there = moment.astimezone(zone_of(zone))
        return cls(there.year, there.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.month, 1)

    @property
    def following(self) -> Self:
        """The month after it."""
        later = self.first + timedelta(days=31)
        return type(self)(later.year, later.month)

    @property
    def preceding(self) -> Self:
        """The month before it."""
        earlier = self.first - timedelta(days=1)
        return type(self)(earlier.year, earlier.month)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.following.first - self.first).days

    def bounds(self, zone: str) -> tuple[datetime, datetime]:
        """From its first moment to the first one after it, in UTC."""
        return beginning_of(self.first, zone), beginning_of(self.following.first, zone)


def beginning_of(day: date, zone: str) -> datetime:
    """The first moment of a day in a zone, in UTC.

    Where clocks skip midnight, or a whole day, that is the first moment after the gap; where
    midnight comes twice, the earlier one.
    """
    # PEP 495: with fold=0 the offset before a gap, and the first of two, is the one that counts.
    return datetime(day.year, day.month, day.day, tzinfo=zone_of(zone)).astimezone(UTC)


@dataclass(frozen=True)
class Span:
    """Days from ``first`` up to, but not with, ``end``."""

    first: date
    end: date

    @property
    def days(self) -> int:
        """How many they are; none where it ends before it begins."""
        return max(0, (self.end - self.first).days)

    def within(self, other: Span) -> Span:
        """The days that both have."""
        return Span(max(self.first, other.first), min(self.end, other.end))


def span_of(period: Period) -> Span:
    """All days of a month."""
    return Span(period.first, period.following.first)


def share_of(days: int, period: Period) -> Fraction:
    """Which share of a month so many of its days are."""
    return Fraction(days, period.days)


def year_from(start: date, number: int) -> Span:
    """The so-manyth year (0 is the first) of what began on a day; from 29 February to 28."""
    return Span(_anniversary(start, number), _anniversary(start, number + 1))


def _anniversary(start: date, number: int) -> date:
    try:
        return start.replace(year=start.year + number)
    except ValueError:  # there is no 29 February that year
        return start.replace(year=start.year + number, day=28)
