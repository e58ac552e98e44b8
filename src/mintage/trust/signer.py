"""Private keys: at work in memory, and in files that only their owner can read."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mintage.core.errors import TrustError, said_by
from mintage.core.files import readable_failures, sync_folder
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.trust.public_key import NOTE_ROLES, PublicKey, Role

_PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey
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


def make_private(
    path: Path, role: Role, before: Callable[[PublicKey], object] | None = None
) -> None:
    """Write a new key; of several that race, the first to link its file wins for all of them.

    ``before`` is told of it before it is there.
    """
    key: _PrivateKey = (
        Ed25519PrivateKey.generate()
        if role in NOTE_ROLES
        else ec.generate_private_key(ec.SECP256R1())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    if before is not None:
        before(PublicKey(key.public_key()))
    write_private(path, pem)


def write_private(path: Path, data: bytes) -> None:
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


def read_private(path: Path) -> bytes | None:
    """What a private file holds; None where there is none.

    Raises:
        TrustError: it cannot be read, or others than its owner can.
    """
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


def parsed(pem: bytes, path: Path, role: Role) -> Signer:
    """The key in a private file.

    Raises:
        TrustError: it holds none, or one of another kind than the role's.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if role in NOTE_ROLES:
        if isinstance(key, Ed25519PrivateKey):
            return Signer(key)
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return Signer(key)
    wanted = "Ed25519" if role in NOTE_ROLES else "ECDSA P-256"
    raise TrustError(
        _(
            "{path} holds no {algorithm} private key in unencrypted PEM.",
            path=path,
            algorithm=wanted,
        ),
        remedy=_("Restore it from a backup, or move it away to have a new one made."),
    )
