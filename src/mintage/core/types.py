"""The values that pass between rooms: frozen, and free of any library but NumPy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from mintage.core.errors import QuotaReached
from mintage.core.money import Money, Price

Split = Literal["train", "validation", "test"]
Durability = Literal["flush", "process"]
"""What recorded usage survives: a power cut, or the end of the process alone."""
ModelServer = Literal["auto", "transformers", "vllm"]
"""What serves language models of one's own; ``auto`` takes vLLM where it is installed."""
Outcome = Literal["ok", "partial", "error", "timeout", "cancelled", "abstain"]
"""How a call ended. Of a ``partial`` answer a part was delivered, before it broke or its client
left, and that part is charged."""
CountedBy = Literal["", "upstream", "tokenizer", "length"]
"""Who counted what was used: we ourselves, the upstream, its declared tokenizer on our side, or the
length of the text where there is none."""
Scope = Literal["predict", "usage", "feedback"]
"""What a key may do: call products, read usage and receipts, say whether answers were right."""
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


INPUT_TOKEN, CACHED_INPUT_TOKEN, OUTPUT_TOKEN = "input_token", "cached_input_token", "output_token"
"""The units of a language model. Where a plan has a price for cached tokens, they are not counted
as input tokens too; where it has none, they are counted as input tokens alone."""
REQUEST = "request"
LANGUAGE_UNITS: Final = (INPUT_TOKEN, CACHED_INPUT_TOKEN, OUTPUT_TOKEN, REQUEST)
"""What calls of a language model are counted in."""

UNKNOWN_CURRENCY: Final = "XXX"
"""ISO 4217's code for no currency: that of a cost which nobody knows."""
PICOS: Final = 10**12
"""What a cost is counted in: a token's may be far below a money's 10⁻⁹."""

OWN_MODEL: Final = "bundle:"
"""What stands in place of an upstream's address where it is a language model of one's own."""

EXPLANATION = "explanation"
"""The unit that explanations are counted in, beside the product's own."""

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
"""One for all that have none: an empty dict each would be a tenth of what a picture takes."""


@dataclass(frozen=True, slots=True)
class Found:
    """One labelled example that a source offers; its bytes are read when they are wanted.

    ``read`` may have a ``stamp()``: a text that is another once the bytes are, told without reading
    them, such as a file's size and time. ``columns`` is what a table says of it besides its path
    and label.
    """

    path: str
    label: str
    read: Callable[[], bytes]
    columns: Mapping[str, str] = field(default_factory=lambda: NO_COLUMNS)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left out, and why."""

    path: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """The pair as it stands in JSON answers."""
        return {"path": self.path, "reason": self.reason}


@dataclass(frozen=True)
class SourceListing:
    """What a source holds: examples, what it had to leave out, and what it passed over."""

    examples: tuple[Found, ...]
    skipped: tuple[Skipped, ...] = ()
    hidden: int = 0
    stray: int = 0
    empty_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ingested:
    """An example made safe to keep: checked, without metadata.

    ``properties`` describe it to people (width, height, orientation, format);
    ``fingerprint`` is what near duplicates share, bit-packed; empty where it was not asked for.
    """

    data: bytes
    properties: Mapping[str, Any]
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Example:
    """One line of a dataset's manifest; ``columns`` are those of its table that were kept.

    Only pictures have a ``size`` and an ``orientation``.
    """

    sha256: str
    path: str
    label: str
    split: Split
    fold: int | None
    group: str
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    flags: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=lambda: NO_COLUMNS)

    def to_json(self) -> dict[str, Any]:
        """The manifest's line as plain JSON.

        ``fold`` only where folds choose, ``columns`` only where any are kept.
        """
        line: dict[str, Any] = {
            "sha256": self.sha256,
            "path": self.path,
            "label": self.label,
            "split": self.split,
            "group": self.group,
            "flags": list(self.flags),
        }
        if self.size != (0, 0):
            line |= {"size": list(self.size), "orientation": self.orientation}
        line |= {} if self.fold is None else {"fold": self.fold}
        return line | ({"columns": dict(self.columns)} if self.columns else {})

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Example:
        """Read a manifest's line."""
        width, height = line.get("size", (0, 0))
        return cls(
            sha256=line["sha256"],
            path=line["path"],
            label=line["label"],
            split=line["split"],
            fold=line.get("fold"),
            group=line["group"],
            size=(width, height),
            orientation=line.get("orientation", 1),
            flags=tuple(line["flags"]),
            columns=line.get("columns", NO_COLUMNS),
        )


@dataclass(frozen=True)
class Answer:
    """What a provider says of one input; ``output`` is shaped by the task."""

    task: str
    output: Mapping[str, Any]
    abstained: bool = False
    probability: float | None = None
    compute_seconds: float = 0.0


@dataclass(frozen=True)
class Detail:
    """How much of an answer's probabilities a plan gives away; None gives all of it.

    They are rounded to ``decimals``, and told of the ``top`` most probable labels alone: what is
    learned of a model by an answer is what whoever copies it learns from.
    """

    decimals: int | None = None
    top: int | None = None

    def of(self, answer: Answer) -> Answer:
        """The answer as it is delivered; the probability of a label that is not told is None."""
        if self == FULL_DETAIL:
            return answer
        output = dict(answer.output)
        if isinstance(output.get("probability"), float):
            output["probability"] = self.rounded(output["probability"])
        chances = output.get("probabilities")
        if isinstance(chances, Mapping):
            most = sorted(chances, key=lambda label: chances[label], reverse=True)[: self.top]
            output["probabilities"] = {
                label: self.rounded(chance) if label in most else None
                for label, chance in chances.items()
            }
        given = answer.probability
        probability = None if given is None else self.rounded(given)
        return replace(answer, output=output, probability=probability)

    def rounded(self, value: float) -> float:
        """A figure of an answer or of its explanation."""
        return value if self.decimals is None else round(value, self.decimals)

    def to_json(self) -> dict[str, int | None]:
        """As a plan holds it and a product's description tells it."""
        return {"decimals": self.decimals, "top": self.top}


