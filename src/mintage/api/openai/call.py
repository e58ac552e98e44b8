"""One call of a language model: admitted, held, asked of an upstream, recorded; then it leaves.

What is charged: an answer that is whole, by what its upstream says it used; of a stream that broke,
or whose client left, the part that was delivered; nothing where nothing was delivered.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.responses import Response

from mintage.api import replays
from mintage.api.metered import Metered, has_left
from mintage.api.openai.asked import Asked
from mintage.api.replays import KeyReused
from mintage.api.routing import ClientGone
from mintage.api.service import Gateway
from mintage.core.canonical import sha256_hex
from mintage.core.errors import MintageError
from mintage.core.messages import _
from mintage.core.types import (
    INPUT_TOKEN,
    OUTPUT_TOKEN,
    REQUEST,
    UNKNOWN_CURRENCY,
    Outcome,
    Receipt,
    Usage,
)
from mintage.deliver.upstreams.declared import LONGEST_SECONDS, Upstream
from mintage.deliver.upstreams.gateway import Reply, info_of
from mintage.deliver.upstreams.tokens import (
    NOTHING,
    Counter,
    Tokens,
    most_output,
    most_prompt,
    said_by_upstream,
)

T = TypeVar("T")
_MARGIN_SECONDS = 180.0  # beside what an upstream may take: to be sent, and to be recorded
JSON = "application/json"


@dataclass
class LanguageCall(Metered):
    """An admitted call, whose body is here; ``first`` is the upstream that is asked first."""

    asked: Asked = field(kw_only=True)
    gateway: Gateway = field(kw_only=True)
    first: Upstream = field(kw_only=True)

    async def found(self) -> tuple[dict[str, Any], Receipt] | None:
        """What this action was answered with, if it was."""
        if self.event_id is None:
            return None
        found = await replays.find(self.service, self.permit.customer, self.event_id)
        if found is None:
            return None
        kept = json.loads(found.answer or b"{}")
        same = (found.product, found.input_sha256) == (self.permit.product, self.asked.sha256)
        if not same or kept.get("language") != self.asked.kind:
            raise KeyReused(
                _("This Idempotency-Key was used for another request."),
                remedy=_("Use one key for one action, such as a new UUID."),
            )
        self.limit()
        self.count("replayed")
        return kept, found.receipt

    async def begin(self) -> Reply:
        """Count it, hold what it will use at most, and have an upstream answer."""
        self.limit()
        body = self.asked.body
        most = {
            REQUEST: 1,
            INPUT_TOKEN: most_prompt(body),
            OUTPUT_TOKEN: most_output(body, self.first.most_output),
        }
        await self.reserve(most, LONGEST_SECONDS + _MARGIN_SECONDS)
        product, forwarded = self.permit.product, self.asked.forwarded()
        return await self.or_recorded(self.gateway.ask(product, self.asked.kind, forwarded))

    async def or_recorded(self, answer: Coroutine[Any, Any, T], reply: Reply | None = None) -> T:
        """The answer; that there is none is recorded, and costs nobody anything."""
        try:
            return await self.wanted(answer)
        except ClientGone:
            await self.record_failure(self.failed("cancelled", reply))
            raise
        except MintageError as error:
            await self.record_failure(self.failed(outcome_of(error), reply))
            raise

    async def whole(self, reply: Reply) -> Response:
        """The answer, once all of it is here and recorded."""
        document = reply.document
        document["model"] = self.permit.product
        data = spelled(document)
        tokens = said_by_upstream(document.get("usage")) or self._counted(reply, document)
        if await has_left(self.request):
            await self.record_failure(self.failed("cancelled", reply))
            raise ClientGone
        kept = self.kept(body=data.decode()) if self.event_id is not None else None
        receipt = await self.record(self.usage("ok", reply, tokens, sha256_hex(data), kept))
        self.service.metrics.answered(self.permit.product, self.elapsed)
        return answer(data, receipt)

    def kept(self, **said: Any) -> bytes:
        """What a repetition of the action is answered with."""
        return json.dumps({"language": self.asked.kind, **said}).encode()

    def _counted(self, reply: Reply, document: dict[str, Any]) -> Tokens:
        """What was used, counted here: the upstream does not say."""
        choices = document.get("choices")
        text = "".join(map(text_of, choices if isinstance(choices, list) else ()))
        return self.counted(reply, text)

    def counted(self, reply: Reply, text: str) -> Tokens:
        """What a text took, by the declared tokenizer or by its length."""
        counter = Counter(reply.upstream.tokenizer)
        prompt = counter.prompt(self.asked.body)
        return Tokens(prompt, counter.text(text), counted_by=counter.counted_by)

    def failed(self, outcome: Outcome, reply: Reply | None = None) -> Usage:
        """What is recorded where nothing was delivered: free, whatever the upstream asks for it."""
        return self.usage(outcome, reply, NOTHING, "")

    def usage(
        self,
        outcome: Outcome,
        reply: Reply | None,
        tokens: Tokens,
        output_sha256: str,
        kept: bytes | None = None,
    ) -> Usage:
        """What the Meter is told; what is ``kept`` spends the action's Idempotency-Key."""
        upstream = self.first if reply is None else reply.upstream
        quantities = tokens.quantities(self.permit.prices)
        costs = upstream.costs
        return Usage(
            permit=self.permit,
            provider=info_of(upstream),
            alias="stable",
            outcome=outcome,
            quantities=quantities,
            input_sha256=self.asked.sha256,
            output_sha256=output_sha256,
            latency_seconds=self.elapsed,
            compute_seconds=0.0,
            origin="client" if kept else "server",
            event_id=self.event_id if kept else None,
            stored_answer=kept,
            hold=self.hold,
            counted_by=tokens.counted_by,
            cost="0" if costs is None or tokens is NOTHING else costs.of(quantities, tokens.cached),
            cost_currency=UNKNOWN_CURRENCY if costs is None else costs.currency,
        )


