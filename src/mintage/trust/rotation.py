"""Our own signing keys through time: rotate, revoke, and publish their list.

The leaf is on disk before the files change. The record ``signing-keys.json`` is the switch: a crash
before it leaves the former key, one after it the new key, and the same verb again finishes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from mintage.core.canonical import sha256_hex
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import (
    ConfigError,
    DataError,
    RequestError,
    TrustError,
)
from mintage.core.files import readable_failures, sync_folder, write_atomic
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import audit
from mintage.trust.kept_heads import newest_good
from mintage.trust.key_list import KeyList, ListedKey, open_list, sign_list
from mintage.trust.key_record import KeyRecord, alone, read_shown, shown_name, write_shown
from mintage.trust.keys import KeyRing, SigningRole
from mintage.trust.notes import SignedHead, add_signature, key_id, key_ids
from mintage.trust.own_keys import recorded
from mintage.trust.public_key import PublicKey
from mintage.trust.repository import Connection
from mintage.trust.shown import logged_before
from mintage.trust.signer import Signer, make_private, parsed, read_private
from mintage.trust.trusted import KEY_ID

_LONGEST_REASON = 500


@dataclass(frozen=True)
class Rotated:
    """A role's new key, and the one whose place it took."""

    key: ListedKey
    former: ListedKey


@dataclass(frozen=True)
class Revoked:
    """A key that is believed no longer, what of it our log had before, and what took its place."""

    key: ListedKey
    shown: Sequence[str]
    successor: ListedKey | None


