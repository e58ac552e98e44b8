"""What the HTTP face is given: the parts behind the routes, as ``app`` joined them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mintage.api.intake import Intake
from mintage.api.metrics import Metrics
from mintage.api.recording import Recorder
from mintage.api.tracing import Tracer
from mintage.core.clock import Clock, SystemClock
from mintage.core.effort import Effort
from mintage.core.messages import told
from mintage.core.money import Price
from mintage.core.ports import Gate, Limiter, Meter, Reserve
from mintage.core.settings import Settings
from mintage.core.types import (
    Answer,
    Batch,
    Caller,
    Detail,
    ProviderInfo,
    Rate,
    Receipt,
    Said,
    Scope,
)

if TYPE_CHECKING:
    from mintage.app.billing import Billing
    from mintage.app.capturing import Capturing
    from mintage.deliver.upstreams.declared import Upstream
    from mintage.deliver.upstreams.gateway import Reply
    from mintage.deliver.upstreams.work import Work


class Version(Protocol):
    """Which version answers."""

    @property
    def info(self) -> ProviderInfo:
        """The model, its version and digest."""
        ...

    @property
    def alias(self) -> str:
        """The product's alias that points at it."""
        ...


class Served(Version, Protocol):
    """An answer, and which version gave it."""

    @property
    def answer(self) -> Answer:
        """The answer."""
        ...


@dataclass(frozen=True)
class Told:
    """An answer as it is delivered, hashed and kept: its ``message`` in the customer's language."""

    answer: Answer
    info: ProviderInfo
    alias: str
    explanation: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, served: Served, detail: Detail, explanation: Mapping[str, Any] | None = None
    ) -> Told:
        """The answer in the current language, in as much detail as the caller's plan has it.

        Labels are the model's and stay as they are.
        """
        answer = detail.of(served.answer)
        message = answer.output.get("message")
        if isinstance(message, str):
            answer = replace(answer, output={**answer.output, "message": told(message)})
        return cls(answer, served.info, served.alias, explanation)


class Explained(Served, Protocol):
    """An answer, and where in the picture it comes from."""

    @property
    def map(self) -> NDArray[np.float32] | None:
        """float32[S, S] over the whole picture; None where the model abstains."""
        ...

    @property
    def png(self) -> bytes | None:
        """The map drawn over the picture, where that was asked for."""
        ...


class Explanations(Protocol):
    """What ``deliver.explain.Explanations`` offers, and a test's stand-in must."""

    def check(self) -> None:
        """Raise Overloaded before a body is read."""
        ...

    async def explain(
        self, product: str, data: bytes, *, drawn: bool, by: Any, effort: Effort | None = None
    ) -> Explained:
        """Answer one input and explain the answer, by what ``Engine.current`` gave."""
        ...

    async def close(self) -> None:
        """End what was begun."""
        ...


class Engine(Protocol):
    """What ``deliver.engine.Engine`` offers, and a test's stand-in must."""

    async def start(self) -> None:
        """Load what is current and go on watching."""
        ...

    async def answer(
        self, product: str, data: bytes, by: Any = None, effort: Effort | None = None
    ) -> Served:
        """Answer one input, by what ``current`` gave; ``effort`` is told what it takes."""
        ...

    async def current(
        self, product: str, customer: str = "", version: str | None = None
    ) -> Version:
        """The version that answers this customer now; raises NotReady, RequestError (404)."""
        ...

    def check(self, product: str) -> None:
        """Raise Overloaded or NotReady before a body is read."""
        ...

    def ready(self, product: str | None = None) -> bool:
        """Whether the product, or any at all, can be answered now."""
        ...

    def versions(self, product: str) -> list[str]:
        """The versions of a product that answer now, the stable one first."""
        ...

    def products(self) -> list[str]:
        """The products that can be answered now."""
        ...

    def queues(self) -> dict[str, int]:
        """For each product, the calls not answered yet."""
        ...

    def observe(self, observer: Callable[[str, Batch], None]) -> None:
        """Have every batch told, with its product."""
        ...

    def compare(self, observer: Callable[[str, str, Any], None]) -> None:
        """Have every answer of a shadow told: product, version, how it compares."""
        ...

    def retire(self) -> None:
        """Be not ready from now on, and answer all the same."""
        ...

    def drain(self) -> None:
        """Take no more calls, and be not ready."""
        ...

    async def close(self) -> None:
        """Answer what was taken and let go."""
        ...