def outcome_of(error: MintageError) -> Outcome:
    """What is recorded of a call that failed so."""
    return "timeout" if error.http_status == 504 else "error"


def answer(data: bytes, receipt: Receipt, *, again: bool = False) -> Response:
    """A whole answer, with the receipt that it got."""
    said = b',"mintage":%b}' % spelled(mintage_of(receipt))
    headers = headers_of(receipt) | (replays.REPLAYED if again else {})
    return Response(data[:-1] + said, media_type=JSON, headers=headers)


def mintage_of(receipt: Receipt) -> dict[str, Any]:
    """What an answer says besides, for those who look."""
    return {
        "receipt": receipt.id,
        "event": receipt.event_id,
        "price": {"amount": receipt.price, "currency": receipt.currency, "final": receipt.final},
    }


def headers_of(receipt: Receipt) -> dict[str, str]:
    """The same in the head, for those whose client hides what it does not know."""
    return {
        "X-Mintage-Receipt": receipt.id,
        "X-Mintage-Price": f"{receipt.price} {receipt.currency}",
    }


def text_of(choice: object) -> str:
    """All that a choice, or a part of one, says."""
    if not isinstance(choice, dict):
        return ""
    found = choice.get("message") or choice.get("delta") or choice
    if not isinstance(found, dict):
        return ""
    said = [found.get(name) for name in ("content", "text", "reasoning_content", "refusal")]
    for each in found.get("tool_calls") or ():
        function = each.get("function") if isinstance(each, dict) else None
        if isinstance(function, dict):
            said += [function.get("name"), function.get("arguments")]
    return "".join(each for each in said if isinstance(each, str))


def spelled(document: Any) -> bytes:
    """As JSON in UTF-8; half of a surrogate pair stays escaped."""
    try:
        return _encode(document).encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