class SigningKeys:
    """The keys that a workspace signs with, former ones too."""

    def __init__(
        self, database: Database, keys: KeyRing, clock: Clock, head: Callable[[], SignedHead]
    ) -> None:
        """``head`` is the audit log's present tree head, signed by the log's key as it is now."""
        self._database = database
        self._keys = keys
        self._clock = clock
        self._head = head

    def list(self) -> Sequence[ListedKey]:
        """Every key that was made here, by role, the current one first."""
        record = self._recorded()
        return [each for role in get_args(SigningRole) for each in record.keys.of(role)]

    def rotate(self, role: SigningRole) -> Rotated:
        """Sign with a new key from now on; what the former one signed is believed on.

        The former private key is overwritten once the switch is durable. A new key for the log
        signs the tree head of that moment together with the former one.

        Raises:
            RequestError: there is no key yet, since nothing was signed (404).
            TrustError: a file is not its owner's alone, or damaged.
        """
        with alone(self._keys.folder):
            self._finish(role)
            now, record = self._moment(), self._recorded()
            former = record.keys.current(role)
            if former is None:
                raise RequestError(
                    _("There is no key of the role {role} yet.", role=role),
                    remedy=_("It is made when it first signs, and needs no rotation until then."),
                    http_status=404,
                )
            signer = self._successor(role)
            self._log([("signing_key.rotated", _rotation(role, signer.public, former.key, now))])
            key = self._followed(record, former, former.ended(now), signer, now)
        return Rotated(key, former.ended(now))

    def revoke(self, key_id: str, reason: str, at: datetime | None = None) -> Revoked:
        """Believe a key no longer: what it signed ``at`` that moment (now) or after is refused.

        What it signed before is believed where our log had it before. The key that a role signs
        with is replaced in the same act.

        Raises:
            ConfigError: not a key id, no reason, or a moment that is still to come.
            RequestError: no key here has this id (404), or it was revoked already (409).
        """
        said = _checked_reason(reason)
        with alone(self._keys.folder):
            for role in get_args(SigningRole):
                self._finish(role)
            now, record = self._moment(), self._recorded()
            moment = now if at is None else timestamp(at)
            if moment > now:
                raise ConfigError(
                    _("A key cannot be revoked as of a moment to come: {moment}.", moment=moment),
                    remedy=_("Leave --at out to revoke it now."),
                )
            before = _found(record.keys, key_id)
            if before.revoked_at is not None and before.revoked_at <= moment:
                raise RequestError(
                    _("That key is revoked as of {moment} already.", moment=before.revoked_at),
                    remedy=_("Say an earlier moment with --at, if it leaked before."),
                    http_status=409,
                )
            key = before.revoked(moment, said, now)
            successor = self._successor(before.role) if before.is_current else None
            leaves = [("signing_key.revoked", _revocation(key, now))]
            if successor is not None:
                about = _rotation(before.role, successor.public, before.key, now)
                leaves.insert(0, ("signing_key.rotated", about))
            shown = logged_before(self._database, moment, is_now=at is None)
            self._log(leaves)
            folder = self._keys.folder
            write_shown(folder, {**read_shown(folder), shown_name(key.key, None): shown})
            if successor is None:
                self._keep(record, before, key)
                return Revoked(key, shown, None)
            return Revoked(key, shown, self._followed(record, before, key, successor, now))

    def publish(
        self, root: Signer | None = None, *, new_root: bool = False
    ) -> tuple[KeyList, bytes]:
        """The list of our keys, signed by the root; where nothing changed, the one before.

        The root key is made the first time; afterwards it may lie elsewhere, and come as ``root``.
        ``new_root`` has another made, since the one before is lost or leaked: everybody who trusts
        that has to be told by another way.

        Raises:
            ConfigError: the root key is not on this machine, and none was given.
            TrustError: the key given is not the root that signed the list before.
        """
        with alone(self._keys.folder):
            record = self._recorded()
            if new_root:
                record = self._without_root(record)
            kept = self._published(record)
            if kept is not None and kept[0].keys == record.keys.keys:
                return kept
            signer = root or self._keys.signer("root")
            record = self._rooted(record, signer.public)
            now = self._moment()
            keys = replace(record.keys, version=record.keys.version + 1, issued_at=now)
            content = sign_list(keys, signer)
            about = {
                "root": signer.key_id,
                "version": keys.version,
                "sha256": sha256_hex(content),
                "changed_at": now,
            }
            self._log([("keys.published", about)])
            KeyRecord(keys, signer.public).write(self._keys.folder)
            write_atomic(self._keys.published_path, content, mode=0o600)
        return keys, content

    def root(self) -> PublicKey:
        """The public half of the root key, which is made if there was none."""
        with alone(self._keys.folder):
            record = self._recorded()
            found = record.root or self._keys.signer("root").public
            self._rooted(record, found)
        return found

    def _without_root(self, record: KeyRecord) -> KeyRecord:
        if record.root is not None:
            about = {
                "role": "root",
                "key_id": record.root.key_id,
                "algorithm": record.root.algorithm,
                "changed_at": self._moment(),
            }
            self._log([("signing_key.abandoned", about)])
            record = replace(record, root=None)
            record.write(self._keys.folder)
        path = self._keys.path("root")
        with readable_failures(path):
            path.unlink(missing_ok=True)
        self._keys.look_again()
        return record

    def _rooted(self, record: KeyRecord, root: PublicKey) -> KeyRecord:
        """The record with its root, which is the same for ever."""
        if record.root is None:
            about = {
                "role": "root",
                "key_id": root.key_id,
                "algorithm": root.algorithm,
                "changed_at": self._moment(),
            }
            self._log([("signing_key.made", about)])
            record = replace(record, root=root)
            record.write(self._keys.folder)
        elif record.root.key_id != root.key_id:
            raise TrustError(
                _("This is not the root key that signed the list before."),
                remedy=_("Give the file with the key {key_id}.", key_id=record.root.key_id),
            )
        return record

    def _published(self, record: KeyRecord) -> tuple[KeyList, bytes] | None:
        """The list as it was published last, if it is still there and ours."""
        content = self._keys.published()
        if record.root is None or content is None:
            return None
        try:
            return open_list(content, [record.root])[0], content
        except (TrustError, DataError):
            return None

    def _recorded(self) -> KeyRecord:
        return recorded(self._keys, self._moment())

    def _successor(self, role: SigningRole) -> Signer:
        """The key that takes the role over.

        One that a crash left waiting is thrown away: where a key leaked, it may have leaked too.
        """
        path = self._keys.next_path(role)
        with readable_failures(path):
            path.unlink(missing_ok=True)
        make_private(path, role)
        pem = read_private(path)
        if pem is None:
            raise TrustError(
                _("The signing key {path} vanished while it was made.", path=path),
                remedy=_("Run the same command again."),
            )
        return parsed(pem, path, role)

    def _followed(
        self,
        record: KeyRecord,
        before: ListedKey,
        former: ListedKey,
        successor: Signer,
        now: str,
    ) -> ListedKey:
        """Have the successor sign in the place of a key, which stood ``before`` as it did."""
        key = ListedKey(before.role, successor.public, now)
        if key.role != "log":
            self._keep(record, before, former, key)
        else:
            head, signer = self._vouching(before)
            signers = [successor] if signer is None or former.revoked_at else [signer, successor]

            def work(connection: Connection) -> ListedKey:
                # While this has the database alone, nobody keeps a head that the former one signs.
                found = replace(key, switch=self._switch(connection, head, signers))
                self._keep(record, before, former, found)
                return found

            key = self._database.write(work)
        self._destroy_former(key.role)
        return key

    def _vouching(self, listed: ListedKey) -> tuple[SignedHead | None, Signer | None]:
        """The present tree head and the key that signs it, where that is this one and is here."""
        try:
            signer = self._keys.signer(listed.role)
            is_it = signer.key_id == listed.key.key_id
            return (self._head(), signer) if is_it else (None, None)
        except TrustError:
            return None, None

    def _switch(
        self, connection: Connection, head: SignedHead | None, signers: Sequence[Signer]
    ) -> str | None:
        """The newest tree head that holds, with the signatures of these; else ``head``."""
        head = newest_good(connection, self._keys.ours("log", revoked=True)) or head
        if head is None:
            return None
        note, origin = head.note, head.origin
        for signer in signers:
            if key_id(origin, signer.public) not in key_ids(note, origin):
                note = add_signature(note, origin, signer)
        return note

    def _keep(
        self, record: KeyRecord, before: ListedKey, after: ListedKey, *new: ListedKey
    ) -> None:
        """Replace the record: from here on a new key signs, and the change holds."""
        keys = [after if each == before else each for each in record.keys.keys]
        replace(record, keys=replace(record.keys, keys=(*keys, *new))).write(self._keys.folder)
        self._keys.look_again()

    def _finish(self, role: SigningRole) -> None:
        """What a crash left between the switch and the end of the former key."""
        record, pem = self._keys.record(), read_private(self._keys.next_path(role))
        current = record.keys.current(role) if record else None
        if pem is None or current is None:
            return
        if parsed(pem, self._keys.next_path(role), role).key_id == current.key.key_id:
            self._destroy_former(role)

    def _destroy_former(self, role: SigningRole) -> None:
        """Put the new key in its place, then overwrite what was there.

        A journal, a snapshot or a flash disk may keep a copy for a while: against that only an
        encrypted disk helps.
        """
        path = self._keys.path(role)
        with readable_failures(path):
            # Somebody may have taken the former one away already.
            descriptor = os.open(path, os.O_WRONLY) if path.exists() else None
            try:
                self._keys.next_path(role).replace(path)
                sync_folder(path.parent)
                if descriptor is not None:
                    os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
                    os.fsync(descriptor)
            finally:
                if descriptor is not None:
                    os.close(descriptor)
        self._keys.look_again()

    def _log(self, leaves: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        def work(connection: Connection) -> None:
            for kind, record in leaves:
                audit.append(connection, kind, record)

        self._database.write(work)

    def _moment(self) -> str:
        return timestamp(self._clock.now())


def read_root(path: Path) -> Signer:
    """The root's private key, from where it is kept.

    Raises:
        ConfigError: there is no such file.
        TrustError: it can be read by others, or holds another kind of key.
    """
    pem = read_private(path)
    if pem is None:
        raise ConfigError(
            _("There is no file {path}.", path=path),
            remedy=_("Name the file with the private root key."),
        )
    return parsed(pem, path, "root")


def _found(keys: KeyList, key_id: str) -> ListedKey:
    wanted = key_id.lower()
    if not KEY_ID.fullmatch(wanted):
        raise ConfigError(
            _("Not a key id: {key_id!r}.", key_id=key_id),
            remedy=_("Give its first 8 hexadecimal digits or more; see: mintage signing-key list"),
        )
    found = [each for each in keys.keys if each.key.key_id.startswith(wanted)]
    if not found:
        raise RequestError(
            _("No signing key of this workspace has the id {key_id}.", key_id=wanted),
            remedy=_("See: mintage signing-key list; of others: mintage trust list"),
            http_status=404,
        )
    if len(found) > 1:
        raise ConfigError(
            _("The ids of {count} keys begin with {key_id}.", count=len(found), key_id=wanted),
            remedy=_("Give more digits; see: mintage signing-key list"),
        )
    return found[0]


def _checked_reason(reason: str) -> str:
    said = reason.strip()
    if not said or len(said) > _LONGEST_REASON or not said.isprintable():
        raise ConfigError(
            _("The reason is empty, too long or not printable."),
            remedy=_("Say it in at most {most} characters.", most=_LONGEST_REASON),
        )
    return said


def _rotation(role: SigningRole, key: PublicKey, former: PublicKey, moment: str) -> dict[str, Any]:
    return {
        "role": role,
        "key_id": key.key_id,
        "algorithm": key.algorithm,
        "former": former.key_id,
        "changed_at": moment,
    }


def _revocation(key: ListedKey, moment: str) -> dict[str, Any]:
    return {
        "role": key.role,
        "key_id": key.key.key_id,
        "algorithm": key.key.algorithm,
        "revoked_at": key.revoked_at,
        "reason": key.reason,
        "changed_at": moment,
    }
