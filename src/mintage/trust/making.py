"""Signing keys that are made on first use: each has its entry on the log before it signs."""

from __future__ import annotations

from mintage.core.clock import Clock, timestamp
from mintage.store.engine import Database
from mintage.store.workspace import Workspace
from mintage.trust import repository
from mintage.trust.kept_heads import key_missing
from mintage.trust.keys import KeyRing
from mintage.trust.leaves import append
from mintage.trust.public_key import PublicKey, Role


class LoggedMaking:
    """Implements ``Making`` for the keys of a workspace."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def making(self, role: Role, key: PublicKey) -> None:
        """Log a key that is about to be there; of the root's, ``SigningKeys`` does.

        Of two processes that make one at once, both log theirs, and one is never used.

        Raises:
            DependencyDown: the log cannot be written.
            TrustError: it is for the log, which another key signed that is not here.
        """
        if role == "root":
            return
        if role == "log":
            self._check_log()
        record = {
            "role": role,
            "key_id": key.key_id,
            "algorithm": key.algorithm,
            "changed_at": timestamp(self._clock.now()),
        }

        def work(connection: repository.Connection) -> None:
            append(connection, "signing_key.made", record)

        logged = self._database.submit(work, only_adds=True)
        if not self._database.is_committing_here:  # else it would wait for itself
            logged.result()

    def _check_log(self) -> None:
        with self._database.read() as connection:
            logs = repository.all_logs(connection)
            if logs and repository.last_head(connection, logs[-1].number) is not None:
                raise key_missing(logs[-1].origin)


def key_ring(workspace: Workspace) -> KeyRing:
    """The keys of a workspace, which the log hears of as they are made."""
    making = LoggedMaking(workspace.database, workspace.clock)
    return KeyRing(workspace.key_folder, workspace.clock, making)
