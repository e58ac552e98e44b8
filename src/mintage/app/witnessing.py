"""Witnesses: what others say of our heads, and what we say of theirs."""

from __future__ import annotations

from pathlib import Path

from mintage.app.auditing import Auditing, read_note
from mintage.core.errors import ConfigError, SignatureMismatch
from mintage.core.messages import _
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.cosigning import Cosigned, cosignatures
from mintage.trust.key_files import read_public_key
from mintage.trust.keys import KeyRing, PublicKey
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
        signer = self._keys.signer("witness")
        witness = Witness(self._workspace.database, signer, self._workspace.clock)
        return witness.cosigned(read_note(head), read_public_key(log_key), name, shown)

    def take(self, note: Path, key: Path | None, name: str | None = None) -> list[Cosigned]:
        """Keep what witnesses said of a head of ours, for all who ask for it.

        ``key`` is a witness's; None: those that are trusted here. Only what ``name`` said is kept,
        where one is given.

        Raises:
            ConfigError: the files cannot be read, no witness's key is known, or this log has signed
                no such head.
            SignatureMismatch: the head is not ours, or no witness signed it.
        """
        head = self._auditing.read_head(note)
        keys = self._trusted() if key is None else [read_public_key(key)]
        found = [each for each in cosignatures(head.note, keys) if name in (None, each.name)]
        if not found:
            raise SignatureMismatch(
                _("The note has no cosignature by these witnesses."),
                remedy=_("Ask the witness for it anew, and for its key by another way."),
            )
        for each in found:
            if not self._log.keep_cosignature(head, each.name, each.line):
                raise ConfigError(
                    _("This log has signed no such head of {size} entries.", size=head.size),
                    remedy=_(
                        "A head that this log's key signed elsewhere shows that it was forked."
                    ),
                )
        return found

    def _trusted(self) -> list[PublicKey]:
        own = self._keys.own("witness")
        found = [each for each in self._keys.public_keys("witness") if each != own]
        if not found:
            raise ConfigError(
                _("No witness's key is trusted here."),
                remedy=_("Name it with --key, or first: mintage trust add NAME.witness.pub"),
            )
        return found
