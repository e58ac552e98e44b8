"""Notices: what a webhook tells, written in the very transaction of the fact that it tells of.

>>> notices.tell(connection, customer_id, "quota.threshold", {"percent": 80}, now)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mintage.capture.webhooks import repository
from mintage.core.canonical import canonical_json
from mintage.core.clock import timestamp
from mintage.core.ids import new_id

TYPES = (
    "invoice.issued",
    "invoice.paid",
    "invoice.overdue",
    "invoice.void",
    "credit_note.issued",
    "payment.partial",
    "payment.credited",
    "payment.mismatch",
    "quota.threshold",
    "balance.threshold",
    "log.head",
)
"""Everything that is told; an endpoint may hear some of them alone."""


def tell(
    connection: repository.Connection,
    customer: str | None,
    type_: str,
    data: Mapping[str, Any],
    now: datetime | str,
) -> str:
    """Tell of something within the caller's transaction; the notice's id.

    It is sent, by whoever runs ``Deliveries``, to the endpoints that there are now; ``customer`` is
    an id, None for what is of no customer, which the operator's endpoints alone hear. Amounts in
    ``data`` are decimal strings.

    Raises:
        ValueError: no type of ``TYPES``.
    """
    if type_ not in TYPES:
        raise ValueError(f"no notice is of the type {type_}")
    moment = now if isinstance(now, str) else timestamp(now)
    notice = new_id("msg")
    row = {"id": notice, "customer": customer, "type": type_, "told_at": moment}
    repository.add_notice(connection, row | {"data": canonical_json(data).decode()})
    heard = _hearing(connection, customer, type_)
    fresh = {"notice": notice, "status": "waiting", "tries": 0, "next_at": moment}
    repository.add_deliveries(connection, [fresh | {"endpoint": each} for each in heard])
    return notice


def is_heard(connection: repository.Connection, customer: str | None, type_: str) -> bool:
    """Whether any endpoint would be sent such a notice now."""
    return bool(_hearing(connection, customer, type_))


def _hearing(connection: repository.Connection, customer: str | None, type_: str) -> list[str]:
    return [
        each["id"]
        for each in repository.endpoints_for(connection, customer)
        if type_ in (json.loads(each["types"]) or TYPES)
    ]
