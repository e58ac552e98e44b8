"""The list of a publisher's signing keys: which, for what, from when to when, and which no longer.

The root key signs it: DSSE around an in-toto statement whose subjects are the keys (the SHA-256 of
each one's DER) and whose predicate holds their validity. Its version only grows, so that whoever
has seen one list takes no older one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, get_args

from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError, SignatureMismatch, TrustError
from mintage.core.messages import _
from mintage.trust.dsse import open_envelope_by, packed, sign_envelope
from mintage.trust.encoding import strict_base64
from mintage.trust.public_key import PublicKey, SigningRole
from mintage.trust.signed_head import SignedHead
from mintage.trust.signer import Signer

PREDICATE_TYPE = "urn:mintage:keys:v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_BYTES = 1 << 20
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_REMEDY = _("Get the list again from whoever publishes it: mintage signing-key publish")


@dataclass(frozen=True)
class ListedKey:
    """A signing key and its times, as ``core.clock.timestamp`` writes them.

    It signs from ``valid_from`` on, and where there is a ``valid_until`` no longer; what it signed
    is believed all the same, unless it was revoked or says of itself that it was made later.
    ``switch`` is, of a key that signs the log and took over from another, the tree head at which it
    did, signed by both where the other was still here.
    """

    role: SigningRole
    key: PublicKey
    valid_from: str
    valid_until: str | None = None
    revoked_at: str | None = None
    reason: str | None = None
    switch: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether it is what its role signs with."""
        return self.valid_until is None and self.revoked_at is None

    def ended(self, moment: str) -> Self:
        """The same, from ``moment`` on for verification only."""
        return replace(self, valid_until=self.valid_until or max(moment, self.valid_from))

    def revoked(self, moment: str, reason: str, ended: str) -> Self:
        """The same, believed no longer from ``moment`` on; it signed until ``ended``."""
        return replace(self.ended(ended), revoked_at=moment, reason=reason)

    def to_json(self) -> dict[str, Any]:
        """As the list and our own record hold it."""
        return {
            "role": self.role,
            "key_id": self.key.key_id,
            "algorithm": self.key.algorithm,
            "pem": self.key.pem.decode(),
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "revoked_at": self.revoked_at,
            "reason": self.reason,
            "switch": self.switch,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read one.

        Raises:
            ValueError: it says something that cannot be.
            TrustError: what it holds is no public key.
        """
        role = said["role"]
        _require(role in get_args(SigningRole), "role")
        moments = [said["valid_from"], said["valid_until"] or said["valid_from"]]
        moments.append(said["revoked_at"] or said["valid_from"])
        _require(all(_MOMENT.fullmatch(each) for each in moments), "moment")
        _require(moments[0] <= moments[1], "an end before the beginning")
        _require((said["revoked_at"] is None) == (said["reason"] is None), "reason")
        for name in ("reason", "switch"):
            _require(isinstance(said[name], str | None), name)
        if said["switch"] is not None:
            SignedHead.unconfirmed(said["switch"])
        key = PublicKey.from_pem(said["pem"].encode())
        listed = cls(
            role,
            key,
            said["valid_from"],
            said["valid_until"],
            said["revoked_at"],
            said["reason"],
            said["switch"],
        )
        # Names and kinds follow from the key itself: nobody can have it called otherwise.
        _require(key.fits(role) and listed.to_json() == dict(said), "key")
        return listed


@dataclass(frozen=True)
class KeyList:
    """Every signing key of one publisher, in the order in which they were made."""

    version: int
    issued_at: str
    keys: tuple[ListedKey, ...]

    def of(self, role: str) -> tuple[ListedKey, ...]:
        """The keys of one role, the current one first and then the latest ones."""
        return tuple(
            sorted(
                (each for each in reversed(self.keys) if each.role == role),
                key=lambda each: not each.is_current,
            )
        )

    def current(self, role: str) -> ListedKey | None:
        """What the role signs with, where that is known."""
        return next((each for each in self.of(role) if each.is_current), None)

    def last_head(self, listed: ListedKey) -> SignedHead | None:
        """The tree head at which another took over from a key of the log; None: none did."""
        following = self.keys[self.keys.index(listed) + 1 :]
        notes = (each.switch for each in following if each.role == listed.role == "log")
        note = next(filter(None, notes), None)
        return None if note is None else SignedHead.unconfirmed(note)

    def to_json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "version": self.version,
            "issued_at": self.issued_at,
            "keys": [each.to_json() for each in self.keys],
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read a predicate.

        Raises:
            ValueError: it says something that cannot be: a key twice, two that are current.
            TrustError: what it holds is no public key.
        """
        version, issued_at = said["version"], said["issued_at"]
        _require(isinstance(version, int) and version >= 0, "version")
        _require(_MOMENT.fullmatch(issued_at) is not None, "issued_at")
        keys = tuple(ListedKey.from_json(each) for each in said["keys"])
        current = [each.role for each in keys if each.is_current]
        _require(len({each.key.key_id for each in keys}) == len(keys), "a key twice")
        _require(len({*current}) == len(current), "two current keys of a role")
        return cls(version, issued_at, keys)


def sign_list(keys: KeyList, root: Signer) -> bytes:
    """The list as a file: canonical JSON and a line end."""
    envelope = sign_envelope(canonical_json(_statement(keys)), PAYLOAD_TYPE, root)
    return packed(envelope, PAYLOAD_TYPE, root.public.key_id)


def open_list(content: bytes, roots: Sequence[PublicKey]) -> tuple[KeyList, PublicKey]:
    """The list, once one of the roots is found to have signed these very bytes, and that root.

    Raises:
        DataError: this is no list of keys.
        SignatureMismatch: no root of these signed it, or it was changed.
    """
    try:
        envelope = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(_("This is not a list of keys."), remedy=_REMEDY) from error
    try:
        payload, root = open_envelope_by(envelope, PAYLOAD_TYPE, roots)
    except SignatureMismatch as error:
        remedy = _(
            "Believe it only if you know the root key's id from its owner: "
            "mintage trust add root.pub --role root"
        )
        raise SignatureMismatch(
            _("This list of keys is not believed: {problem}", problem=error.message), remedy=remedy
        ) from error
    if content != packed(envelope, PAYLOAD_TYPE, root.key_id):
        raise SignatureMismatch(
            _("This list of keys was changed outside what it signs."), remedy=_REMEDY
        )
    try:
        keys = KeyList.from_json(json.loads(payload)["predicate"])
        _require(canonical_json(_statement(keys)) == payload, "spelling")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, TrustError) as error:
        raise SignatureMismatch(
            _("What is signed is not a list of keys as Mintage writes it."), remedy=_REMEDY
        ) from error
    return keys, root


