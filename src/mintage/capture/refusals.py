"""What was refused, and to whom: counted in memory, and a minute at a time on the audit log.

So is what else of calls is no usage event: answers that were given again, calls that there was no
room for, and what a shadow was asked.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from threading import Event, Lock, Thread
from typing import Any

from mintage.capture import repository
from mintage.capture.keys import ApiKey
from mintage.core.background import Rounds
from mintage.core.canonical import Spelled
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import Unauthenticated
from mintage.store.engine import Database
from mintage.trust import audit

_EVERY_SECONDS = 60.0
_MOST = 10_000
"""Kinds of refusals between two records; those beyond are counted without their key."""

Kind = tuple[str, str | None, str | None, str]
"""The record's, then the key's digest, the product, and why or how it ended."""
_REFUSED, _COUNTED = "calls.refused", "calls.counted"
_OPERATOR_REFUSED = "operator.refused"  # of these the second is the operator's id


class Refusals:
    """A record says how often one key was refused something for one reason, and since when.

    A flood of bad keys makes a record a minute, not one each: what is no key of ours is counted
    together. What was counted since the last record is lost where the process is killed.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counts: Counter[Kind] = Counter()
        self._since = ""
        self._lock = Lock()
        self._end = Event()
        self._thread: Thread | None = None
        self._rounds = Rounds("refusals", self.write, "Refusals are not on the log")

    def note(self, key: str | None, product: str | None, code: str) -> None:
        """Count a refusal; answers at once."""
        self._note((_REFUSED, _digest(key), product, code))

    def note_operator(self, operator: str | None, code: str) -> None:
        """Count a refusal at the operators' port; None is nobody known. Answers at once."""
        self._note((_OPERATOR_REFUSED, operator, None, code))

    def count(self, key: str | None, product: str, outcome: str) -> None:
        """Count what is neither a refusal nor an event; answers at once."""
        self._note((_COUNTED, _digest(key), product, outcome))

    def _note(self, kind: Kind) -> None:
        with self._lock:
            if not self._counts:
                self._since = timestamp(self._clock.now())
            if kind not in self._counts and len(self._counts) >= _MOST:
                kind = kind[0], None, None, kind[3]
            self._counts[kind] += 1
            if self._thread is None:
                watch = partial(self._rounds.until, self._end, _EVERY_SECONDS)
                self._thread = Thread(target=watch, name=self._rounds.name, daemon=True)
                self._thread.start()

    def write(self) -> None:
        """Put what was counted on the audit log; raises MintageError where that cannot be."""
        with self._lock:
            counts, since, self._counts = self._counts, self._since, Counter()
        if not counts:
            return
        while_counted = {"since": since, "until": timestamp(self._clock.now())}
        try:
            # Looked up before the write: as long as that takes, no call could be recorded.
            with self._database.read() as connection:
                records = _records(connection, counts)
            named = {
                kind: [Spelled.of(each | while_counted) for each in some]
                for kind, some in records.items()
            }

            def work(connection: repository.Connection) -> None:
                for kind, some in named.items():
                    audit.append_all(connection, kind, some)

            self._database.write(work)
        except Exception:
            with self._lock:
                self._since = since
                self._counts.update(counts)
            raise

    def close(self) -> None:
        """Write what is left, when the server ends."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self._rounds.once()


def _digest(key: str | None) -> str | None:
    try:
        return ApiKey.parse(key).sha256
    except Unauthenticated:
        return None


def _records(
    connection: repository.Connection, counts: Counter[Kind]
) -> dict[str, list[dict[str, Any]]]:
    """One for each key and product of ours and code; of refusals to others the code alone."""
    found: dict[str, Counter[tuple[Any, ...]]] = {}
    for (kind, digest, product, code), count in counts.items():
        if kind == _OPERATOR_REFUSED:
            found.setdefault(kind, Counter())[digest, code] += count
            continue
        row = None if digest is None else repository.key_by_digest(connection, digest)
        # What a caller wrote in the place of a product might be anything: their key, for one.
        ours = product is not None and repository.offer(connection, product) is not None
        named = product if ours else None
        known = (None, None) if row is None else (row["customer"], row["id"])
        told = None if row is None and kind == _REFUSED else named
        found.setdefault(kind, Counter())[(*known, told, code)] += count
    return {kind: _listed(kind, some) for kind, some in found.items()}


_NAMES: dict[str, tuple[str, ...]] = {
    _REFUSED: ("customer", "key", "product", "code"),
    _COUNTED: ("customer", "key", "product", "outcome"),
    _OPERATOR_REFUSED: ("operator", "code"),
}


def _listed(kind: str, counts: Counter[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = _NAMES[kind]
    return [
        {**dict(zip(names, each, strict=True)), "count": count}
        for each, count in sorted(counts.items(), key=lambda pair: tuple(map(str, pair[0])))
    ]
