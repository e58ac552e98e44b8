"""Durations (``90s``, ``5m``, ``2h``), sizes and names as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.types import RATE_UNITS, Rate

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ZONE = re.compile(r"[+-]\d\d:\d\d$")
_NAME = re.compile(r"[\w](?:[\w.-]{0,62}[\w])?")


def parse_share(text: str) -> float:
    """A share from ``98%`` or ``0.98``.

    Raises:
        ConfigError: no number between 0 and 1, or 0 % and 100 %.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise ConfigError(
            _("Not a share: {text!r}.", text=text),
            remedy=_("Write it as 20%, or as 0.2."),
        )
    return share


def parse_rate(text: str) -> Rate:
    """A rate from ``600/minute``; also per second, hour or day.

    Raises:
        ConfigError: no whole number above 0 with one of those.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,8})\s*/\s*(second|minute|hour|day)", text.strip())
    if not match:
        raise ConfigError(
            _("Not a rate: {text!r}.", text=text),
            remedy=_("Write it as 10/second, 600/minute, 5000/hour or 50000/day."),
        )
    return Rate(int(match[1]), RATE_UNITS[match[2]])


def parse_duration(text: str) -> float:
    """Seconds from ``90s``, ``5m``, ``2h`` or ``1.5h``.

    Raises:
        ConfigError: no number with one of the units s, m, h, d.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if not match:
        raise ConfigError(
            _("Not a duration: {text!r}.", text=text), remedy=_("Write it as 90s, 5m or 2h.")
        )
    return float(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """A duration as a person would say it: ``42 s``, ``3 min 05 s``, ``1 h 20 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_size(size_bytes: int) -> str:
    """Bytes as a person would say them: ``640 B``, ``9.4 kB``, ``12 MB``, ``1.4 GB``."""
    amount, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    whole = amount >= 9.95 or units[0] == "B"
    return f"{amount:.0f} {units[0]}" if whole else f"{amount:.1f} {units[0]}"


def parse_moment(text: str) -> datetime:
    """What ``2027-01-31`` (its first moment, in UTC) or ``2027-01-31T12:00:00Z`` means.

    Raises:
        ConfigError: it is neither.
    """
    said = text.strip().upper()
    whole = f"{said}T00:00:00Z" if len(said) == len("2027-01-31") else said
    try:
        if not whole.endswith("Z") and not _ZONE.search(whole):
            whole = ""  # nobody knows of which zone
        return datetime.fromisoformat(whole).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            _("Not a moment: {text!r}.", text=said[:50]),
            remedy=_("Write it as 2027-01-31 or 2027-01-31T12:00:00Z."),
        ) from error


def check_name(name: str, kind: str) -> str:
    """Return the name if it can stand in a path, an address and a reference.

    Raises:
        ConfigError: empty, too long, or with characters that have another meaning.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            _("Not a name for a {kind}: {name!r}.", kind=kind, name=name),
            remedy=_("Use 1 to 64 letters, digits, '-', '_' or '.', not starting with a dot."),
        )
    return name


@dataclass(frozen=True)
class Reference:
    """A name with an optional version: ``pets@3`` is a model, ``pets#1f9c…`` a dataset."""

    name: str
    version: str | None

    @classmethod
    def parse(cls, text: str, *, mark: str, kind: str) -> Reference:
        """Split at ``mark``; ``latest`` and nothing mean the newest."""
        name, found, version = text.partition(mark)
        other = {"@": "#", "#": "@"}[mark]
        if other in name:
            raise ConfigError(
                _("{text} is the name of a model's version, not of a dataset.", text=text)
                if mark == "#"
                else _("{text} is the name of a dataset's version, not of a model.", text=text),
                remedy=_("Whatever it is, this shows it: mintage show {text}", text=text),
            )
        check_name(name, kind)
        return cls(name, version if found and version not in ("", "latest") else None)