def is_list(said: object) -> bool:
    """Whether an envelope says that it holds a list of keys, before anything is believed."""
    try:
        return bool(_statement_in(said)["predicateType"] == PREDICATE_TYPE)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def unconfirmed(said: object) -> KeyList:
    """What an envelope lists, whoever signed it.

    Raises:
        DataError: it is no list of keys.
    """
    try:
        return KeyList.from_json(_statement_in(said)["predicate"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, TrustError) as error:
        raise DataError(_("This is not a list of keys."), remedy=_REMEDY) from error


def _statement_in(said: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(strict_base64(said["payload"]))
    return found


def check_newer(keys: KeyList, sha256: str, last: tuple[int, str] | None) -> bool:
    """Whether a list is newer than the ``last`` that was taken; False: it is that very one.

    Both are known by version and SHA-256.

    Raises:
        SignatureMismatch: it is older, or another list of the same version.
    """
    if last is None or keys.version > last[0]:
        return True
    if (keys.version, sha256) == last:
        return False
    raise SignatureMismatch(
        _(
            "This list of keys has version {version}, and version {last} was taken already: "
            "an older list may still name a key that was revoked.",
            version=keys.version,
            last=last[0],
        ),
        remedy=_REMEDY,
    )


def _statement(keys: KeyList) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [_subject(each) for each in keys.keys],
        "predicateType": PREDICATE_TYPE,
        "predicate": keys.to_json(),
    }


def _subject(listed: ListedKey) -> dict[str, Any]:
    key_id = listed.key.key_id
    return {"name": f"{listed.role}:{key_id[:16]}", "digest": {"sha256": key_id}}


def _require(holds: bool, what: str) -> None:
    """Said to nobody: whoever opens a list says that it is none."""
    if not holds:
        raise ValueError(what)
