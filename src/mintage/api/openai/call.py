"""One call of a language model: admitted, held, asked of an upstream, recorded; then it leaves.

What is charged: an answer that is whole, by what its upstream says it used; of a stream that broke,
or whose client left without a key to ask again by, the part that was delivered; nothing where
nothing was delivered.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from starlette.responses import Response

from mintage.api import limits, replays
from mintage.api.customer import price_of
from mintage.api.metered import Metered, has_left, unpriced
from mintage.api.openai.asked import Asked
from mintage.api.replays import KeyReused
from mintage.api.routing import ClientGone
from mintage.api.service import Gateway
from mintage.core.canonical import sha256_hex
from mintage.core.errors import MintageError
from mintage.core.messages import _
from mintage.core.types import (
    EXPLANATION,
    INPUT_TOKEN,
    LANGUAGE_UNITS,
    OUTPUT_TOKEN,
    REQUEST,
    Outcome,
    Receipt,
    Usage,
)
from mintage.deliver.upstreams.declared import LONGEST_SECONDS, Upstream
from mintage.deliver.upstreams.events import LARGE_BYTES, spelled
from mintage.deliver.upstreams.gateway import Reply, info_of
from mintage.deliver.upstreams.tokens import (
    NOTHING,
    Counter,
    Tokens,
    most_output,
    said_by_upstream,
)
from mintage.deliver.upstreams.work import Work

T = TypeVar("T")
_log = logging.getLogger(__name__)
_NO_TEXT = frozenset(("role", "id", "type", "index", "finish_reason", "logprobs"))
_MARGIN_SECONDS = 180.0  # beside what an upstream may take: to be sent, and to be recorded
JSON = "application/json"


@dataclass
class LanguageCall(Metered):
    """An admitted call, whose body is here; ``upstreams`` are those that may answer it."""

    asked: Asked = field(kw_only=True)
    gateway: Gateway = field(kw_only=True)
    upstreams: Sequence[Upstream] = field(kw_only=True)
    counted_tokens: int | None = None
    """Of the plan's rate of tokens, before what it used was known."""
    used_tokens: int = 0
    work: Work = field(default_factory=Work)
    """What upstreams did for it."""

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
        if not self.counts:
            self.limit()
        self.count("replayed")
        return kept, found.receipt

    async def begin(self) -> Reply:
        """Count it, hold what it will use at most, and have an upstream answer."""
        self._check_priced()
        self.limit()
        self._limit_tokens()
        asked, bound = self.asked, max(each.most_output for each in self.upstreams)
        most = {
            REQUEST: 1,
            INPUT_TOKEN: asked.most_prompt,
            OUTPUT_TOKEN: most_output(asked.body, bound, embeds=asked.kind == "embeddings"),
        }
        await self.reserve(most, LONGEST_SECONDS + _MARGIN_SECONDS)
        forwarded = asked.forwarded(bound if self.permit.held else None)
        return await self.or_recorded(
            self.gateway.ask(
                self.permit.product,
                asked.kind,
                forwarded,
                streams=asked.streams,
                large=asked.is_large,
                work=self.work,
            )
        )

    def _limit_tokens(self) -> None:
        """Count its prompt against its plan's rate of tokens; the rest when it ends."""
        likely = self.asked.most_prompt // 2
        try:
            limits.count_tokens(self.service, self.request.scope, self.permit, likely)
            self.counted_tokens = likely
        except MintageError as error:
            self.refused(error)
            raise

    def end(self) -> None:
        """Give back what it took and did not use."""
        self.work.end()
        if self.counted_tokens is not None:
            limits.settle_tokens(
                self.service,
                self.request.scope,
                self.permit,
                self.counted_tokens,
                self.used_tokens,
            )
        super().end()

    def _check_priced(self) -> None:
        """Refuse before an upstream is asked what the plan has no price for."""
        prices = self.permit.prices.keys() - {EXPLANATION}
        if prices and not prices & set(LANGUAGE_UNITS):
            self.count("unrecorded")
            raise unpriced()

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
        document.pop("mintage", None)  # another's, where the upstream is a Mintage
        large = reply.size_bytes >= LARGE_BYTES
        data = await asyncio.to_thread(spelled, document) if large else spelled(document)
        tokens = said_by_upstream(document.get("usage")) or await self._counted(reply, document)
        if await has_left(self.request):
            await self.record_failure(self.failed("cancelled", reply, tokens))
            raise ClientGone
        kept = self.kept(body=data.decode()) if self.event_id is not None else None
        receipt = await self.record(self.usage("ok", reply, tokens, sha256_hex(data), kept))
        self.service.metrics.answered(self.permit.product, self.elapsed)
        found = answer(data, receipt)
        found.headers.update(replaced_in(reply))
        return found

    def kept(self, **said: Any) -> bytes:
        """What a repetition of the action is answered with."""
        return json.dumps({"language": self.asked.kind, **said}).encode()

    async def _counted(self, reply: Reply, document: dict[str, Any]) -> Tokens:
        """What was used, counted here: the upstream does not say."""
        choices = document.get("choices")
        text = "".join(map(text_of, choices if isinstance(choices, list) else ()))
        return await self.counted(reply, text)

    async def counted(self, reply: Reply, text: str) -> Tokens:
        """What a text took, by the declared tokenizer, or by its length where that cannot."""

        def count(tokenizer: str) -> Tokens:
            counter = Counter(tokenizer)
            prompt = counter.prompt(self.asked.body)
            return Tokens(prompt, counter.text(text), counted_by=counter.counted_by)

        tokenizer = reply.upstream.tokenizer
        try:
            return await asyncio.to_thread(count, tokenizer) if tokenizer else count("")
        except MintageError as error:
            _log.error("Tokens are counted by length: %s", error.message)
            return count("")

    def failed(
        self, outcome: Outcome, reply: Reply | None = None, spent: Tokens = NOTHING
    ) -> Usage:
        """What is recorded where nothing was delivered: free, though tokens may be ``spent``."""
        usage = self.usage(outcome, reply, NOTHING, "")
        cost, currency = self.work.cost(None if reply is None else reply.upstream, spent)
        return replace(usage, cost=cost, cost_currency=currency)

    def usage(
        self,
        outcome: Outcome,
        reply: Reply | None,
        tokens: Tokens,
        output_sha256: str,
        kept: bytes | None = None,
    ) -> Usage:
        """What the Meter is told; what is ``kept`` spends the action's Idempotency-Key."""
        self.work.end()
        answered = None if reply is None else reply.upstream
        cost, currency = self.work.cost(answered, tokens)
        self.used_tokens = tokens.prompt + tokens.output
        return Usage(
            permit=self.permit,
            provider=info_of(answered or self.work.last or self.upstreams[0]),
            alias="stable",
            outcome=outcome,
            quantities=tokens.quantities(self.permit.prices),
            input_sha256=self.asked.sha256,
            output_sha256=output_sha256,
            latency_seconds=self.elapsed,
            compute_seconds=self.work.seconds,
            origin="client" if kept else "server",
            event_id=self.event_id if kept else None,
            stored_answer=kept,
            hold=self.hold,
            counted_by=tokens.counted_by,
            delivered=outcome == "partial" or (outcome == "ok" and self.asked.streams),
            cost=cost,
            cost_currency=currency,
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
        "price": price_of(receipt),
    }


def headers_of(receipt: Receipt) -> dict[str, str]:
    """The same in the head, for those whose client hides what it does not know."""
    return {
        "X-Mintage-Receipt": receipt.id,
        "X-Mintage-Price": f"{receipt.price} {receipt.currency}",
    }


def replaced_in(reply: Reply) -> dict[str, str]:
    """The head's word on what the upstream got no personal data of: ``email=2, phone=1``."""
    said = "" if reply.deidentified is None else reply.deidentified.said
    return {"X-Mintage-Deidentified": said} if said else {}


def text_of(choice: object) -> str:
    """All that a choice, or a part of one, says: whatever its members are called."""
    if not isinstance(choice, dict):
        return ""
    return "".join(_texts(choice.get("message") or choice.get("delta") or choice))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in _NO_TEXT:
                yield from _texts(each)
