"""The least that committing the same rows takes: sqlite3, one thread that commits, and callers.

The tables are a workspace's own, with their unique keys: an event and its leaf for each call, of
the same sizes, in WAL mode with ``synchronous=FULL``. Whoever waits is taken together, with two
statements for all of them. Nothing is priced, hashed, signed or said in JSON.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from itertools import count
from pathlib import Path

from benchmarks.billing.callers import Callers, together
from benchmarks.stopwatch import Stopwatch, answer, arguments

MOST_IN_ONE_COMMIT = 512
RECORD_BYTES = 770
"""As long as the record of an event on the log is."""


class Committer:
    """One thread that commits what waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[tuple[int, queue.SimpleQueue[bool]] | None]
        self._waiting = queue.SimpleQueue()
        self._numbers = count(1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._answers = threading.local()

    def call(self) -> None:
        """Commit one event and its leaf, and wait until they are on disk."""
        if not hasattr(self._answers, "own"):
            self._answers.own = queue.SimpleQueue()
        own = self._answers.own
        self._waiting.put((next(self._numbers), own))
        own.get()

    def close(self) -> None:
        """Commit what is left."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        events, leaves = (
            _inserting(connection, "usage_events"),
            _inserting(connection, "log_leaves"),
        )
        record, salt, leaf_hash = os.urandom(RECORD_BYTES), os.urandom(16), os.urandom(32)
        is_open = True
        while is_open:
            batch = [self._waiting.get()]
            try:
                while len(batch) < MOST_IN_ONE_COMMIT:
                    batch.append(self._waiting.get_nowait())
            except queue.Empty:
                pass
            is_open = None not in batch
            taken = [each for each in batch if each is not None]
            if not taken:
                continue
            connection.execute("BEGIN IMMEDIATE")
            (last,) = connection.execute("SELECT max(position) FROM log_leaves").fetchone()
            first = 0 if last is None else last + 1
            numbered = [(number, first + k) for k, (number, __) in enumerate(taken)]
            connection.executemany(
                leaves,
                [(position, "usage", record, salt, leaf_hash) for __, position in numbered],
            )
            connection.executemany(events, [_event(*each) for each in numbered])
            connection.execute("COMMIT")
            for __, own in taken:
                own.put(True)
        connection.close()


def _inserting(connection: sqlite3.Connection, table: str) -> str:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"


def _event(number: int, position: int) -> tuple[object, ...]:
    """All of its columns, in their order; ids as long as ours, and in no order."""
    scattered = number * 0x9E3779B97F4A7C15 % 2**64
    return (
        None,
        "cus_01kb0c2x9g7m3qk4j5n6p7r8st",
        "api",
        f"evt_{scattered:026x}",
        f"rcp_{scattered:026x}",
        "key_01kb0c2x9g7m3qk4j5n6p7r8st",
        "pets",
        "stable",
        "pets",
        "1",
        "b" * 64,
        "ok",
        '{"image":1}',
        "1" * 64,
        "2" * 64,
        0.93,
        0,
        0.0125,
        0.0071,
        "standard",
        1,
        "0.02",
        "EUR",
        1,
        "",
        0,
        "",
        "2026-11-26T14:00:00.000000Z",
        position,
    )


def main() -> None:
    asked = arguments(__doc__, "home", callers=64, seconds=10.0, warm_up=2.0, processes=1)
    watch = Stopwatch(asked.started)
    committer = Committer(Path(asked.home) / "mintage.db")
    committer.call()
    began = time.perf_counter()
    found = Callers(asked.callers, asked.seconds, asked.warm_up).run(committer.call)
    committer.close()
    rows = together([found])
    answer(watch, (), ran=round(time.perf_counter() - began, 2), **rows)


if __name__ == "__main__":
    main()
