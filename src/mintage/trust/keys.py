"""The keys of a workspace: one for each role, made on first use, and those believed beside them."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from mintage.core.clock import Clock, SystemClock
from mintage.core.errors import ConfigError, DataError, TrustError, said_by
from mintage.core.files import read_whole, readable_failures
from mintage.core.messages import _
from mintage.trust.key_files import role_named
from mintage.trust.key_list import MOST_BYTES, KeyList, open_list
from mintage.trust.key_record import RECORD_FILE, KeyRecord, believed, read_shown
from mintage.trust.public_key import PublicKey, Revocation, Role, SigningRole
from mintage.trust.signer import Signer, make_private, parsed, read_private, write_private

__all__ = [
    "KeyRing",
    "PublicKey",
    "Revocation",
    "Role",
    "Signer",
    "SigningRole",
    "TrustedFile",
]

_ROOT_BYTES = 32
_LOOK_SECONDS = 1.0
"""How long a key is signed with before its file is looked at again: a rotation by another process
is followed within that."""
_Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class TrustedFile:
    """A key of somebody else, the one role that this file has it believed for, and the file.

    ``NAME.ROLE.pub`` names the role; a plain ``NAME.pub``, such as one laid there by hand, is for
    the key's usual role: bundles, or for Ed25519 the log.
    """

    path: Path
    role: Role
    key: PublicKey

    @classmethod
    def read(cls, path: Path) -> TrustedFile:
        """Read one.

        Raises:
            TrustError: it holds no key, or one of another kind than its role's.
        """
        try:
            key = PublicKey.from_pem(path.read_bytes())
        except OSError as error:
            raise _junk(path, said_by(error)) from error
        except TrustError as error:
            raise _junk(path, error.message) from error
        role = role_named(path) or key.usual_role
        if not key.fits(role):
            raise _junk(
                path,
                _(
                    "Signatures of the role {role} are not made with {algorithm}.",
                    role=role,
                    algorithm=key.algorithm,
                ),
            )
        return cls(path, role, key)


@dataclass(frozen=True)
class _Held:
    """A private key in memory, as of which files, and until when they need no second look."""

    signer: Signer
    refusal: TrustError | None
    stamp: _Stamp
    until: float


class Making(Protocol):
    """Hears of keys that are made on first use."""

    def making(self, role: Role, key: PublicKey) -> None:
        """A key is about to be there; raises where it may not."""
        ...


class KeyRing:
    """Our own keys in ``folder/ROLE.pem``, and others' in ``folder/trusted`` (``TrustedFile``).

    What was rotated or revoked stands in ``folder/signing-keys.json``, and the list of keys of
    each root that is trusted beside it (``TrustedKeys.update``).
    """

    def __init__(
        self, folder: Path, clock: Clock | None = None, making: Making | None = None
    ) -> None:
        """``making`` is asked where a key is to be made, and told of it."""
        self.folder = folder
        self.trusted_folder = folder / "trusted"
        self._clock = clock or SystemClock()
        self._making = making
        self._held: dict[Role, _Held] = {}

    def signer(self, role: Role) -> Signer:
        """What the role signs with now; the key is made on first use.

        Raises:
            TrustError: the file can be read by others, or holds another kind of key; the key was
                revoked, or followed by another; it signed the log and is gone; or it is the root
                key, which was taken off this machine.
        """
        held = self._own(role)
        if held is None:
            if role == "root":
                self._check_no_root()
            before = None if self._making is None else partial(self._making.making, role)
            make_private(self.path(role), role, before)
            held = self._own(role)
        if held is None:
            raise TrustError(
                _("The signing key {path} vanished while it was made.", path=self.path(role)),
                remedy=_("Run the same command again."),
            )
        if held.refusal is not None:
            raise held.refusal
        return held.signer

    def root_secret(self) -> bytes:
        """32 random bytes that other secrets are made of, made on first use; they never leave.

        It has nothing to do with the root key, which signs the list of keys.

        Raises:
            TrustError: the file can be read by others, or holds something else.
        """
        path = self.folder / "root.secret"
        found = read_private(path)
        if found is None:
            write_private(path, secrets.token_bytes(_ROOT_BYTES))
            found = read_private(path)
        if found is None or len(found) != _ROOT_BYTES:
            raise TrustError(
                _("{path} does not hold the secret that was made here.", path=path),
                remedy=_("Restore it from a backup, or move it away to have a new one made."),
            )
        return found

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """The keys believed in this role: our own, former ones too, and those trusted for it.

        One that was revoked is among them with its ``revocation``: what it signed is believed only
        where something shows that it was signed before.

        Raises:
            TrustError: a file among them holds no key; verifying never makes one.
        """
        shown, own = read_shown(self.folder), self._ours(role)
        files, junk = self.trusted()
        if junk:
            raise next(iter(junk.values()))
        by_list: dict[str, PublicKey] = {}
        for root, keys in self.lists():
            for key in believed(keys, role, shown, root.key):
                if key.key_id not in by_list or key.revocation is None:
                    by_list[key.key_id] = key
        alone = {file.key.key_id: file.key for file in files if file.role == role}
        # Nobody else's list has a say in our own keys, and a list has more than a single file.
        return tuple((own | alone | by_list | own).values())

    def ours(self, role: Role, *, revoked: bool = False) -> tuple[PublicKey, ...]:
        """Our own keys of a role, the one that signs first; ``revoked`` ones too, if asked."""
        return tuple(key for key in self._ours(role).values() if revoked or key.revocation is None)

    def _ours(self, role: Role) -> dict[str, PublicKey]:
        """Our own keys of a role, the one that signs first."""
        own, record, shown = self.own(role), self.record(), read_shown(self.folder)
        recorded = believed(record.keys, role, shown) if record else []
        return {key.key_id: key for key in (*([own] if own else []), *recorded)}

    def own(self, role: Role) -> PublicKey | None:
        """The public half of what the role signs with, if a key was made; asking makes none."""
        held = self._own(role)
        if held is None and role == "root":
            record = self.record()
            return record.root if record else None
        return held.signer.public if held else None

    def record(self) -> KeyRecord | None:
        """What is recorded of our own keys; None where none was ever changed or listed.

        Raises:
            TrustError: the record is damaged.
        """
        return KeyRecord.read(self.folder)

    def trusted(self) -> tuple[list[TrustedFile], dict[Path, TrustError]]:
        """The files with keys of others, and for each that holds none what is wrong with it."""
        files, junk = [], {}
        for path in sorted(self.trusted_folder.glob("*.pub")):
            try:
                files.append(TrustedFile.read(path))
            except TrustError as error:
                junk[path] = error
        return files, junk

    def lists(self) -> list[tuple[TrustedFile, KeyList]]:
        """The list of keys of each trusted root whose list was taken, checked again.

        Raises:
            TrustError: a list is not what its root signed.
        """
        roots = [file for file in self.trusted()[0] if file.role == "root"]
        found = ((root, self.list_of(root.key)) for root in roots)
        return [(root, keys) for root, keys in found if keys is not None]

    def list_of(self, root: PublicKey) -> KeyList | None:
        """The list that was last taken from this root; None: none was.

        Raises:
            TrustError: it is not what the root signed.
        """
        path = self.list_path(root)
        try:
            return open_list(read_whole(path, MOST_BYTES), [root])[0]
        except FileNotFoundError:
            return None
        except (OSError, DataError, TrustError) as error:
            problem = said_by(error) if isinstance(error, OSError) else error.message
            raise TrustError(
                _("{path} holds no list to trust: {problem}", path=path, problem=problem),
                remedy=_("Take the publisher's list again: mintage trust update keys.json"),
            ) from error

    def list_path(self, root: PublicKey) -> Path:
        """Where the list of a root is kept."""
        return self.trusted_folder / f"{root.key_id[:32]}.keys.json"

    @property
    def published_path(self) -> Path:
        """Where the list of our own keys is kept as it was published last."""
        return self.folder / "keys.json"

    def published(self) -> bytes | None:
        """The list of our own keys as it was published last; None: it never was.

        Raises:
            DependencyDown: it is there and cannot be read.
        """
        with readable_failures(self.published_path):
            try:
                return read_whole(self.published_path)
            except FileNotFoundError:
                return None

    def path(self, role: Role) -> Path:
        """Where the role's private key is."""
        return self.folder / f"{role}.pem"

    def next_path(self, role: Role) -> Path:
        """Where its successor's is, while the one takes the other's place."""
        return self.folder / f"{role}.next.pem"

    def still_signs(self, role: Role, key_id: str) -> bool:
        """Whether a key is what the role signs with at this very moment."""
        held = self._held.get(role)
        if held is not None:
            self._held[role] = replace(held, until=-math.inf)
        held = self._own(role)
        return held is not None and held.refusal is None and held.signer.key_id == key_id

    def look_again(self) -> None:
        """Look at the files before anything else is signed."""
        self._held.clear()

    def _own(self, role: Role) -> _Held | None:
        """What the role signs with; a server goes on with what it has where it cannot look."""
        held, now = self._held.get(role), self._clock.monotonic()
        if held is not None and now < held.until:
            return held
        stamp = self._stamp(role)
        if held is None or (stamp != held.stamp and stamp[0] is not None):
            try:
                found = self._read(role)
            except TrustError:
                if held is None:
                    raise
                found, stamp = None, held.stamp
            if found is not None:
                held = _Held(*found, stamp, now)
        if held is not None:
            held = self._held[role] = replace(held, until=now + _LOOK_SECONDS)
        return held

    def _read(self, role: Role) -> tuple[Signer, TrustError | None] | None:
        """The key that the record says, else that in the role's file; and why not to sign with it.

        The record is read first: once it names the successor, that is in either file.
        """
        record = self.record()
        current = record.keys.current(role) if record else None
        following = read_private(self.next_path(role)) if current else None
        if following is not None and current is not None:
            signer = parsed(following, self.next_path(role), role)
            if signer.key_id == current.key.key_id:
                return signer, None
        pem = read_private(self.path(role))
        if pem is None:
            return None
        signer = parsed(pem, self.path(role), role)
        return signer, _refusal(signer, record, role) if record else None

    def _stamp(self, role: Role) -> _Stamp:
        return _stamp(self.path(role)), _stamp(self.folder / RECORD_FILE)

    def _check_no_root(self) -> None:
        record = self.record()
        if record is not None and record.root is not None:
            raise ConfigError(
                _(
                    "The root key {key_id} is not on this machine.",
                    key_id=record.root.key_id,
                ),
                remedy=_("Name the file that it is in with --root-key FILE."),
            )