FULL_DETAIL: Final = Detail()


@dataclass(frozen=True)
class Batch:
    """What a batch was like, for whoever watches; times are in seconds."""

    version: str
    items: int
    queue_seconds: tuple[float, ...]
    """How long each call waited for its batch to begin."""
    decode_seconds: float
    infer_seconds: float


@dataclass(frozen=True)
class ProviderInfo:
    """Which model answers: what an answer, an event and a receipt name."""

    model: str
    version: str
    bundle_digest: str
    task: str
    modality: str


@dataclass(frozen=True)
class Rate:
    """At most so many calls, or tokens, in so many seconds; as text ``600/minute``."""

    calls: int
    seconds: int

    def __str__(self) -> str:
        names = {seconds: name for name, seconds in RATE_UNITS.items()}
        return f"{self.calls}/{names[self.seconds]}"


RATE_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True)
class Allowance:
    """What is left of a rate after some calls, or their tokens, were counted, or were refused."""

    policy: str
    rate: Rate
    remaining: int
    reset_seconds: int
    """Until all of it is there again."""
    refusal: QuotaReached | None = None
    of_tokens: bool = False


@dataclass(frozen=True)
class Caller:
    """Whose key it is, and of which products it shows the records; None is all of them."""

    customer: str
    products: frozenset[str] | None = None
    key: str = field(default="", compare=False)
    """The key's id."""


@dataclass(frozen=True)
class Permit:
    """The Gate's yes: this caller may use this product now, at these prices.

    ``prices`` are those of one unit of each kind, before anything is used up or included; what a
    call costs by them is ``final`` where no other call changes it. Without a ``rate`` calls are
    not counted, without a ``token_rate`` their tokens are not. ``bounds`` are the Gate's word to
    those who count against limits; what is ``held`` against them is reserved before a call is
    answered. ``detail`` is what answers tell of their probabilities.
    """

    customer: str
    key_id: str
    product: str
    plan: str
    plan_version: int
    prices: Mapping[str, Price]
    currency: str
    rate: Rate | None = None
    token_rate: Rate | None = None
    final: bool = True
    charge_abstained: bool = False
    bounds: object | None = None
    held: bool = False
    detail: Detail = FULL_DETAIL


@dataclass  # not frozen: that made one in five times the time, for every call
class Usage:
    """What the server tells the Meter about one call that reached a product.

    ``stored_answer`` is kept for a while beside the event, for a repetition of the same action.
    Of an abandoned one nobody waits for the record any more: no answer left, so nothing is owed. Of
    a ``delivered`` one the answer, or its part, has left before.
    ``hold`` is what was reserved for it. ``cost`` is what an upstream asks for it, a decimal string
    in major units of ``cost_currency`` with at most 12 decimals; ``UNKNOWN_CURRENCY`` says that
    nobody knows it.
    """

    permit: Permit
    provider: ProviderInfo
    alias: str
    outcome: Outcome
    quantities: Mapping[str, int]
    input_sha256: str
    output_sha256: str
    latency_seconds: float
    compute_seconds: float
    probability: float | None = None
    abstained: bool = False
    origin: str = "server"
    event_id: str | None = None
    stored_answer: bytes | None = None
    abandoned: bool = False
    hold: str | None = None
    counted_by: CountedBy = ""
    delivered: bool = False
    cost: str = "0"
    cost_currency: str = ""


@dataclass(frozen=True)
class Receipt:
    """A signed promise about one usage event.

    It is signed when it is first shown: whoever answers with its id alone does not wait for it.
    """

    id: str
    event_id: str
    sign: Callable[[], Mapping[str, Any]] = field(repr=False, compare=False)
    price: str
    currency: str
    final: bool

    @cached_property
    def envelope(self) -> Mapping[str, Any]:
        """DSSE, which proves the statement."""
        return self.sign()

    @property
    def statement(self) -> dict[str, Any]:
        """What is signed, as it reads."""
        said: dict[str, Any] = json.loads(base64.b64decode(self.envelope["payload"]))
        return said

    def to_json(self) -> dict[str, Any]:
        """The receipt as an answer carries it."""
        return {"id": self.id, "event": self.event_id, "envelope": dict(self.envelope)}


@dataclass(frozen=True)
class Said:
    """What a customer says of an answer.

    ``output`` is the answer as it came; ``label`` the true one, None where they do not know it.
    """

    right: bool
    label: str | None
    output: Mapping[str, Any]


@dataclass(frozen=True)
class InputSpec:
    """What a network takes: uint8[N, side, side, 3], made from any picture by ``modality``."""

    modality: str
    side: int
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bill:
    """An issued invoice as a payment provider is to collect it; ``owed`` is what is left of it.

    ``lines`` are words and amounts that come to its total, in the customer's language, as is
    ``rest``: the words for what they and ``owed`` differ by. ``payer`` is what the provider calls
    the customer, where that is known.
    """

    id: str
    number: str
    customer: str
    name: str
    email: str
    owed: Money
    lines: tuple[tuple[str, Money], ...]
    rest: str
    due_at: str
    payer: str | None = None


@dataclass(frozen=True)
class Requested:
    """What a provider calls a bill and its payer; ``url`` is where it can be paid."""

    reference: str
    payer: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Payment:
    """Money that a provider says it took; ``reference`` tells this payment from all others."""

    reference: str
    number: str
    amount: Money
