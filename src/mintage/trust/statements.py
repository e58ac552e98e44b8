"""Signed documents: an invoice, a plan, an evaluation or an audit, signed as DSSE.

The document itself is the predicate of an in-toto statement, and its digest is the subject's, so
that whoever holds the file holds all of it. As ``signature.json``, a file has one spelling:
canonical JSON (RFC 8785) and a line end, so that no byte of it can change, not even one that signs
nothing.

Source: in-toto/attestation, spec v1 (statement.md, field_types.md: a predicate's type is any URI).
The document is ``docs/formats/invoice.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.messages import _
from mintage.trust import repository
from mintage.trust.dsse import open_envelope_by, packed, sign_envelope
from mintage.trust.encoding import strict_base64
from mintage.trust.given import KeySource
from mintage.trust.keys import Role, Signer

Kind = Literal["invoice", "credit_note", "plan", "evaluation", "audit"]

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MEDIA_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
ROLES: Final[Mapping[Kind, Role]] = {
    "invoice": "receipt",
    "credit_note": "receipt",
    "plan": "receipt",
    "evaluation": "bundle",
    "audit": "bundle",
}
"""Whose key signs a document of each kind."""

_TYPES: Final[Mapping[str, Kind]] = {
    f"urn:mintage:{each.replace('_', '-')}:v1": each for each in get_args(Kind)
}
_TYPE_OF: Final = {kind: uri for uri, kind in _TYPES.items()}
_REMEDY = _("Do not believe it: ask whoever gave it to you for the file as it was issued.")


@dataclass(frozen=True)
class Statement:
    """A document that ``key_id`` signed; ``name`` is such as ``invoice/INV-2026-000001``."""

    kind: Kind
    name: str
    sha256: str
    document: Mapping[str, Any]
    key_id: str


def name_of(kind: Kind, document: Mapping[str, Any]) -> str:
    """What the statement calls a document: its number, its version, or its id.

    Raises:
        KeyError: it has none.
    """
    if kind == "plan":
        return f"plan/{document['name']}@{document['version']}"
    if kind in ("evaluation", "audit"):
        return f"{kind}/{document['id']}"
    return f"{kind.replace('_', '-')}/{document['number']}"


def sign_document(kind: Kind, document: Mapping[str, Any], signer: Signer) -> bytes:
    """The file in which a document is signed.

    Raises:
        DataError: canonical JSON cannot say it.
    """
    envelope = sign_envelope(_payload(kind, document), PAYLOAD_TYPE, signer)
    return packed(envelope, PAYLOAD_TYPE, signer.key_id)


def keep_signed(
    connection: repository.Connection,
    kind: Kind,
    document: Mapping[str, Any],
    signer: Signer,
) -> bytes:
    """Sign a document and keep the file, in the transaction that keeps the document."""
    data = sign_document(kind, document, signer)
    repository.add_statement(connection, name_of(kind, document), data)
    return data


def kept(connection: repository.Connection, name: str) -> tuple[int, bytes]:
    """The file in which the document of a name was signed last, and for which time: 1 is the first.

    Raises:
        DataError: it was not signed here.
    """
    found = repository.find_statement(connection, name)
    if found is None:
        raise DataError(
            _("No signature of {name} is kept here.", name=name),
            remedy=_("Restore the workspace from a backup, if there was one."),
            http_status=404,
        )
    return found


def open_statement(data: bytes, keys: KeySource, *, kind: Kind | None = None) -> Statement:
    """The document in a file, once a key that is believed for its kind is found to have signed it.

    Raises:
        SignatureMismatch: it is none, of another kind than ``kind``, nobody trusted signed it, or
            it is not spelled as Mintage spells it.
    """
    envelope = _envelope(data)
    found = _kind_of(envelope)
    if kind is not None and found != kind:
        raise _refused(
            _("This is a signed document of the kind {found}, not {kind}.", found=found, kind=kind)
        )
    payload, key = open_envelope_by(envelope, PAYLOAD_TYPE, keys.public_keys(ROLES[found]))
    if data != packed(envelope, PAYLOAD_TYPE, key.key_id):
        raise _refused(_("The signed document was changed outside what it signs."))
    try:
        document = json.loads(payload)["predicate"]
        name = name_of(found, document)
        expected = _payload(found, document)
    except (ValueError, KeyError, TypeError, DataError, RecursionError) as error:
        raise _refused(_("What is signed is not a document as Mintage writes it.")) from error
    if payload != expected:
        raise _refused(_("What is signed is not a document as Mintage writes it."))
    return Statement(found, name, sha256_hex(canonical_json(document)), document, key.key_id)


def unconfirmed(data: bytes) -> object:
    """The document that a file says was signed, before anything of it is believed.

    Raises:
        SignatureMismatch: it is no such file.
    """
    _kind_of(envelope := _envelope(data))
    statement: Mapping[str, object] = json.loads(strict_base64(envelope["payload"]))
    return statement.get("predicate")


def kind_of(data: bytes) -> Kind | None:
    """Of which kind a file says to be, before anything of it is believed; None: it is no such."""
    try:
        return _kind_of(_envelope(data))
    except SignatureMismatch:
        return None


def _payload(kind: Kind, document: Mapping[str, Any]) -> bytes:
    digest = sha256_hex(canonical_json(document))
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": [{"name": name_of(kind, document), "digest": {"sha256": digest}}],
            "predicateType": _TYPE_OF[kind],
            "predicate": document,
        }
    )


def _envelope(data: bytes) -> Mapping[str, Any]:
    try:
        envelope = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(_("This is not a signed document.")) from error
    if not isinstance(envelope, dict):
        raise _refused(_("This is not a signed document."))
    return envelope


def _kind_of(envelope: Mapping[str, Any]) -> Kind:
    """What the statement says, unconfirmed: it decides only whose keys are tried."""
    try:
        statement = json.loads(strict_base64(envelope["payload"]))
        said = statement["predicateType"]
        return _TYPES[said]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(_("This is not a signed document.")) from error


def _refused(what: str) -> SignatureMismatch:
    return SignatureMismatch(what, remedy=_REMEDY)
