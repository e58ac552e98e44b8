"""Signing keys: one for each role, made on first use, in files that only their owner can read."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mintage.core.errors import TrustError, said_by
from mintage.core.files import readable_failures, sync_folder
from mintage.core.ids import new_id
from mintage.core.messages import _

Role = Literal["data", "bundle", "receipt", "log"]
_PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey

_ROOT_BYTES = 32

# The pairs that the OpenSSF model-signing standard allows; ours are P-256, the others are read.
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with: ECDSA on a NIST curve, or Ed25519."""

    key: ec.EllipticCurvePublicKey | Ed25519PublicKey

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
        named = path.stem.rpartition(".")[2]
        role = next((each for each in get_args(Role) if each == named), key.usual_role)
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


def _junk(path: Path, problem: str) -> TrustError:
    return TrustError(
        _("{path} holds no key to trust: {problem}", path=path, problem=problem),
        remedy=_("Remove the file, or put the maker's public key (PEM) in its place."),
    )


_ECDSA = ec.ECDSA(hashes.SHA256())


class Signer:
    """A private key at work; the key itself never leaves."""

    def __init__(self, key: _PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())
        self.key_id = self.public.key_id

    @property
    def public_pem(self) -> bytes:
        """What others need to verify: the SubjectPublicKeyInfo as PEM."""
        return self.public.pem

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256 (DER) or Ed25519 (64 bytes), as the role demands."""
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(data)
        return self._key.sign(data, _ECDSA)


class KeyRing:
    """Our own keys in ``folder/ROLE.pem``, and others' in ``folder/trusted`` (``TrustedFile``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.trusted_folder = folder / "trusted"
        self._signers: dict[Role, Signer] = {}

    def signer(self, role: Role) -> Signer:
        """The role's key, made on first use.

        Raises:
            TrustError: the file can be read by others, or holds another kind of key.
        """
        signer = self._own(role)
        if signer is None:
            _make(self._path(role), role)
            signer = self._own(role)
        if signer is None:
            raise TrustError(
                _("The signing key {path} vanished while it was made.", path=self._path(role)),
                remedy=_("Run the same command again."),
            )
        return signer

    def root_secret(self) -> bytes:
        """32 random bytes that other secrets are made of, made on first use; they never leave.

        Raises:
            TrustError: the file can be read by others, or holds something else.
        """
        path = self._folder / "root.secret"
        found = _read_private(path)
        if found is None:
            _write_private(path, secrets.token_bytes(_ROOT_BYTES))
            found = _read_private(path)
        if found is None or len(found) != _ROOT_BYTES:
            raise TrustError(
                _("{path} does not hold the secret that was made here.", path=path),
                remedy=_("Restore it from a backup, or move it away to have a new one made."),
            )
        return found

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """The keys believed in this role: our own, if there is one, and those trusted for it.

        Raises:
            TrustError: a file among them holds no key; verifying never makes one.
        """
        own = self.own(role)
        files, junk = self.trusted()
        if junk:
            raise next(iter(junk.values()))
        keys = [*([own] if own else []), *(file.key for file in files if file.role == role)]
        return tuple({key.key_id: key for key in keys}.values())

    def own(self, role: Role) -> PublicKey | None:
        """The public half of the role's key, if one was made; asking makes none."""
        signer = self._own(role)
        return signer.public if signer else None

    def trusted(self) -> tuple[list[TrustedFile], dict[Path, TrustError]]:
        """The files with keys of others, and for each that holds none what is wrong with it."""
        files, junk = [], {}
        for path in sorted(self.trusted_folder.glob("*.pub")):
            try:
                files.append(TrustedFile.read(path))
            except TrustError as error:
                junk[path] = error
        return files, junk

    def _path(self, role: Role) -> Path:
        return self._folder / f"{role}.pem"

    def _own(self, role: Role) -> Signer | None:
        if role not in self._signers:
            pem = _read_private(self._path(role))
            if pem is None:
                return None
            self._signers[role] = _parsed(pem, self._path(role), role)
        return self._signers[role]


def _make(path: Path, role: Role) -> None:
    """Write a new key; of several that race, the first to link its file wins for all of them."""
    key: _PrivateKey = (
        Ed25519PrivateKey.generate() if role == "log" else ec.generate_private_key(ec.SECP256R1())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write_private(path, pem)


def _write_private(path: Path, data: bytes) -> None:
    """Make the file for its owner alone, whole or not at all; one that is there stays."""
    with readable_failures(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{new_id('tmp')}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                return
            sync_folder(path.parent)
        finally:
            temporary.unlink()


def _read_private(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(
            _(
                "The signing key {path} cannot be read: {reason}.",
                path=path,
                reason=said_by(error),
            ),
            remedy=_("Run as the user who owns the workspace."),
        ) from error
    with os.fdopen(descriptor, "rb") as stream:
        # Asked of the open file, so that what was checked is what is read.
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise TrustError(
                _(
                    "The signing key {path} is open to others (mode {mode:04o}).",
                    path=path,
                    mode=mode,
                ),
                remedy=_("Close it with: chmod 600 {path}", path=shlex.quote(str(path))),
            )
        return stream.read()


def _parsed(pem: bytes, path: Path, role: Role) -> Signer:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if role == "log" and isinstance(key, Ed25519PrivateKey):
        return Signer(key)
    if (
        role != "log"
        and isinstance(key, ec.EllipticCurvePrivateKey)
        and key.curve.name == "secp256r1"
    ):
        return Signer(key)
    wanted = "Ed25519" if role == "log" else "ECDSA P-256"
    raise TrustError(
        _(
            "{path} holds no {algorithm} private key in unencrypted PEM.",
            path=path,
            algorithm=wanted,
        ),
        remedy=_("Restore it from a backup, or move it away to have a new one made."),
    )
