"""Cosignatures: a witness says that a log's head was the largest it knew, and continued the former.

Source: C2SP tlog-cosignature, version 1 with Ed25519. The line is one more signature of the note.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.encoding import strict_base64
from mintage.trust.keys import PublicKey, Signer
from mintage.trust.notes import check_name

_TIMESTAMP = struct.Struct(">Q")
_SIGNATURE_BYTES = 64
_REMEDY = _("Ask the witness for it anew, and for its key by another way.")


def cosign(note: str, name: str, signer: Signer, moment: datetime) -> str:
    """The note with one line more; whoever calls has checked the note and what it continues.

    Raises:
        ConfigError: the name is none for a witness.
        SignatureMismatch: it is no signed note.
    """
    check_name(name)
    body, __ = _parts(note)
    seconds = int(moment.timestamp())
    signature = _key_id(name, signer.public) + _TIMESTAMP.pack(seconds)
    signature += signer.sign(_message(seconds, body))
    return f"{note}— {name} {base64.b64encode(signature).decode()}\n"


def cosigned(note: str, name: str, key: PublicKey) -> tuple[datetime, str]:
    """When the witness of this name and key saw the note's head as its log's largest, and its line.

    Raises:
        SignatureMismatch: it did not sign it, or the note is not the one that it signed.
    """
    body, lines = _parts(note)
    wanted = _key_id(name, key)
    for line in lines:
        dash, __, rest = line.partition(" ")
        named, __, encoded = rest.partition(" ")
        if (dash, named) != ("—", name):
            continue
        try:
            found = strict_base64(encoded)
        except ValueError:
            continue  # another's, in a spelling of its own
        if found[:4] != wanted or len(found) != 4 + _TIMESTAMP.size + _SIGNATURE_BYTES:
            continue
        (seconds,) = _TIMESTAMP.unpack_from(found, 4)
        if not key.verify(found[4 + _TIMESTAMP.size :], _message(seconds, body)):
            raise SignatureMismatch(
                _("The note was changed after {name} signed it.", name=name), remedy=_REMEDY
            )
        return datetime.fromtimestamp(seconds, UTC), f"{line}\n"
    raise SignatureMismatch(
        _("The note has no cosignature by {name} with this key.", name=name), remedy=_REMEDY
    )


def _parts(note: str) -> tuple[str, list[str]]:
    body, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise SignatureMismatch(_("This is not a signed note."), remedy=_REMEDY)
    return f"{body}\n", signatures[:-1].split("\n")


def _message(seconds: int, body: str) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()


def _key_id(name: str, key: PublicKey) -> bytes:
    if not isinstance(key.key, Ed25519PublicKey):
        raise SignatureMismatch(_("Witnesses sign with Ed25519."), remedy=_REMEDY)
    raw = key.key.public_bytes_raw()
    return hashlib.sha256(name.encode() + b"\n\x04" + raw).digest()[:4]
