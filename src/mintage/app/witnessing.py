"""Witnesses: what others say of our heads, and what we say of theirs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from mintage.app.auditing import Auditing, read_note
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.cosigning import cosigned
from mintage.trust.key_files import read_public_key
from mintage.trust.keys import KeyRing
from mintage.trust.witness import Witness, proof_from

NAME = "mintage.local/witness"
"""What a witness is called that gives itself no other name."""


class Witnessing:
    """Both sides of it, over one workspace."""

    def __init__(
        self, workspace: Workspace, keys: KeyRing, log: AuditLog, auditing: Auditing
    ) -> None:
        self._workspace = workspace
        self._keys = keys
        self._log = log
        self._auditing = auditing

    def witness(self, head: Path, log_key: Path, proof: Path | None, name: str = NAME) -> str:
        """The head of another's log with our cosignature; raises as ``Witness.cosigned`` does."""
        shown = None if proof is None else proof_from(read_note(proof))
        witness = Witness(self._workspace.database, self._keys.signer("log"), self._workspace.clock)
        return witness.cosigned(read_note(head), read_public_key(log_key), name, shown)

    def take(self, note: Path, key: Path, name: str = NAME) -> datetime:
        """Keep what a witness said of a head of ours, for all who ask for it; when it said so.

        Raises:
            ConfigError: the files cannot be read, or this log has signed no such head.
            SignatureMismatch: the head is not ours, or the witness did not sign it.
        """
        head = self._auditing.read_head(note)
        moment, line = cosigned(head.note, name, read_public_key(key))
        if not self._log.keep_cosignature(head, name, line):
            raise ConfigError(
                _("This log has signed no such head of {size} entries.", size=head.size),
                remedy=_("A head that this log's key signed elsewhere shows that it was forked."),
            )
        return moment
