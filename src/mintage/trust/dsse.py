"""DSSE envelopes: a payload, what kind it is, and a signature over both.

Source: secure-systems-lab/dsse, protocol.md. One signature, standard base64, nothing optional.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mintage.core.canonical import canonical_json
from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.encoding import strict_base64
from mintage.trust.public_key import PublicKey
from mintage.trust.signer import Signer

_REMEDY = _("Do not use it: fetch it again from its maker.")
_KEY_ID = re.compile("[0-9a-f]{64}")


def pre_authentication_encoding(payload: bytes, payload_type: str) -> bytes:
    """The bytes that are signed: ``DSSEv1 SP len(type) SP type SP len(payload) SP payload``."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, payload_type: str, signer: Signer) -> dict[str, Any]:
    """Sign a payload and wrap it with its signature."""
    signature = signer.sign(pre_authentication_encoding(payload, payload_type))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": signer.key_id, "sig": base64.b64encode(signature).decode()}],
    }


def packed(envelope: Mapping[str, Any], payload_type: str, key_id: str) -> bytes:
    """The one spelling of an envelope as a file: nothing beside what DSSE asks for.

    Canonical JSON (RFC 8785) and a line end. Whoever opens a file compares it with this, so that no
    byte of it can change, not even one that signs nothing.
    """
    only = {
        "payload": envelope["payload"],
        "payloadType": payload_type,
        "signatures": [{"keyid": key_id, "sig": envelope["signatures"][0]["sig"]}],
    }
    return canonical_json(only) + b"\n"


def open_envelope(
    envelope: Mapping[str, Any], payload_type: str, keys: Sequence[PublicKey]
) -> bytes:
    """The payload, once one of the keys is found to have signed it as this type.

    Raises:
        SignatureMismatch: another type, not exactly one signature, or none by these keys.
    """
    return open_envelope_by(envelope, payload_type, keys)[0]


def open_envelope_by(
    envelope: Mapping[str, Any], payload_type: str, keys: Sequence[PublicKey]
) -> tuple[bytes, PublicKey]:
    """The payload and the key that signed it; ``keyid`` is a hint and decides nothing.

    Raises:
        SignatureMismatch: another type, not exactly one signature, or none by these keys; or the
            key was revoked, and nothing shows that this was signed before.
    """
    try:
        found_type, signatures = envelope["payloadType"], envelope["signatures"]
        payload, signature = strict_base64(envelope["payload"]), strict_base64(signatures[0]["sig"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise SignatureMismatch(_("This is not a DSSE envelope."), remedy=_REMEDY) from error
    if found_type != payload_type:
        raise SignatureMismatch(
            _(
                "What is signed here is of the type {found_type!r}, not {payload_type!r}.",
                found_type=found_type,
                payload_type=payload_type,
            ),
            remedy=_REMEDY,
        )
    if len(signatures) != 1:
        raise SignatureMismatch(
            _("There are {count} signatures where one belongs.", count=len(signatures)),
            remedy=_REMEDY,
        )
    signed = pre_authentication_encoding(payload, payload_type)
    for key in keys:
        if key.verify(signature, signed):
            key.check_still_believed(payload)
            return payload, key
    raise _unconfirmed(keys, signatures[0].get("keyid"))


def _unconfirmed(keys: Sequence[PublicKey], named: object) -> SignatureMismatch:
    """Say why: the key that the signature names is not trusted, or something was changed."""
    if any(key.key_id == named for key in keys):
        return SignatureMismatch(
            _("The signature was made by no trusted key, or what it signs was changed."),
            remedy=_REMEDY,
        )
    remedy = _(
        "Use it only if you know its maker: then trust their public key with: "
        "mintage trust add publisher.pub"
    )
    is_key_id = isinstance(named, str) and _KEY_ID.fullmatch(named)
    if not keys:
        message = _("No key is trusted here, so no signature can be confirmed.")
        if is_key_id:
            message = _(
                "No key is trusted here, so no signature can be confirmed; "
                "this one names the key {key_id}.",
                key_id=named,
            )
    elif is_key_id:
        message = _(
            "The signature was made by no trusted key: "
            "it names the key {key_id}, which is not trusted here.",
            key_id=named,
        )
    else:
        message = _("The signature was made by no trusted key, or what it signs was changed.")
    return SignatureMismatch(message, remedy=remedy)
