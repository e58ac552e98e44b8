"""Idempotency: the action that was answered once is answered with the same again, free."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mintage.api.explanations import Explain
from mintage.api.service import Service, StoredAnswer, Told
from mintage.core.canonical import sha256_hex
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.types import Receipt

HEADER = b"idempotency-key"
REPLAYED = {"Idempotent-Replayed": "true"}
_LONGEST_KEY = 255


class AnswerExpired(RequestError):
    """Charged once and answered then; the answer is no longer kept."""

    code = "answer_expired"
    default_http_status = 409


class KeyReused(RequestError):
    """One Idempotency-Key for two actions."""

    code = "idempotency_key_reused"
    default_http_status = 422


class BrokeOff(RequestError):
    """Charged once for the part of the answer that was delivered before it broke."""

    code = "answer_broke"
    default_http_status = 409

    def __init__(self) -> None:
        super().__init__(
            _(
                "The answer that this Idempotency-Key got broke off here;"
                " what was delivered was charged, once."
            ),
            remedy=_("To ask anew use another Idempotency-Key."),
        )


class AnsweredElsewhere(RequestError):
    """Another process answered the same action first: that is charged, and this is not."""

    code = "answered_elsewhere"
    default_http_status = 409

    def __init__(self) -> None:
        super().__init__(
            _("This Idempotency-Key was answered elsewhere meanwhile; that answer is charged."),
            remedy=_("Send it again in a moment, with the same key."),
        )


@dataclass
class Answered:
    """An answer that may leave, because its event is on disk."""

    task: str
    output: Mapping[str, Any]
    model: str
    model_version: str
    receipt: Receipt
    replayed: bool = False
    explain: Explain = "false"
    explanation: Mapping[str, Any] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer's head says besides."""
        return REPLAYED if self.replayed else {}

    @classmethod
    def anew(cls, served: Told, receipt: Receipt, explain: Explain) -> Answered:
        """The answer just given."""
        answer, info = served.answer, served.info
        return cls(
            answer.task,
            answer.output,
            info.model,
            info.version,
            receipt,
            explain=explain,
            explanation=served.explanation,
        )

    @classmethod
    def again(cls, stored: bytes, receipt: Receipt) -> Answered:
        """The answer that ``stored`` kept."""
        return cls(**json.loads(stored), receipt=receipt, replayed=True)


def stored(served: Told, explain: Explain) -> bytes:
    """What is kept of an answer; in the output's own order, which is the labels' order."""
    answer, info = served.answer, served.info
    kept: dict[str, Any] = {
        "task": answer.task,
        "output": dict(answer.output),
        "model": info.model,
        "model_version": info.version,
    }
    if explain != "false":
        kept |= {"explain": explain, "explanation": served.explanation}
    return json.dumps(kept, allow_nan=False).encode()


def event_id(key: str | None) -> str | None:
    """The id of the event that an Idempotency-Key stands for: its SHA-256.

    Raises:
        RequestError: the key is empty or too long.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise RequestError(
            _("The Idempotency-Key has {count} characters.", count=len(key)),
            remedy=_("Use 1 to {most} characters, such as a UUID.", most=_LONGEST_KEY),
        )
    return sha256_hex(key.encode())


async def find(service: Service, customer: str, event: str) -> StoredAnswer | None:
    """What the customer's action was answered with, if it was.

    Raises:
        AnswerExpired: it was, too long ago.
    """
    if service.replays is None:
        return None
    found = await asyncio.to_thread(service.replays.find, customer, event)
    if found is not None and found.answer is None:
        raise AnswerExpired(
            _(
                "This Idempotency-Key was answered and charged once;"
                " the answer is no longer kept (24 h)."
            ),
            remedy=_(
                "GET /v1/receipts/{receipt} proves the call;"
                " for another action use another Idempotency-Key.",
                receipt=found.receipt.id,
            ),
        )
    return found


def replay(
    found: StoredAnswer, product: str, version: str | None, digest: str, explain: Explain
) -> Answered:
    """The stored answer, for the call that it was given to.

    Raises:
        KeyReused: this is another call.
    """
    if (found.product, found.input_sha256) == (product, digest):  # or it may be of another kind
        answered = Answered.again(found.answer or b"", found.receipt)
        if answered.explain == explain and version in (None, answered.model_version):
            return answered
    raise KeyReused(
        _("This Idempotency-Key was used for another picture, product, version or form."),
        remedy=_("Use one key for one action, such as a new UUID."),
    )
