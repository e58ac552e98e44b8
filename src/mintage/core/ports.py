"""The protocols by which rooms meet without importing one another; ``app`` joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from mintage.core.types import (
    Allowance,
    Answer,
    Bill,
    Ingested,
    InputSpec,
    Payment,
    Permit,
    ProviderInfo,
    Rate,
    Receipt,
    Requested,
    SourceListing,
    Usage,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mintage.core.money import Money


@runtime_checkable
class Source(Protocol):
    """Where labelled examples come from."""

    name: str

    def matches(self, location: Path) -> bool:
        """Whether this source reads what lies there."""
        ...

    def list(
        self,
        location: Path,
        *,
        label: str,
        endings: frozenset[str],
        unsupported: frozenset[str],
        labelled: bool = True,
    ) -> SourceListing:
        """List the examples; ``endings`` are lower-case and say what the modality reads.

        Not ``labelled``: what has no label is wanted too, and has the label ''.
        """
        ...


@runtime_checkable
class Modality(Protocol):
    """What goes in. The same ``decode`` runs in training and in serving."""

    name: str
    endings: frozenset[str]
    unsupported: frozenset[str]
    unit: str

    def ingest(self, data: bytes, *, fingerprint: bool = True) -> Ingested:
        """Check, strip metadata, fingerprint.

        Raises:
            DataError: the bytes are not something this modality reads; the reason is the message.
                Without a fingerprint, some damage is found only when they are decoded.
        """
        ...

    def without_metadata(self, data: bytes) -> tuple[str, bytes]:
        """A name's ending, and a file that ``ingest`` reads alike: what it needs and no more.

        Raises:
            DataError: the bytes are not something this modality reads; the reason is the message.
        """
        ...

    def decode(
        self, data: bytes, spec: InputSpec, *, orientation: int | None = None
    ) -> NDArray[np.uint8]:
        """The network's input for one example: uint8[side, side, 3] for pictures.

        ``orientation`` comes from the manifest for stored examples; None reads it from the data.
        """
        ...

    def fingerprint(self, data: bytes, *, orientation: int | None = None) -> bytes:
        """What near duplicates share, bit-packed; ``orientation`` as for ``decode``."""
        ...

    def strangers(self, spec: InputSpec) -> Sequence[NDArray[np.uint8]]:
        """Made-up inputs of several kinds, none of them training data: what novelty learns from.

        One array a kind, each uint8[N, side, side, 3] for pictures; may be empty.
        """
        ...

    def near_duplicates(self, fingerprints: Sequence[bytes]) -> list[tuple[int, int]]:
        """Pairs of positions whose examples are nearly the same, in less than quadratic time."""
        ...


@runtime_checkable
class Task(Protocol):
    """What comes out."""

    name: str

    def probabilities(self, logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
        """float[N, classes] from the graph's logits [N, 1] or [N, k]."""
        ...

    def fit_temperature(self, logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
        """The temperature that makes validation data's probabilities most likely."""
        ...

    def output(self, probabilities: NDArray[np.float64], labels: Sequence[str]) -> dict[str, Any]:
        """One example's answer, as JSON over HTTP and on the command line."""
        ...

    def evaluate(
        self,
        probabilities: NDArray[np.float64],
        targets: NDArray[np.int64],
        labels: Sequence[str],
        groups: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """The metrics of an evaluation, as JSON."""
        ...


class Provider(Protocol):
    """What answers for a product."""

    info: ProviderInfo

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Turn an upload into the graph's input; raises DataError for what it cannot read."""
        ...

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        """Answer a batch."""
        ...


Explanation_co = TypeVar("Explanation_co", covariant=True)


class Explaining(Protocol[Explanation_co]):
    """What answers for a product and can say what its answer rests on."""

    def explain(self, data: bytes) -> Explanation_co:
        """Answer one upload and explain the answer; raises DataError for what it cannot read."""
        ...


class Gate(Protocol):
    """May this key call this product now?"""

    def authenticate(self, key: str | None, address: str | None = None) -> None:
        """Whether the key is one at all, before it is known what is asked for.

        Raises:
            Unauthenticated: no key, an unknown, a revoked or an expired one.
            NotAllowed: it may not call, or not from there.
        """
        ...

    def admit(self, key: str | None, product: str, address: str | None = None) -> Permit:
        """The permit for a call from an address; None is one that nobody knows.

        Raises:
            Unauthenticated: no key, an unknown, a revoked or an expired one.
            NotAllowed: the key may not call, not this product or not from there.
            PaymentDue: an invoice of theirs is overdue.
            RequestError: no such product (404).
        """
        ...


class Limiter(Protocol):
    """How many calls a customer may make in a while."""

    def take(self, permit: Permit, rate: Rate) -> Allowance:
        """Count a call that is about to be answered, if one is left.

        Raises:
            ServiceError: it cannot be counted now, so it may not be answered.
        """
        ...

    def look(self, permit: Permit, rate: Rate) -> Allowance:
        """Whether ``take`` would count one now."""
        ...

    def take_tokens(self, permit: Permit, rate: Rate, tokens: int) -> Allowance:
        """Count tokens of a call: it is refused where none are left, not where these are more.

        Below zero they are given back, and nothing is refused.

        Raises:
            ServiceError: they cannot be counted now.
        """
        ...

    def give_back(self, permit: Permit, rate: Rate) -> Allowance | None:
        """A call that ``take`` counted has ended, and what is recorded of it is recorded.

        What is left now, where only answered calls use a plan up; None where every call does.
        """
        ...


class Reserve(Protocol):
    """What calls will use, reserved before they are answered; the Meter settles it."""

    def reserve(
        self, permit: Permit, quantities: Mapping[str, int], seconds: float | None = None
    ) -> Future[str]:
        """The hold's id, once what a call will use at most is reserved.

        ``seconds`` is how long it is held where that may be longer than for most calls. The
        future fails with QuotaReached or PaymentDue where it may not be answered.

        Raises:
            ServiceError: it cannot be reserved now, so it may not be answered.
        """
        ...

    def release(self, hold: str) -> None:
        """Give back what was reserved for a call of which nothing is recorded."""
        ...


class Meter(Protocol):
    """Record usage durably, exactly once."""

    def record(self, usage: Usage) -> Future[Receipt]:
        """Resolved when the event is on disk; the answer must not leave before."""
        ...

    def record_all(self, usages: Sequence[Usage]) -> Future[list[Receipt]]:
        """``record`` of several that have no id of the client's: all are recorded, or none."""
        ...


class BlobStore(Protocol):
    """Bytes by name: a folder today, an object store later."""

    def path(self, sha256: str) -> Path:
        """Where the bytes lie, sealed or not."""
        ...

    def put(self, sha256: str, data: bytes, *, durable: bool = False) -> None:
        """Keep the bytes; the same name twice is the same bytes. ``durable``: flushed at once."""
        ...

    def get(self, sha256: str) -> bytes:
        """The bytes; raises SignatureMismatch if they are not what the name says."""
        ...

    def has(self, sha256: str) -> bool:
        """Whether the bytes are here."""
        ...

    def remove(self, sha256: str) -> None:
        """Forget the bytes; nothing happens if they are not here."""
        ...


@runtime_checkable
class PaymentProvider(Protocol):
    """Who collects money. It keeps nothing here: ``capture`` writes down what it says."""

    name: str
    acknowledgement: str
    """What its messages are answered with when they are taken; "" is an empty answer."""

    def asks(self, owed: Money) -> Money:
        """What it asks for where so much is owed: not every amount of a currency can be paid.

        Raises:
            ConfigError: nothing in this currency.
        """
        ...

    def push(self, bill: Bill) -> Requested:
        """Have it collect a bill; a bill that it has already is that one, and no second is made.

        Raises:
            ConfigError: it is not set up, or does not take the key.
            RequestError: it does not take the bill.
            DependencyDown: it does not answer, or its library is not installed.
        """
        ...

    def look(self, reference: str) -> Payment | None:
        """What was paid for a bill that it calls so, where all of that was; raises as ``push``."""
        ...

    def notified(self, body: bytes, headers: Mapping[str, str]) -> Payment | None:
        """The payment that its message tells of; None where that is about something else.

        ``headers`` have names in lower case.

        Raises:
            RequestError: it is not the provider's (400), or it sends none (404).
            NotReady: what messages are verified with is not set.
        """
        ...


class WrappingKey(Protocol):
    """A key-encryption key: wraps the data keys of a sealed workspace, and lies outside of it."""

    reference: str
    """Where it is, as settings name it: ``file:PATH``, ``env:NAME`` or ``SERVICE:ADDRESS``."""

    def current(self) -> str:
        """The id of the key that wraps now; another one after it was rotated."""
        ...

    def wrap(self, secret: bytes, context: bytes) -> tuple[str, bytes]:
        """The id of the key that wrapped it, and 32 bytes wrapped.

        Raises:
            DependencyDown: it does not answer.
        """
        ...

    def unwrap(self, wrapped_by: str, wrapped: bytes, context: bytes) -> bytes:
        """The 32 bytes, by the key with that id, if they were wrapped with this context.

        Raises:
            SealBroken: they were not, or there is no such key.
            DependencyDown: it does not answer.
        """
        ...


@runtime_checkable
class KeyService(Protocol):
    """Who keeps key-encryption keys that never leave it (a KMS)."""

    name: str

    def open(self, address: str) -> WrappingKey:
        """The key at an address of its own kind.

        Raises:
            ConfigError: there is none.
        """
        ...