class ProductCard(Protocol):
    """What anyone may know of a product."""

    @property
    def name(self) -> str:
        """The product's name."""
        ...

    @property
    def task(self) -> str:
        """What comes out."""
        ...

    @property
    def modality(self) -> str:
        """What goes in."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """The labels, in the model's order."""
        ...

    @property
    def model(self) -> str:
        """The model that ``stable`` points at."""
        ...

    @property
    def model_version(self) -> str:
        """And its version."""
        ...

    @property
    def unit(self) -> str:
        """What is counted: ``image``."""
        ...

    @property
    def price(self) -> Price:
        """For so many units."""
        ...

    @property
    def explanation(self) -> Price:
        """For one explanation besides."""
        ...

    @property
    def prices(self) -> Mapping[str, Price]:
        """Of each unit that is counted."""
        ...

    @property
    def rate(self) -> Rate | None:
        """How many calls a customer may make in a while."""
        ...

    @property
    def detail(self) -> Detail:
        """How much of their probabilities answers tell."""
        ...


class Catalogue(Protocol):
    """What is sold here."""

    def names(self) -> Sequence[str]:
        """Every product's name."""
        ...

    def card(self, product: str) -> ProductCard:
        """One product; raises RequestError (404)."""
        ...


class Accounts(Protocol):
    """A customer's own records. May wait for the database: it is called in threads."""

    def caller(self, key: str | None, scope: Scope, address: str | None) -> Caller:
        """Whose key this is; raises Unauthenticated, and NotAllowed where it is not for this."""
        ...

    def usage(
        self,
        caller: Caller,
        *,
        product: str | None,
        period: str | None,
        after: str | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """The caller's usage events, newest first; ``after`` is a page's last receipt."""
        ...

    def limits(self, caller: Caller) -> dict[str, Any]:
        """What limits the caller, how much of it is used, and the credit that is left."""
        ...

    def usage_totals(
        self, caller: Caller, period: str, *, product: str | None
    ) -> list[dict[str, Any]]:
        """What the caller used in a month, by product and outcome."""
        ...

    def receipt(self, caller: Caller, receipt_id: str) -> Mapping[str, Any]:
        """One receipt; raises RequestError (404) where it is not for this caller."""
        ...

    def log(self, caller: Caller) -> Mapping[str, Any]:
        """The audit log's newest head, and what it is verified with."""
        ...

    def consistency(
        self, caller: Caller, earlier: int, size: int | None, log: int | None
    ) -> Mapping[str, Any]:
        """That the audit log only grew; raises ConfigError (400) where these are no sizes of it."""
        ...

    def invoices(self, caller: Caller, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """The caller's invoices and credit notes, the oldest first; ``after`` is one of them."""
        ...

    def preview(self, caller: Caller) -> dict[str, Any]:
        """What the present month comes to until now; raises NotAllowed."""
        ...

    def invoice(self, caller: Caller, number: str) -> dict[str, Any]:
        """One of them, by its number or id; raises RequestError (404) where it is not theirs."""
        ...

    def invoice_pdf(self, caller: Caller, number: str) -> bytes:
        """The same as PDF; raises RequestError (406) where none can be made."""
        ...

    def invoice_signed(self, caller: Caller, number: str) -> bytes:
        """The same as it was signed when it was issued."""
        ...

    def invoice_evidence(self, caller: Caller, number: str) -> Iterator[bytes]:
        """What shows that it is right, a zip in portions; raises before the first."""
        ...


class StoredAnswer(Protocol):
    """What an Idempotency-Key was answered with."""

    @property
    def product(self) -> str:
        """Which product answered."""
        ...

    @property
    def input_sha256(self) -> str:
        """What it was asked."""
        ...

    @property
    def receipt(self) -> Receipt:
        """The receipt that was given."""
        ...

    @property
    def answer(self) -> bytes | None:
        """The ``Usage.stored_answer`` of then; None once it is no longer kept."""
        ...


class Replays(Protocol):
    """Stored answers. May wait for the database: it is called in threads."""

    def find(self, customer: str, event_id: str) -> StoredAnswer | None:
        """What this customer's action was answered with, if it was."""
        ...


class Feedback(Protocol):
    """What customers say of answers. May wait for disk and database: it is called in threads."""

    def keep(
        self,
        customer: str,
        receipt: str,
        said: Said,
        data: bytes,
        among: Collection[str] | None = None,
    ) -> Mapping[str, Any]:
        """Keep the picture and what is said of its answer; what is kept, as JSON.

        Raises RequestError (404) where the receipt is not this customer's, or not of a product
        that is ``among`` these.
        """
        ...

    def withdraw(
        self, receipt: str, customer: str | None = None, among: Collection[str] | None = None
    ) -> None:
        """Forget both; raises RequestError (404) as ``keep`` does."""
        ...


class Refusals(Protocol):
    """Counts what is refused; called on the event loop, so it answers at once."""

    def note(self, key: str | None, product: str | None, code: str) -> None:
        """One call with this key was refused, for this reason."""
        ...

    def note_operator(self, operator: str | None, code: str) -> None:
        """An operator was refused, or who was none at their port."""

    def count(self, key: str | None, product: str, outcome: str) -> None:
        """One that is neither refused nor an event: ``replayed``, ``shed`` or ``shadow``."""
        ...

    def close(self) -> None:
        """Write down what was counted; waits for it."""
        ...


class Payments(Protocol):
    """What payment providers tell. May wait for the database: it is called in threads."""

    def notified(self, provider: str, body: bytes, headers: Mapping[str, str]) -> object:
        """Take a message; raises RequestError (400) where it is not the provider's, 404 for none.

        ``headers`` have names in lower case.
        """
        ...

    def acknowledgement(self, provider: str) -> str:
        """What a message that was taken is answered with; "" is an empty answer."""
        ...


class Listed(Protocol):
    """What lists the products as the command line does."""

    def catalogue(self) -> list[dict[str, Any]]:
        """Every product with what it points at."""
        ...


class Gateway(Protocol):
    """What ``deliver.upstreams.gateway.Gateway`` offers, and a test's stand-in must."""

    async def start(self) -> None:
        """Know what is declared."""
        ...

    async def upstreams(self, product: str) -> Sequence[Upstream]:
        """Those that answer for a product, the first to be asked first."""
        ...

    async def models(self) -> Mapping[str, int]:
        """Every product that upstreams answer for, and since when, in seconds since 1970."""
        ...

    async def ready(self, product: str) -> bool:
        """Whether one of its upstreams may be asked now."""
        ...

    async def ask(
        self,
        product: str,
        path: str,
        body: Mapping[str, Any],
        *,
        streams: bool,
        large: bool,
        work: Work | None = None,
    ) -> Reply:
        """The first answer that one begins; raises ServiceError, and RequestError as it says."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Administration(Protocol):
    """The verbs that operators have over HTTP; all may wait for disk and database."""

    @property
    def capture(self) -> Capturing:
        """Customers, keys, plans, usage, operators."""
        ...

    @property
    def billing(self) -> Billing:
        """Subscriptions, invoices, the ledger, economics."""
        ...

    @property
    def publishing(self) -> Listed:
        """What is sold."""
        ...


_TRACES_SECONDS = 2.0


@dataclass(frozen=True)
class Sample:
    """A picture that the page offers to click."""

    name: str
    data: bytes
    media_type: str = "image/jpeg"
    drawn: bool = False
    """A drawing, and the page calls it one."""


@dataclass(frozen=True)
class Service:
    """Everything behind the routes.

    ``gate`` is called on the event loop, so it answers at once; ``flush`` is called last when the
    server ends. Without ``replays`` a repeated Idempotency-Key is a 409, and without
    ``explanations`` or ``feedback`` none is given or taken. ``limiter`` is called as ``gate`` is;
    without it no call is counted against its plan's rate. ``reserve`` holds what limited calls will
    use; without it nothing is held. Without ``payments`` no provider's messages are taken.
    ``tracer`` makes a span of each request. ``public_keys`` are told to anyone, by role, and so is
    ``key_list``, the list of them that the root signed; both are called in threads. ``admin`` is
    what the operator's port works on; without it there are no admin routes. ``gateway`` asks
    others' servers; without it no language model is sold. ``refusals`` are counted for the audit
    log, where it is given. ``audits`` tells, by ``name@version`` of what is sold, when the next is
    due, None where none ever was; it is called in threads.
    """

    settings: Settings
    engine: Engine
    gate: Gate
    meter: Meter
    accounts: Accounts
    catalogue: Catalogue
    samples: Sequence[Sample] = ()
    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    flush: Callable[[], None] | None = None
    replays: Replays | None = None
    explanations: Explanations | None = None
    feedback: Feedback | None = None
    payments: Payments | None = None
    limiter: Limiter | None = None
    reserve: Reserve | None = None
    tracer: Tracer | None = None
    public_keys: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    key_list: Callable[[], bytes | None] = bytes  # nothing
    admin: Administration | None = None
    gateway: Gateway | None = None
    refusals: Refusals | None = None
    audits: Callable[[], Mapping[str, str | None]] | None = None

    @cached_property
    def intake(self) -> Intake:
        """What is in hand."""
        return Intake(self.settings.max_body_bytes)

    @cached_property
    def recorder(self) -> Recorder:
        """Awaits the meter."""
        return Recorder(self.meter)

    def finish(self) -> None:
        """Send and write what is left, when the server ends; waits for it."""
        if self.flush is not None:
            self.flush()
        if self.refusals is not None:
            self.refusals.close()
        if self.tracer is not None:
            # A collector that does not answer must not hold up the end.
            ending = Thread(target=self.tracer.close, name="traces", daemon=True)
            ending.start()
            ending.join(_TRACES_SECONDS)

    def _shadowed(self, product: str, version: str, compared: str) -> None:
        self.metrics.shadow(product, version, compared)
        if self.refusals is not None and compared != "left out":
            self.refusals.count(None, product, "shadow")

    def __post_init__(self) -> None:
        """Have the engine tell its batches and queues to the metrics."""
        self.engine.observe(self.metrics.batch)
        self.engine.compare(self._shadowed)
        self.metrics.watch(self.engine.queues)
