"""Installed libraries against advisories that a user supplies; nothing is fetched.

The format is the Open Source Vulnerability format (https://ossf.github.io/osv-schema/): one record
a file, a list of records, or the zip of an ecosystem as osv.dev gives it.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel

from mintage.app.security.cvss import base_score
from mintage.app.security.weakness import Severity, Weakness
from mintage.core.errors import DataError, said_by
from mintage.core.files import read_whole
from mintage.core.messages import _

_ECOSYSTEM = "pypi"
_OLD = timedelta(days=30)
_MOST_BYTES = 16_000_000
"""Of one record; the largest that are published have a few hundred kilobytes."""
_WORDS: Mapping[str, Severity] = {
    "CRITICAL": "critical",
    "HIGH": "high",
    "MODERATE": "medium",
    "MEDIUM": "medium",
    "LOW": "low",
}


class Package(BaseModel):
    """Which package of which ecosystem."""

    ecosystem: str = ""
    name: str = ""


class Span(BaseModel):
    """Where weaknesses begin and end: ``introduced``, ``fixed`` and ``last_affected`` versions."""

    type: str = ""
    events: list[dict[str, str]] | None = None


class Affected(BaseModel):
    """The versions of one package, listed and by ranges."""

    package: Package | None = None
    ranges: list[Span] | None = None
    versions: list[str] | None = None

    @property
    def spans(self) -> list[Span]:
        """The ranges in which versions are ordered as the ecosystem orders them."""
        return [each for each in self.ranges or () if each.type == "ECOSYSTEM"]


class Score(BaseModel):
    """A vector of CVSS."""

    score: str = ""


class Record(BaseModel):
    """What is read of an advisory; its other members are passed over."""

    id: str
    modified: str | None = None
    withdrawn: str | None = None
    aliases: list[str] | None = None
    summary: str | None = None
    affected: list[Affected] | None = None
    severity: list[Score] | None = None
    database_specific: dict[str, Any] | None = None

    def of_python(self) -> Iterator[tuple[str, Affected]]:
        """What is affected of Python's packages, by their normalised names."""
        for each in self.affected or ():
            if each.package is not None and each.package.ecosystem.lower() == _ECOSYSTEM:
                yield normalised(each.package.name), each


@dataclass(frozen=True)
class Advisories:
    """Those about Python's packages, by the package's name; ``newest`` is when one was changed."""

    by_package: Mapping[str, Sequence[Record]]
    records: int
    newest: datetime | None

    @classmethod
    def read(cls, path: Path) -> Advisories:
        """A file, a zip, or a folder of them.

        Raises:
            DataError: it cannot be read, or holds no advisory.
        """
        by_package: dict[str, list[Record]] = {}
        count, newest = 0, None
        for record in _records(path):
            count += 1
            changed = _moment(record.modified)
            newest = max(filter(None, (newest, changed)), default=None)
            for name in {name for name, __ in record.of_python()}:
                by_package.setdefault(name, []).append(record)
        if not count:
            raise DataError(
                _("{path} holds no advisory.", path=path),
                remedy=_("Give a record in OSV's format, a folder of them, or osv.dev's all.zip."),
            )
        return cls(by_package, count, newest)

    def examine(self, installed: Mapping[str, str], now: datetime) -> Iterator[Weakness]:
        """Each installed version that an advisory names; ``installed`` are versions by name."""
        yield self._age(now)
        for name, version in sorted(installed.items()):
            seen: set[str] = set()
            for record in self.by_package.get(name, ()):
                names = {record.id, *(record.aliases or ())}
                if not seen & names and is_affected(record, name, version):
                    yield _weakness(record, name, version)
                    seen |= names

    def _age(self, now: datetime) -> Weakness:
        if self.newest is None:
            said = _(
                "{count:,} advisories, of which none says when it was changed", count=self.records
            )
            return Weakness("advisories.age", "low", said, _FETCH)
        age = now - self.newest
        said = _(
            "{count:,} advisories, the newest {days} days old",
            count=self.records,
            days=max(0, age.days),
        )
        return Weakness("advisories.age", "low" if age > _OLD else "info", said, _FETCH)


