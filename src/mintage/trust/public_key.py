"""Public keys: what signatures are checked with, and what is known of a key that was revoked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mintage.core.errors import SignatureMismatch, TrustError
from mintage.core.messages import _

SigningRole = Literal["data", "bundle", "receipt", "log"]
"""What a key signs."""
Role = Literal["data", "bundle", "receipt", "log", "root"]
"""The same, and the root, which signs the list of those keys and nothing else."""

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
    shows that it stood before ``at``.
    """

    at: str
    reason: str
    is_shown: Callable[[bytes], bool]


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with: ECDSA on a NIST curve, or Ed25519."""

    key: ec.EllipticCurvePublicKey | Ed25519PublicKey
    revocation: Revocation | None = field(default=None, compare=False)

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

    def check_still_believed(self, payload: bytes) -> None:
        """To be asked of every payload that this key is found to have signed.

        Raises:
            SignatureMismatch: the key was revoked, and nothing shows that this stood before.
        """
        if self.revocation is None or self.revocation.is_shown(payload):
            return
        raise SignatureMismatch(
            _(
                "The key {key_id} that signed this was revoked as of {moment} ({reason}), and "
                "nothing here shows that this was signed before.",
                key_id=self.key_id,
                moment=self.revocation.at,
                reason=self.revocation.reason,
            ),
            remedy=_("Ask its maker for one that is signed with the key that they have now."),
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
        return isinstance(self.key, Ed25519PublicKey) == (role == "log")
