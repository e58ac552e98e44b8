"""Cosignatures: a witness says that a log's head was the largest it knew, and continued the former.

Source: C2SP tlog-cosignature, version 1 with Ed25519. The line is one more signature of the note.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mintage.core.clock import timestamp
from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.encoding import strict_base64
from mintage.trust.keys import PublicKey, Signer
from mintage.trust.notes import check_name, key_id

_KIND = b"\x04"
"""Of a timestamped cosignature with Ed25519, among those of signed notes."""
_TIMESTAMP = struct.Struct(">Q")
_SIGNATURE_BYTES = 64
_REMEDY = _("Ask the witness for it anew, and for its key by another way.")


def cosign(note: str, name: str, signer: Signer, moment: datetime) -> str:
    """The note with one line more; whoever calls has checked the note and what it continues.

    Raises:
        ConfigError: the name is none for a witness, or its key is not Ed25519.
        SignatureMismatch: it is no signed note.
    """
    check_name(name)
    body, __ = _parts(note)
    seconds = int(moment.timestamp())
    signature = key_id(name, signer.public, _KIND) + _TIMESTAMP.pack(seconds)
    signature += signer.sign(_message(seconds, body))
    return f"{note}— {name} {base64.b64encode(signature).decode()}\n"


@dataclass(frozen=True)
class Cosigned:
    """That a witness saw a head as its log's largest: when, and the line that says so."""

    name: str
    key_id: str
    at: datetime
    line: str


def cosigned(note: str, name: str, key: PublicKey) -> tuple[datetime, str]:
    """When the witness of this name and key saw the note's head as its log's largest, and its line.

    Raises:
        ConfigError: the key is not Ed25519.
        SignatureMismatch: it did not sign it, or the note is not the one that it signed.
    """
    for found in cosignatures(note, [key]):
        if found.name == name:
            return found.at, found.line
    raise SignatureMismatch(
        _("The note has no cosignature by {name} with this key.", name=name), remedy=_REMEDY
    )


def cosignatures(note: str, keys: Sequence[PublicKey]) -> list[Cosigned]:
    """What the witnesses with these keys said of a note; lines of others are passed over.

    Raises:
        SignatureMismatch: a line that names such a key is not what it signed, or the key was
            revoked, or was given up before; or it is no note.
    """
    body, lines = _parts(note)
    found = []
    for line in lines:
        dash, __, rest = line.partition(" ")
        name, __, encoded = rest.partition(" ")
        try:
            signature = strict_base64(encoded)
        except ValueError:
            continue  # another's, in a spelling of its own
        if dash != "—" or len(signature) != 4 + _TIMESTAMP.size + _SIGNATURE_BYTES:
            continue
        for key in keys:
            if signature[:4] == key_id(name, key, _KIND):
                moment = _checked(body, name, key, signature[4:])
                found.append(Cosigned(name, key.key_id, moment, f"{line}\n"))
    return found


def _checked(body: str, name: str, key: PublicKey, signed: bytes) -> datetime:
    (seconds,) = _TIMESTAMP.unpack_from(signed)
    message = _message(seconds, body)
    if not key.verify(signed[_TIMESTAMP.size :], message):
        raise SignatureMismatch(
            _("The note was changed after {name} signed it.", name=name), remedy=_REMEDY
        )
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError) as error:
        raise SignatureMismatch(
            _("{name} signed the note at no time that there is.", name=name), remedy=_REMEDY
        ) from error
    key.check_still_believed(message, timestamp(moment))
    return moment


def _parts(note: str) -> tuple[str, list[str]]:
    body, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise SignatureMismatch(_("This is not a signed note."), remedy=_REMEDY)
    return f"{body}\n", signatures[:-1].split("\n")


def _message(seconds: int, body: str) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()