_FETCH = _("Fetch newer ones, such as osv.dev's all.zip of PyPI, before each audit.")


def installed_versions() -> dict[str, str]:
    """The version of every library that this Python finds, by its normalised name."""
    found: dict[str, str] = {}
    for each in metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(normalised(name), each.version)
    return found


def normalised(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_affected(record: Record, name: str, version: str) -> bool:
    """Whether a record names this version: in its list, or within one of its ranges."""
    if record.withdrawn:
        return False
    found = _version(version)
    for package, affected in record.of_python():
        if package != name:
            continue
        listed = affected.versions or ()
        if version in listed or (found and any(_version(each) == found for each in listed)):
            return True
        if found and any(_within(each, found) for each in affected.spans):
            return True
    return False


_FIRST = Version("0.dev0")
"""What OSV's "0" means: before every version."""


def _within(span: Span, version: Version) -> bool:
    """OSV's own algorithm: of the events that the version has reached the last decides."""
    events = [
        (at, kind)
        for event in span.events or ()
        for kind, value in event.items()
        if (at := _FIRST if value == "0" else _version(value)) is not None
    ]
    inside = False
    for at, kind in sorted(events):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def severity_of(record: Record) -> Severity:
    """As the record's own database says, else by its CVSS vector; where neither says, high."""
    said = str((record.database_specific or {}).get("severity", "")).upper()
    if said in _WORDS:
        return _WORDS[said]
    vectors = [each.score for each in record.severity or ()]
    scores = [score for vector in vectors if (score := base_score(vector)) is not None]
    if not scores:
        return "high"
    worst = max(scores)
    bars: tuple[tuple[float, Severity], ...] = ((9, "critical"), (7, "high"), (4, "medium"))
    return next((severity for bar, severity in bars if worst >= bar), "low")


def _weakness(record: Record, name: str, version: str) -> Weakness:
    fixed = _fixed(record, name, version)
    remedy = (
        _("No version without it is named; see {id}.", id=record.id)
        if fixed is None
        else _("Upgrade it: pip install '{name}>={fixed}'", name=name, fixed=fixed)
    )
    said = _(
        "{name} {version} is known to be vulnerable: {id} {summary}",
        name=name,
        version=version,
        id=record.id,
        summary=(record.summary or "")[:200],
    )
    return Weakness("dependency.vulnerable", severity_of(record), said, remedy)


def _fixed(record: Record, name: str, version: str) -> str | None:
    """The lowest version above this one in which it is mended."""
    now = _version(version)
    found = [
        at
        for package, affected in record.of_python()
        if package == name
        for span in affected.spans
        for event in span.events or ()
        if "fixed" in event and (at := _version(event["fixed"])) is not None
        if now is None or at > now
    ]
    return str(min(found)) if found else None


def _records(path: Path) -> Iterator[Record]:
    for name, data in _documents(path):
        if len(data) > _MOST_BYTES:
            raise _malformed(name)
        try:
            found = json.loads(data)
            for each in found if isinstance(found, list) else [found]:
                yield Record.model_validate(each)
        except (ValueError, RecursionError) as error:  # pydantic's own is a ValueError
            raise _malformed(name) from error


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every JSON file there, of which no more is read than may be."""
    try:
        if path.is_dir():
            for each in sorted(path.rglob("*.json")):
                yield each.name, read_whole(each, _MOST_BYTES)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(".json"):
                        with archive.open(name) as stream:
                            yield name, stream.read(_MOST_BYTES + 1)
        else:
            yield path.name, path.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        reason = said_by(error) if isinstance(error, OSError) else _("it is damaged")
        raise DataError(_("{path} cannot be read: {reason}.", path=path, reason=reason)) from error


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _malformed(name: str) -> DataError:
    return DataError(
        _("{name} holds no advisory in OSV's format.", name=name),
        remedy=_("Give a record of https://ossf.github.io/osv-schema/, or leave the file out."),
    )
