"""Signed again: by the present key, what one signed that was revoked since.

Only what our own audit log has, as made here, is signed again, word for word: the statement stays,
and its digest. So whoever holds the present public key can check what the log kept believable. The
leaf is on disk before the file changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.canonical import sha256_hex
from mintage.core.errors import SignatureMismatch
from mintage.core.files import write_atomic
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.dsse import open_envelope_by, packed, sign_envelope
from mintage.trust.folders import read_signature
from mintage.trust.key_record import is_among
from mintage.trust.keys import KeyRing, PublicKey, Role
from mintage.trust.leaves import append
from mintage.trust.shown import made_here
from mintage.trust.signing import SIGNATURE_FILE, check_folder, pack_signature, signed_by
from mintage.trust.statements import PAYLOAD_TYPE, ROLES, kept, kind_of

RENEWED = "signature.renewed"


@dataclass(frozen=True)
class KeptFile:
    """The file in which a document is signed, and whether another key signed it first."""

    data: bytes
    is_renewed: bool


class Renewing:
    """Signs again what is kept here, where the key that signed it was revoked."""

    def __init__(self, database: Database, keys: KeyRing, now: Callable[[], str]) -> None:
        """``now`` gives the moment as it stands in records."""
        self._database = database
        self._keys = keys
        self._now = now

    def document(self, name: str, *, asked: bool = False) -> KeptFile:
        """The file in which a document (``invoice/INV-2026-000001``) is signed.

        Where its key was revoked and our log had it before, it is signed again and kept beside;
        ``asked``: where our log has it at all.

        Raises:
            DataError: it was not signed here (404).
            SignatureMismatch: its key was revoked, and the log had it only afterwards.
        """
        with self._database.read() as connection:
            number, data = kept(connection, name)
        kind = kind_of(data)
        before = KeptFile(data, is_renewed=number > 1)
        if kind is None:
            return before  # whoever opens it says what is wrong with it
        role = ROLES[kind]
        try:
            payload, former = self._signer(
                role, lambda keys: open_envelope_by(json.loads(data), PAYLOAD_TYPE, keys)
            )
        except SignatureMismatch:
            return before  # the keys are gone, or it was damaged: likewise
        if not self._is_to_be_renewed(payload, former, asked=asked):
            return before
        signer = self._keys.signer(role)
        again = packed(sign_envelope(payload, PAYLOAD_TYPE, signer), PAYLOAD_TYPE, signer.key_id)
        record = self._record(name, payload, role, former, signer.public)

        def work(connection: repository.Connection) -> bytes:
            newest = kept(connection, name)
            if newest != (number, data):
                return newest[1]  # somebody else was faster
            repository.add_statement(connection, name, again, number + 1)
            append(connection, RENEWED, record)
            return again

        return KeptFile(self._database.write(work), is_renewed=True)

    def folder(self, folder: Path, subject: str, role: Role, *, asked: bool = False) -> bool:
        """Whether the signature of a bundle or a dataset was replaced by the present key's.

        Every byte of it is checked first. ``asked`` is as for ``document``.

        Raises:
            DataError: there is no such folder.
            SignatureMismatch: it is not what was signed, a key of somebody else signed it, or the
                key was revoked and the log had it only afterwards.
        """
        signature = read_signature(folder, SIGNATURE_FILE)
        payload, former = self._signer(role, lambda keys: signed_by(signature, keys))
        if not self._is_to_be_renewed(payload, former, asked=asked):
            return False
        check_folder(folder, [PublicKey(former.key)], subject=subject)
        signer = self._keys.signer(role)
        record = self._record(subject, payload, role, former, signer.public)
        self._database.write(lambda connection: append(connection, RENEWED, record))
        # Not made in the folder: a reader would find a file there that nobody signed.
        signature = pack_signature(payload, signer)
        write_atomic(folder / SIGNATURE_FILE, signature, scratch=folder.parent)
        return True

    def _signer(
        self, role: Role, opened: Callable[[Sequence[PublicKey]], tuple[bytes, PublicKey]]
    ) -> tuple[bytes, PublicKey]:
        """What is signed, and which of our own keys did, whatever became of it."""
        ours = {each.key_id: each for each in self._keys.ours(role, revoked=True)}
        try:
            payload, key = opened([PublicKey(each.key) for each in ours.values()])
        except SignatureMismatch as error:
            raise SignatureMismatch(
                _("No key of this workspace signed this, or it was changed."),
                remedy=_("Ask its maker for one that is signed with the key that they have now."),
            ) from error
        return payload, ours[key.key_id]

    def _is_to_be_renewed(self, payload: bytes, key: PublicKey, *, asked: bool) -> bool:
        if key.revocation is None:
            return False
        if not asked:
            key.check_still_believed(payload)
        # A thief may sign something with our key and have us take it in: that it was imported in
        # time makes it believed here, and not ours.
        if not is_among(made_here(self._database, self._now()), payload):
            raise SignatureMismatch(
                _("The audit log does not have that this was made here: it is not signed again."),
                remedy=_("Make it anew: whoever took the key may have made this one."),
            )
        return True

    def _record(
        self, name: str, payload: bytes, role: Role, former: PublicKey, key: PublicKey
    ) -> Mapping[str, Any]:
        return {
            "name": name,
            "sha256": sha256_hex(payload),
            "role": role,
            "key_id": key.key_id,
            "former": former.key_id,
            "signed_at": self._now(),
        }
