"""Signed documents and receipts from files, and the chain from an invoice to all it rests on."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mintage.capture.chain.archive import ArchivedEvidence
from mintage.capture.chain.checks import Chain
from mintage.capture.chain.evidence import Evidence
from mintage.capture.receipts import PAYLOAD_TYPE
from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError, SignatureMismatch, said_by
from mintage.core.files import read_whole
from mintage.core.messages import _
from mintage.trust.dsse import open_envelope_by
from mintage.trust.encoding import strict_base64
from mintage.trust.given import KeySource
from mintage.trust.keys import Role
from mintage.trust.moments import moment_of, said_moment
from mintage.trust.statements import ROLES, Statement, kind_of, open_statement

_MOST_BYTES = 64_000_000


@dataclass(frozen=True)
class Document:
    """A signed document or a receipt: what it is called, its digest, and who signed it."""

    kind: str
    name: str
    sha256: str
    key_id: str
    role: Role
    made_at: str | None
    """What it says of that itself."""

    @classmethod
    def of(cls, found: Statement) -> Document:
        """That of a statement."""
        made_at = moment_of(found.document, found.kind)
        role = ROLES[found.kind]
        return cls(found.kind, found.name, found.sha256, found.key_id, role, made_at)


def read_document(path: Path, keys: KeySource, sent: Path | None = None) -> Document:
    """A signed invoice, plan or evaluation, or a receipt, alone or in an answer.

    ``sent`` is what was sent for the answer of a receipt.

    Raises:
        ConfigError: it is the evidence of an invoice.
        DataError: it is none of these, or cannot be read.
        SignatureMismatch: it is not what a key believed for it signed; or a receipt is not for what
            was ``sent``.
    """
    if _is_zip(path):
        with ArchivedEvidence(path):
            raise ConfigError(
                _("{path} is the evidence of an invoice.", path=path),
                remedy=_("Add --chain, and all of it is checked."),
            )
    data = _bytes(path)
    if kind_of(data) is not None:
        return Document.of(open_statement(data, keys))
    envelope = _receipt_in(data)
    if envelope is None:
        raise DataError(
            _("{path} is nothing that Mintage signs.", path=path),
            remedy=_(
                "It may be a bundle, a dataset, a signed invoice, plan or evaluation, a receipt, "
                "a tree head, a proof or an export of the audit log, or a list of keys; an "
                "invoice's evidence is checked with --chain."
            ),
        )
    payload, key = open_envelope_by(envelope, PAYLOAD_TYPE, keys.public_keys("receipt"))
    try:
        said = json.loads(payload)
        name, given = str(said["receipt"]), said["input_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise SignatureMismatch(_("What is signed is no receipt.")) from error
    if sent is not None and sha256_hex(_bytes(sent)) != given:
        raise SignatureMismatch(
            _("{path} is not what this receipt is for.", path=sent),
            remedy=_("Name the very file that was sent, byte for byte."),
        )
    moment = said_moment(payload)
    return Document("receipt", name, sha256_hex(payload), key.key_id, "receipt", moment)


@dataclass(frozen=True)
class InvoiceAlone:
    """A signed invoice without its evidence; implements ``Evidence``."""

    invoice: bytes
    is_ours: bool = False
    has_events: bool = False
    heads: Mapping[int, str] = field(default_factory=dict)
    upstreams: Mapping[str, str] = field(default_factory=dict)

    def events(self) -> Iterator[Any]:
        """None of them."""
        return iter(())

    proofs = receipts = entries = events

    def unused(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def plan(self, reference: str) -> None:
        """Not held."""

    def bundle(self, digest: str) -> None:
        """Not held."""

    def dataset(self, version: str) -> None:
        """Not held."""


@contextmanager
def opened_evidence(path: Path) -> Iterator[Evidence]:
    """The evidence in a zip, or a signed invoice alone.

    Raises:
        DataError: it is neither.
    """
    if not _is_zip(path):
        yield InvoiceAlone(_bytes(path))
        return
    with ArchivedEvidence(path) as evidence:
        yield evidence


def walked(evidence: Evidence, keys: KeySource, receipts: Path | None = None) -> Chain:
    """The chain of an invoice, walked as far as it holds; ``receipts`` is a folder of those kept.

    Raises:
        DataError: what is held cannot be read.
    """
    chain = Chain(evidence, keys, {} if receipts is None else kept_receipts(receipts))
    chain.check()
    return chain


def kept_receipts(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The receipts that a customer kept, by the id of their event; nothing of them is believed.

    Each file with the ending ``.json`` is one, alone or in the answer that it came with; in one
    with ``.jsonl`` each line is.

    Raises:
        ConfigError: there is no such folder.
        DataError: a file has no receipt in it.
    """
    if not folder.is_dir():
        raise ConfigError(_("There is no folder {folder}.", folder=folder))
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".json", ".jsonl"):
            continue
        data = _bytes(path)
        for text in data.splitlines() if path.suffix == ".jsonl" else (data,):
            envelope = _receipt_in(text)
            event = None if envelope is None else _event_of(envelope)
            if envelope is None or event is None:
                raise DataError(
                    _("{path} holds no receipt.", path=path),
                    remedy=_("Keep only answers and receipts in that folder."),
                )
            if found.setdefault(event, envelope)["payload"] != envelope["payload"]:
                raise DataError(
                    _(
                        "{path} says something else of {event} than another.",
                        path=path,
                        event=event,
                    ),
                    remedy=_("Check each by itself: where both are signed, the seller said both."),
                )
    return found


def _receipt_in(data: bytes) -> Mapping[str, Any] | None:
    """The envelope of a receipt: the document itself, or what an answer or ``receipt`` holds."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    for __ in range(3):
        if not isinstance(found, dict):
            return None
        if found.get("payloadType") == PAYLOAD_TYPE:
            return found
        found = found.get("receipt", found.get("envelope"))
    return None


def _event_of(envelope: Mapping[str, Any]) -> str | None:
    try:
        return str(json.loads(strict_base64(envelope["payload"]))["event"])
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def _is_zip(path: Path) -> bool:
    return os.path.isfile(path) and zipfile.is_zipfile(path)  # noqa: PTH113 - Path's may raise


def _bytes(path: Path) -> bytes:
    """A file's content; a pipe or a device is not waited for."""
    if os.path.lexists(path) and not os.path.isfile(path):  # noqa: PTH113 - as above
        raise DataError(_("{path} is no file.", path=path))
    try:
        return read_whole(path, _MOST_BYTES)
    except OSError as error:
        raise DataError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
