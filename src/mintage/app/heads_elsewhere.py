"""Tree heads, put where this log's owner cannot take them back: a folder elsewhere, a webhook.

A head that only its own log keeps shows nothing. Where one is kept by somebody else, whoever
rewrites the log afterwards is found out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from mintage.capture import notices
from mintage.capture.webhooks import repository
from mintage.core.background import Rounds, beside
from mintage.core.files import readable_failures, write_atomic
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, SignedHead

TYPE = "log.head"
"""Of the notice that tells of a head."""
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0


class HeadsElsewhere:
    """Gives away the newest head, where there is a new one and the last is old enough."""

    def __init__(
        self, workspace: Workspace, log: AuditLog, folder: Path | None, every_seconds: float
    ) -> None:
        """``folder`` gets a file for each head; None: there is none."""
        self._workspace = workspace
        self._log = log
        self._folder = folder
        self._every = timedelta(seconds=every_seconds)

    def give(self) -> list[str]:
        """Give the newest head to whoever is due; to whom it was given: ``folder``, ``webhook``.

        Several servers may do so at once: a head is given twice at worst.

        Raises:
            MintageError: the folder cannot be written to.
        """
        head = self._log.recent()
        given = []
        if self._folder is not None and self._put(self._folder, head):
            given.append("folder")
        if self._told(head):
            given.append("webhook")
        return given

    def _put(self, folder: Path, head: SignedHead) -> bool:
        with readable_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
            file, ours = folder / _file_name(head), _file_name(head, "[0-9]" * 12)
            newest = max(folder.glob(ours), key=lambda each: each.name, default=None)
            if file.exists():
                return False
            if newest is not None and not self._is_due(newest.stat().st_mtime):
                return False
        write_atomic(file, head.note.encode())
        return True

    def _is_due(self, last: float) -> bool:
        # A file of the future is no reason to wait for it.
        since = timedelta(seconds=self._workspace.clock.now().timestamp() - last)
        return not timedelta(0) <= since < self._every

    def _told(self, head: SignedHead) -> bool:
        now = self._workspace.clock.now()

        def due(connection: repository.Connection) -> bool:
            last = repository.last_notice(connection, TYPE)
            if last is None:
                return notices.is_heard(connection, None, TYPE)
            if json.loads(last["data"])["head"] == head.note:
                return False
            told = datetime.fromisoformat(last["told_at"])
            is_old = not timedelta(0) <= now - told < self._every
            return is_old and notices.is_heard(connection, None, TYPE)

        def work(connection: repository.Connection) -> bool:
            if not due(connection):
                return False
            said = {"origin": head.origin, "size": head.size, "head": head.note}
            notices.tell(connection, None, TYPE, said, now)
            return True

        with self._workspace.database.read() as connection:
            if not due(connection):
                return False
        return self._workspace.database.write(work)

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """``give`` beside what is done inside; what fails is logged, and tried again."""
        rounds = Rounds("heads-away", self.give, "The audit log's head cannot be given away")
        watch = partial(rounds.until, every_seconds=_LOOK_SECONDS)
        with beside(watch, rounds.name, patience_seconds=_PATIENCE_SECONDS):
            yield


def _file_name(head: SignedHead, size: str | None = None) -> str:
    """Such that names sort as sizes do within a log, and those of other logs are others."""
    origin = re.sub(r"[^A-Za-z0-9]+", "-", head.origin).strip("-")
    return f"{origin}-{size or f'{head.size:012}'}.head.txt"