def _refusal(signer: Signer, record: KeyRecord, role: Role) -> TrustError | None:
    """Nothing is signed with what nobody would believe."""
    if role == "root":
        if record.root is None or record.root.key_id == signer.key_id:
            return None
        return TrustError(
            _("The root key here is not the one that signed the list of keys before."),
            remedy=_(
                "Put back the file root.pem with the key {key_id}.", key_id=record.root.key_id
            ),
        )
    listed = {each.key.key_id: each for each in record.keys.of(role)}.get(signer.key_id)
    if listed is None or listed.is_current:
        return None
    remedy = _("Have another made: mintage signing-key rotate {role}", role=role)
    if listed.revoked_at is not None:
        return TrustError(
            _("The key of the role {role} was revoked, and nothing is signed with it.", role=role),
            remedy=remedy,
        )
    current = record.keys.current(role)
    if current is not None:
        remedy = _(
            "Put back the file {role}.pem with the key {key_id}, or have another made: "
            "mintage signing-key rotate {role}",
            key_id=current.key.key_id,
            role=role,
        )
    return TrustError(
        _(
            "The key of the role {role} that lies here was followed by another at {moment}, and "
            "nothing is signed with it.",
            role=role,
            moment=listed.valid_until,
        ),
        remedy=remedy,
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _junk(path: Path, problem: str) -> TrustError:
    return TrustError(
        _("{path} holds no key to trust: {problem}", path=path, problem=problem),
        remedy=_("Remove the file, or put the maker's public key (PEM) in its place."),
    )
