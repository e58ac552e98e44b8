"""Tree heads, put where this log's owner cannot take them back: a folder elsewhere, a webhook.

A head that only its own log keeps shows nothing. Where one is kept by somebody else, whoever
rewrites the log afterwards is found out.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from mintage.capture import notices
from mintage.capture.webhooks import repository
from mintage.core.background import beside
from mintage.core.errors import MintageError
from mintage.core.files import readable_failures, write_atomic
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, SignedHead

TYPE = "log.head"
"""Of the notice that tells of a head."""
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0
_log = logging.getLogger(__name__)


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
            newest = max(folder.glob("*.head.txt"), key=lambda each: each.name, default=None)
            file = folder / _file_name(head)
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

    def watch(self, stop: threading.Event) -> None:
        """``give`` until ``stop``; what fails is logged once a while, and tried again."""
        pause = _LOOK_SECONDS
        while not stop.wait(pause):
            try:
                self.give()
                pause = _LOOK_SECONDS
            except MintageError as error:
                _log.error("The audit log's head cannot be given away: %s", error.message)
                pause = min(2 * pause, 60.0)

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """``watch`` beside what is done inside."""
        with beside(self.watch, "heads-away", patience_seconds=_PATIENCE_SECONDS):
            yield


def _file_name(head: SignedHead) -> str:
    """Such that names sort as sizes do within a log."""
    origin = re.sub(r"[^A-Za-z0-9]+", "-", head.origin).strip("-")
    return f"{origin}-{head.size:012}.head.txt"
