"""The workspace's lock: whoever has it open holds it shared; a few things need it alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.files import readable_failures
from mintage.core.messages import _


class WorkspaceLock:
    """A ``flock``: it ends with the process that holds it, however that ends."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Open the lock's file, made where it is new and the disk can be written."""
        self._home = path.parent
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        with readable_failures(path):
            if not writable and not path.exists():
                raise ConfigError(
                    _("There is no workspace in {home}, nor can one be made.", home=path.parent),
                    remedy=_("Name another with --home."),
                )
            self._descriptor: int | None = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def try_alone(self) -> bool:
        """Hold it alone, if nobody else holds it; if not, it is not held at all afterwards."""
        try:
            self._flock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Hold it with others; waits for whoever holds it alone."""
        self._flock(fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else has the workspace open; whoever wants to waits until this ends.

        Raises:
            ConfigError: another process has it open.
        """
        if not self.try_alone():
            self.share()
            raise self.in_use()
        try:
            yield
        finally:
            self.share()

    def in_use(self) -> ConfigError:
        """Another process has the workspace open."""
        return ConfigError(
            _("The workspace {home} is in use by another process.", home=self._home),
            remedy=_("Stop the server, or wait until the other command has ended."),
        )

    def close(self) -> None:
        """Let go; a second time nothing happens, as the number may be another file's by then."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _flock(self, how: int) -> None:
        if self._descriptor is None:
            raise DependencyDown(_("The workspace is closed."), remedy=_("Open it again."))
        fcntl.flock(self._descriptor, how)
