"""Being the witness of others' logs: each newer head is cosigned only where it continues the last.

What was seen of a log is kept before its cosignature leaves, so that a crash, or two requests at
once, never make one witness sign two histories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, LogForked
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import merkle, repository
from mintage.trust.cosigning import cosign
from mintage.trust.keys import PublicKey, Signer
from mintage.trust.leaves import append
from mintage.trust.notes import SignedHead, check_name, verify_note

_REMEDY = _("Keep both heads: where the log's key signed them, they show that it was forked.")


class Witness:
    """Signs heads of other logs; what it has seen of each stands in its own workspace."""

    def __init__(self, database: Database, signer: Signer, clock: Clock) -> None:
        """``signer`` is a key of Ed25519, which signs for no other witness."""
        self._database = database
        self._signer = signer
        self._clock = clock

    def seen(self, origin: str) -> SignedHead | None:
        """The largest head of a log that was cosigned here."""
        with self._database.read() as connection:
            return repository.witnessed(connection, origin)

    def cosigned(
        self, note: str, log_key: PublicKey, name: str, proof: Mapping[str, Any] | None = None
    ) -> str:
        """The note with our cosignature, once it is found to continue what was seen before.

        ``proof`` is what ``mintage audit prove --since SIZE`` prints, SIZE being that of the last
        head that was cosigned; the first head of a log, and the same one again, need none.

        Raises:
            ConfigError: a proof is needed and not given, or is of other sizes.
            LogForked: the head does not continue the last one.
            SignatureMismatch: the note was not signed by this key.
        """
        check_name(name)
        head = verify_note(note, log_key, note.partition("\n")[0])
        now = self._clock.now()

        def work(connection: repository.Connection) -> None:
            last = repository.witnessed(connection, head.origin)
            if last is not None:
                _check_continues(last, head, proof)
            if last is None or last.size < head.size:
                self._keep(connection, head, now)

        self._database.write(work)
        return cosign(note, name, self._signer, now)

    def _keep(self, connection: repository.Connection, head: SignedHead, now: datetime) -> None:
        moment = timestamp(now)
        repository.keep_witnessed(connection, head.origin, head, moment)
        record = {"origin": head.origin, "size": head.size, "root": head.root.hex()}
        append(connection, "head.witnessed", record | {"witnessed_at": moment})


def _check_continues(last: SignedHead, head: SignedHead, proof: Mapping[str, Any] | None) -> None:
    if head.size < last.size:
        raise ConfigError(
            _(
                "This head of {origin} is of {size} entries, and one of {seen} was seen already.",
                origin=head.origin,
                seen=last.size,
                size=head.size,
            ),
            remedy=_("Ask for the newest head: that one is older, or the log was cut short."),
        )
    path: list[bytes] = []
    if head.size > last.size and last.size:
        path = _path_of(proof, last.size, head.size)
    if last.size:
        try:
            merkle.verify_consistency(last.size, head.size, last.root, head.root, path)
        except LogForked as error:
            raise LogForked(error.message, remedy=_REMEDY) from error


def _path_of(proof: Mapping[str, Any] | None, seen: int, size: int) -> list[bytes]:
    if proof is None:
        raise ConfigError(
            _(
                "That the log of {size} entries begins with the {seen} seen before is not shown.",
                size=size,
                seen=seen,
            ),
            remedy=_(
                "Have its owner run: mintage audit prove --since {seen}; then add --proof FILE.",
                seen=seen,
            ),
        )
    try:
        asked, path = (proof["from"], proof["to"]), [bytes.fromhex(each) for each in proof["path"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            _("This is no proof that a log only grew."),
            remedy=_("Have its owner run: mintage audit prove --since {seen}", seen=seen),
        ) from error
    if asked != (seen, size):
        raise ConfigError(
            _(
                "The proof is from {first} entries to {last}, not from {seen} to {size}.",
                first=asked[0],
                last=asked[1],
                seen=seen,
                size=size,
            ),
            remedy=_("Have its owner run: mintage audit prove --since {seen}", seen=seen),
        )
    return path


def proof_from(text: str) -> Mapping[str, Any]:
    """Read a proof's file.

    Raises:
        ConfigError: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            _("This is no proof that a log only grew."),
            remedy=_("It is what mintage audit prove --since SIZE prints."),
        )
    return found
