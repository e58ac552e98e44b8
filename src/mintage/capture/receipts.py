"""Receipts: what was promised about one usage event, signed as DSSE."""

from __future__ import annotations

from typing import Any, Final

from mintage.capture.events import UsageRecord
from mintage.core.canonical import canonical_json
from mintage.core.types import Receipt
from mintage.trust.dsse import sign_envelope
from mintage.trust.keys import Signer

PAYLOAD_TYPE = "application/vnd.mintage.receipt+json"
SIGNING_KEY: Final = "receipt"


def statement(record: UsageRecord, position: int, leaf_hash: bytes) -> dict[str, Any]:
    """What a receipt says; the same event always says the same.

    ``leaf`` is the event's place on the audit log: its index and RFC 6962 leaf hash.
    """
    return {
        "version": 1,
        "receipt": record.receipt,
        "event": record.id,
        "product": record.product,
        "model": record.model,
        "model_version": record.model_version,
        "bundle_digest": record.bundle_digest,
        "outcome": record.outcome,
        "input_sha256": record.input_sha256,
        "output_sha256": record.output_sha256,
        "quantities": dict(record.quantities),
        "price": record.price,
        "currency": record.currency,
        "final": record.final,
        "plan": record.plan,
        "plan_version": record.plan_version,
        "recorded_at": record.recorded_at,
        "leaf": {"position": position, "hash": leaf_hash.hex()},
    }


def sign_receipt(record: UsageRecord, position: int, leaf_hash: bytes, signer: Signer) -> Receipt:
    """The signed receipt of a recorded event."""
    said = statement(record, position, leaf_hash)
    return Receipt(
        id=record.receipt,
        event_id=record.id,
        statement=said,
        envelope=sign_envelope(canonical_json(said), PAYLOAD_TYPE, signer),
        price=record.price,
        currency=record.currency,
        final=said["final"],
    )
