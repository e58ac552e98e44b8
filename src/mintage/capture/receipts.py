"""Receipts: what was promised about one usage event, signed as DSSE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mintage.capture.events import UsageRecord
from mintage.core.canonical import Spelled, canonical_json
from mintage.core.errors import LogForked
from mintage.core.messages import _
from mintage.core.types import Receipt
from mintage.trust.audit import leaf_of
from mintage.trust.dsse import sign_envelope
from mintage.trust.keys import Signer

PAYLOAD_TYPE = "application/vnd.mintage.receipt+json"
SIGNING_KEY: Final = "receipt"
_AS_IN_THE_EVENT = (
    "receipt",
    "customer",
    "product",
    "model",
    "model_version",
    "bundle_digest",
    "outcome",
    "input_sha256",
    "output_sha256",
    "quantities",
    "price",
    "currency",
    "final",
    "plan",
    "plan_version",
    "recorded_at",
)
_COUNTED = (*_AS_IN_THE_EVENT, "counted_by")
"""What tokens were counted by is said where we did not count them ourselves."""


def statement_of(record: Mapping[str, Any], position: int, leaf_hash: bytes) -> bytes:
    """What the receipt of an event says, from the event's record on the log.

    Raises:
        KeyError: it is no record of a usage event.
        DataError: canonical JSON cannot say it.
    """
    names = _COUNTED if record["counted_by"] else _AS_IN_THE_EVENT
    leaf = {"position": position, "hash": leaf_hash.hex()}
    said = {name: record[name] for name in names}
    return canonical_json(said | {"version": 1, "event": record["id"], "leaf": leaf})


def check_logged(
    record: UsageRecord, position: int, salt: bytes | None, leaf_hash: bytes
) -> Spelled:
    """Look before a receipt is signed again: two that differ would both be believed.

    It gives ``record.spelled()``, since whoever looks goes on with that.

    Raises:
        LogForked: the event is not the one that was logged, or its entry is gone (``salt`` None).
    """
    spelled = record.spelled()
    said = spelled | Spelled.of({"kind": "usage"})
    if salt is None or leaf_of(said.encode(), salt) != leaf_hash:
        raise LogForked(
            _("The event at position {position} is not what was logged.", position=position),
            remedy=_("Stop, keep a copy of the workspace, and run: mintage audit verify"),
        )
    return spelled


def stated(record: UsageRecord, position: int, leaf_hash: bytes, spelled: Spelled) -> bytes:
    """``statement_of`` a recorded event; ``spelled`` is ``record.spelled()``."""
    leaf = {"position": position, "hash": leaf_hash.hex()}
    more = Spelled.of({"version": 1, "event": record.id, "leaf": leaf})
    names = _COUNTED if record.counted_by else _AS_IN_THE_EVENT
    return (spelled.only(names) | more).encode()


def receipt_of(
    record: UsageRecord,
    position: int,
    leaf_hash: bytes,
    signer: Signer,
    spelled: Spelled | None = None,
) -> Receipt:
    """The receipt of a recorded event, to be signed; the same event always says the same.

    Its member ``leaf`` is the event's place on the audit log: its index and RFC 6962 leaf hash.
    ``spelled`` is ``record.spelled()``, where that is known already.
    """

    def sign() -> Mapping[str, Any]:
        said = stated(record, position, leaf_hash, spelled or record.spelled())
        return sign_envelope(said, PAYLOAD_TYPE, signer)

    return Receipt(
        id=record.receipt,
        event_id=record.id,
        sign=sign,
        price=record.price,
        currency=record.currency,
        final=record.final,
    )
