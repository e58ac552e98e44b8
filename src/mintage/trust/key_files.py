"""Public keys in files, as their owners give them away."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from mintage.core.errors import DataError, TrustError, said_by
from mintage.core.messages import _
from mintage.trust.public_key import PublicKey, Role

_BEGINS = b"-----BEGIN "
_MOST_BYTES = 1 << 20


def read_public_key(path: Path) -> PublicKey:
    """The one public key in a PEM file.

    Raises:
        DataError: it cannot be read, or holds no key or several.
        TrustError: it holds a private key, or a kind that Mintage does not verify with.
    """
    pem = read_key_file(path)
    count = pem.count(b"-----BEGIN ")
    if count > 1:
        raise DataError(
            _("{path} holds {count} keys where one belongs.", path=path, count=count),
            remedy=_("Put each key into a file of its own."),
        )
    return PublicKey.from_pem(pem)


def role_named(path: Path) -> Role | None:
    """The role that a file's name gives its keys: ``receipt.pub``, ``NAME.receipt.pub``."""
    named = path.stem.rpartition(".")[2]
    return next((role for role in get_args(Role) if role == named), None)


def public_keys_in(pem: bytes) -> list[PublicKey]:
    """The public keys in a PEM file, one or several: a role's and those before it.

    Raises:
        TrustError: it holds no key, or a kind that Mintage does not verify with.
    """
    parts = pem.split(_BEGINS)
    return [PublicKey.from_pem(_BEGINS + part) for part in parts[1:] or [b""]]


def read_key_file(path: Path) -> bytes:
    """What a file with public keys, or with a list of them, holds.

    Raises:
        DataError: it cannot be read.
        TrustError: it holds a private key.
    """
    try:
        with path.open("rb") as stream:
            pem = stream.read(_MOST_BYTES)
    except OSError as error:
        raise DataError(
            _(
                "{path} cannot be read: {reason}.",
                path=path,
                reason=said_by(error),
            ),
            remedy=_("Name the file with the publisher's public key."),
        ) from error
    if b"PRIVATE KEY" in pem:
        raise TrustError(
            _(
                "{path} holds a private key: whoever has it can sign in its owner's name. "
                "Nothing of it was kept.",
                path=path,
            ),
            remedy=_(
                "Give and take public keys alone, as mintage public-key bundle prints them; "
                "if this file has left its owner's machine, its owner needs a new key."
            ),
        )
    return pem
