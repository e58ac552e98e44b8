"""Feedback: what customers said of answers, with the picture, waiting to become examples.

Uploads are never kept; here one is, because its owner sends it again and says so. It is the very
picture of a receipt, and the answer is the one that the receipt's digest proves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintage.capture import repository
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import DataError, Overloaded, QuotaReached, RequestError
from mintage.core.messages import _
from mintage.core.ports import BlobStore, Modality
from mintage.core.types import Said
from mintage.store.engine import Database
from mintage.trust import audit

MOST_WAITING = 1000
"""Of one customer, until they are collected."""
MOST_SHARE = 4
"""One customer's files take at most a quarter of the room."""

Terms = Callable[[str], tuple[Modality, Sequence[str]]]
"""What a product's uploads are, and which labels there are."""


@dataclass(frozen=True)
class Feedback:
    """What is kept; ``sha256`` names the picture's file, which holds no metadata."""

    receipt: str
    customer: str
    product: str
    right: bool
    label: str | None
    output: Mapping[str, Any]
    sha256: str
    ending: str
    size_bytes: int
    given_at: str
    collected_into: str | None = None

    @property
    def name(self) -> str:
        """What the picture is called where it becomes a file of a folder, or an example."""
        return f"{self.receipt}{self.ending}"

    def to_json(self) -> dict[str, Any]:
        """The feedback as lists show it."""
        return vars(self) | {"output": dict(self.output)}

    def to_row(self) -> repository.Values:
        """The feedback as its row holds it."""
        row = self.to_json() | {"output": canonical_json(dict(self.output)).decode()}
        return row | {"is_right": row.pop("right")}

    @classmethod
    def from_row(cls, row: repository.Values) -> Feedback:
        """Read a row."""
        values = dict(row)
        values |= {"right": values.pop("is_right"), "output": json.loads(values["output"])}
        return cls(**values)


class Feedbacks:
    """The feedback of a workspace: a row, a leaf, and the picture's file for each."""

    def __init__(
        self,
        database: Database,
        files_of: Callable[[str], BlobStore],
        clock: Clock,
        terms: Terms,
        *,
        most_bytes: int,
    ) -> None:
        """``files_of`` are a customer's files; ``most_bytes`` is the room for all that wait."""
        self._database = database
        self._files_of = files_of
        self._clock = clock
        self._terms = terms
        self._most_bytes = most_bytes

    def keep(
        self,
        customer: str,
        receipt: str,
        said: Said,
        data: bytes,
        among: Collection[str] | None = None,
    ) -> Feedback:
        """Keep the picture and what is said of its answer, in place of what was said of it before.

        ``among`` are the products whose receipts count as this customer's.

        Raises:
            RequestError: no such receipt of this customer (404), a label that is none or does not
                go with what is said (422), or it is part of a dataset already (409).
            DataError: the picture or the answer is not the receipt's.
            QuotaReached: as many of this customer's wait to be collected as may.
            Overloaded: there is no room for any customer's.
        """
        event = self._event(customer, receipt, among)
        _check_proof(event, said, data)
        kind, labels = self._terms(event["product"])
        label = _label(said, labels)
        ending, file = kind.without_metadata(data)
        kept = Feedback(
            receipt=receipt,
            customer=customer,
            product=event["product"],
            right=said.right,
            label=label,
            output=said.output,
            sha256=sha256_hex(file),
            ending=ending,
            size_bytes=len(file),
            given_at=timestamp(self._clock.now()),
        )
        with self._database.read() as connection:
            self._check(connection, kept)
        files = self._files_of(customer)
        files.put(kept.sha256, file, durable=True)

        def work(connection: repository.Connection) -> Feedback:
            self._check(connection, kept)
            if not files.has(kept.sha256):  # withdrawn by somebody else meanwhile
                files.put(kept.sha256, file, durable=True)
            repository.save_feedback(connection, kept.to_row())
            audit.append(connection, "feedback.kept", _leaf(kept) | {"consent": True})
            return kept

        try:
            return self._database.write(work)
        except (RequestError, QuotaReached, Overloaded):  # somebody was quicker
            self._forget(customer, kept.sha256)
            raise

    def withdraw(
        self, receipt: str, customer: str | None = None, among: Collection[str] | None = None
    ) -> None:
        """Forget what was said of an answer, and its picture; ``customer`` None is the operator.

        ``among`` is as for ``keep``.

        Raises:
            RequestError: there is none of this customer (404), or it is part of a dataset (409).
        """

        def work(connection: repository.Connection) -> Feedback:
            row = repository.find_feedback(connection, receipt)
            if row is None or not repository.is_shown(row, customer, among):
                raise RequestError(
                    _("There is no feedback for the receipt {receipt!r}.", receipt=receipt),
                    remedy=_("Name the receipt that it was given for."),
                    http_status=404,
                )
            _check_waiting(row)
            found = Feedback.from_row(row)
            repository.remove_feedback(connection, receipt)
            audit.append(connection, "feedback.withdrawn", _leaf(found))
            return found

        gone = self._database.write(work)
        self._forget(gone.customer, gone.sha256)

    def list(self, product: str | None = None, *, waiting: bool = True) -> Sequence[Feedback]:
        """What was said, the oldest first; ``waiting`` leaves out what is part of a dataset."""
        with self._database.read() as connection:
            rows = repository.all_feedback(connection, product, waiting=waiting)
        return [Feedback.from_row(row) for row in rows]

    def picture(self, found: Feedback) -> bytes:
        """The picture's file.

        Raises:
            DataError: it is not here.
            SignatureMismatch: it was changed.
        """
        return self._files_of(found.customer).get(found.sha256)

    def collected(self, found: Sequence[Feedback], dataset: str) -> None:
        """These are part of a dataset now, which has their pictures; the files here go."""
        if not found:
            return
        receipts = [each.receipt for each in found]

        def work(connection: repository.Connection) -> None:
            repository.mark_collected(connection, receipts, dataset)
            audit.append(
                connection, "feedback.collected", {"dataset": dataset, "receipts": receipts}
            )

        self._database.write(work)
        for customer, sha256 in {(each.customer, each.sha256) for each in found}:
            self._forget(customer, sha256)

    def _event(
        self, customer: str, receipt: str, among: Collection[str] | None
    ) -> repository.Values:
        with self._database.read() as connection:
            event = repository.event_by_receipt(connection, receipt)
        if event is None or not repository.is_shown(event, customer, among):
            raise RequestError(
                _("There is no receipt {receipt!r}.", receipt=receipt),
                remedy=_("Name one that your usage lists."),
                http_status=404,
            )
        return event

    def _check(self, connection: repository.Connection, kept: Feedback) -> None:
        """Whether it may be kept: it waits still, and there is room."""
        _check_waiting(repository.find_feedback(connection, kept.receipt))
        waiting = repository.waiting_feedback(connection, but=kept.receipt)
        own = [row for row in waiting if row["customer"] == kept.customer]
        count = sum(row["count"] for row in own)
        own_bytes = sum(row["size_bytes"] for row in own) + kept.size_bytes
        if count >= MOST_WAITING or own_bytes > self._most_bytes // MOST_SHARE:
            raise QuotaReached(
                _("{count:,} of your pictures wait to be used, as many as may.", count=count),
                remedy=_("Thank you; send more when whoever runs the service has used them."),
            )
        if sum(row["size_bytes"] for row in waiting) + kept.size_bytes > self._most_bytes:
            raise Overloaded(
                _("There is no room for more feedback now; nothing was kept."),
                remedy=_("Send it again another day."),
                retry_after_seconds=86_400,
            )

    def _forget(self, customer: str, sha256: str) -> None:
        """Remove a file unless something still waits with it, decided where all writing is."""
        files = self._files_of(customer)

        def work(connection: repository.Connection) -> None:
            others = repository.waiting_customers(connection, sha256)
            if all(self._files_of(each).path(sha256) != files.path(sha256) for each in others):
                files.remove(sha256)

        self._database.write(work)


