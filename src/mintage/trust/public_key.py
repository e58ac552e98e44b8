"""Public keys: what signatures are checked with, and what is known of a key that was revoked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mintage.core.errors import SignatureMismatch, TrustError
from mintage.core.messages import _
from mintage.trust.moments import is_well_after, said_moment
from mintage.trust.signed_head import SignedHead

SigningRole = Literal["data", "bundle", "receipt", "log", "witness"]
"""What a key signs; a witness's cosigns the tree heads of others' logs."""
Role = Literal["data", "bundle", "receipt", "log", "witness", "root"]
"""The same, and the root, which signs the list of those keys and nothing else."""
NOTE_ROLES: Final[tuple[Role, ...]] = ("log", "witness")
"""Those that sign notes, with Ed25519; all others sign with ECDSA."""

# The pairs that the OpenSSF model-signing standard allows; ours are P-256, the others are read.
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


@dataclass(frozen=True)
class Revocation:
    """That a key is believed no longer, from which moment on, and why.

    ``is_shown`` says of a signed payload whether something that a thief of the key cannot make
    shows that it stood before ``at``. ``is_own``: it is a key of the workspace that asks.
    """

    at: str
    reason: str
    is_shown: Callable[[bytes], bool]
    is_own: bool = False


@dataclass(frozen=True)
class Validity:
    """From when on a key signs, and until when; None: it does still."""

    since: str
    until: str | None = None


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with: ECDSA on a NIST curve, or Ed25519."""

    key: ec.EllipticCurvePublicKey | Ed25519PublicKey
    revocation: Revocation | None = field(default=None, compare=False)
    validity: Validity | None = field(default=None, compare=False)
    """None: nobody said."""
    last_head: SignedHead | None = field(default=None, compare=False)
    """Of a key of the log that another followed: the head at which it did."""

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        """Read a SubjectPublicKeyInfo PEM.

        Raises:
            TrustError: it is not the public half of a key that Mintage verifies with.
        """
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TrustError(
                _("This is not a public key in PEM."), remedy=_("It begins with BEGIN PUBLIC KEY.")
            ) from error
        if isinstance(key, Ed25519PublicKey) or (
            isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES
        ):
            return cls(key)
        raise TrustError(
            _("Keys of this kind are not verified with: {name}.", name=type(key).__name__),
            remedy=_("Use ECDSA on P-256, P-384 or P-521, or Ed25519 for the audit log."),
        )

    @property
    def pem(self) -> bytes:
        """The SubjectPublicKeyInfo as PEM."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo's DER, in hexadecimal: to name a key to people."""
        der = self.key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(der).hexdigest()

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether this key made the signature over exactly these bytes."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, data)
            else:
                self.key.verify(signature, data, ec.ECDSA(_HASHES[self.key.curve.name]()))
        except InvalidSignature:
            return False
        return True

    def check_still_believed(self, payload: bytes, said: str | None = None) -> None:
        """To be asked of every payload that this key is found to have signed.

        ``said`` is when it says that it was made, where that does not stand in a member of it.

        Raises:
            SignatureMismatch: the key was revoked, and nothing shows that this stood before; or
                this says of itself that it was made when the key signed no more.
        """
        if self.revocation is not None:
            if self.revocation.is_shown(payload):
                return  # our log is a better witness of the time than what this says of itself
            raise self._revoked(self.revocation)
        until = self.validity and self.validity.until
        said = said or (said_moment(payload) if until else None)
        if until and said and is_well_after(said, until):
            raise SignatureMismatch(
                _(
                    "This says that it was made at {moment}, and the key {key_id} that signed it "
                    "was in use until {until} alone.",
                    moment=said,
                    key_id=self.key_id,
                    until=until,
                ),
                remedy=_("Do not believe it: somebody signed with a key that was given up."),
            )

    def _revoked(self, revocation: Revocation) -> SignatureMismatch:
        remedy = _("Ask its maker for one that is signed with the key that they have now.")
        if revocation.is_own:
            remedy = _(
                "If you know that it is yours as it is: mintage signing-key sign-again NAME, such "
                "as pets@3, pets#1f9c or INV-2026-000001. A receipt is signed anew where it is "
                "fetched again."
            )
        return SignatureMismatch(
            _(
                "The key {key_id} that signed this was revoked as of {moment} ({reason}), and "
                "nothing here shows that this was signed before.",
                key_id=self.key_id,
                moment=revocation.at,
                reason=revocation.reason,
            ),
            remedy=remedy,
        )

    @property
    def algorithm(self) -> str:
        """What kind of key it is: ``ECDSA P-256`` or ``Ed25519``, say."""
        if isinstance(self.key, Ed25519PublicKey):
            return "Ed25519"
        return f"ECDSA P-{self.key.curve.key_size}"

    @property
    def usual_role(self) -> Role:
        """What a key of this kind is believed for where nothing else is said."""
        return "log" if isinstance(self.key, Ed25519PublicKey) else "bundle"

    def fits(self, role: Role) -> bool:
        """Whether the role's signatures are of this key's kind."""
        return isinstance(self.key, Ed25519PublicKey) == (role in NOTE_ROLES)