def _check_proof(event: repository.Values, said: Said, data: bytes) -> None:
    """Whether picture and answer are those that the receipt has the digests of."""
    if sha256_hex(data) != event["input_sha256"]:
        raise DataError(
            _("This is not the picture that the receipt is for."),
            remedy=_("Send the very bytes that were answered."),
        )
    if sha256_hex(canonical_json(dict(said.output))) != event["output_sha256"]:
        raise DataError(
            _("This is not the answer that the receipt is for."),
            remedy=_("Send the `output` of the answer as it came."),
        )


def _label(said: Said, labels: Sequence[str]) -> str | None:
    """The true label; None where it is not known."""
    answered = said.output.get("label")
    fault = None
    if said.right and answered is None:
        fault = _("An answer without a label cannot have been right.")
    elif said.right and said.label not in (None, answered):
        fault = _("The answer was {answered!r}; it cannot be right.", answered=answered)
    elif not said.right and said.label is not None and said.label == answered:
        fault = _("The answer was {answered!r}; it cannot be wrong.", answered=answered)
    elif said.label is not None and said.label not in labels:
        fault = _("There is no label {label!r}.", label=said.label[:100])
    if fault is not None:
        raise RequestError(
            fault,
            remedy=_("Give one of {labels}, or null for none of them.", labels=", ".join(labels)),
            http_status=422,
        )
    return answered if said.right else said.label


def _check_waiting(row: repository.Values | None) -> None:
    dataset = row and row["collected_into"]
    if dataset:
        raise RequestError(
            _("This feedback is part of the dataset {dataset} by now.", dataset=dataset),
            remedy=_("Ask whoever runs the service to take it out again."),
            http_status=409,
        )


def _leaf(kept: Feedback) -> dict[str, Any]:
    """What the audit log says of it: not what the customer was answered."""
    return {
        "receipt": kept.receipt,
        "customer": kept.customer,
        "product": kept.product,
        "right": kept.right,
        "label": kept.label,
        "sha256": kept.sha256,
        "size_bytes": kept.size_bytes,
    }
