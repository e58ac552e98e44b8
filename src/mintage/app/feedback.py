"""What customers said of answers, made into examples of the next dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mintage.app.collecting import Collecting
from mintage.capture.customers import Customers
from mintage.capture.feedback import Feedback, Feedbacks
from mintage.core.errors import ConfigError, DataError
from mintage.core.files import readable_failures, write_atomic
from mintage.core.messages import _
from mintage.core.ports import Modality
from mintage.core.progress import Progress
from mintage.core.registry import modalities
from mintage.core.types import Said
from mintage.create.collect import Origin
from mintage.create.grow import Growth
from mintage.sources.decisions import Decision, Header
from mintage.store.workspace import Workspace
from mintage.trust.openings import log_reading

LABELS = "labels.jsonl"
_LONGEST_NAME = 100  # of a labeller


class Card(Protocol):
    """What is known of a product."""

    @property
    def modality(self) -> str:
        """What goes in."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """What it tells apart."""
        ...


@dataclass(frozen=True)
class Collected:
    """What became of it; ``left`` wait on, each with the reason in ``growth.quality``."""

    growth: Growth
    used: tuple[Feedback, ...]
    left: tuple[Feedback, ...]


class CustomerFeedback:
    """Keeps feedback with its picture, and makes examples of it by the verbs that there are."""

    def __init__(
        self,
        workspace: Workspace,
        create: Collecting,
        customers: Customers,
        card: Callable[[str], Card],
        *,
        most_bytes: int,
    ) -> None:
        """``card`` describes a product; it raises RequestError where there is none."""
        self._workspace = workspace
        self._create = create
        self._customers = customers
        self._card = card
        self._kept = Feedbacks(
            workspace.database,
            workspace.feedback_of,
            workspace.clock,
            self._terms,
            most_bytes=most_bytes,
        )

    def _terms(self, product: str) -> tuple[Modality, Sequence[str]]:
        card = self._card(product)
        return modalities().get(card.modality), card.labels

    def keep(
        self,
        customer: str,
        receipt: str,
        said: Said,
        data: bytes,
        among: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """Keep one, as JSON; raises as ``Feedbacks.keep`` does."""
        return self._kept.keep(customer, receipt, said, data, among).to_json()

    def withdraw(
        self, receipt: str, customer: str | None = None, among: Collection[str] | None = None
    ) -> None:
        """Forget one; ``customer`` None is the operator. Raises as ``Feedbacks.withdraw`` does."""
        self._kept.withdraw(receipt, customer, among)

    def list(self, product: str | None = None, *, waiting: bool = True) -> Sequence[Feedback]:
        """What was said, the oldest first; ``waiting`` leaves out what is part of a dataset."""
        return self._kept.list(product, waiting=waiting)

    def export(self, product: str, folder: Path) -> Path:
        """The pictures that wait for a product, and a labels file, in a new folder; that file.

        ``mintage label`` goes on with it, ``mintage collect`` reads it.

        Raises:
            DataError: nothing with a label waits.
            ConfigError: the folder is there already, or cannot be written.
        """
        if folder.exists():
            raise ConfigError(
                _("{folder} is there already.", folder=folder), remedy=_("Name a new folder.")
            )
        with readable_failures(folder):
            folder.mkdir(parents=True)
        found = self._labelled(product)
        log_reading(self._workspace, "feedback", product=product, pictures=len(found))
        return self._write(found, folder)

    def collect(self, product: str, into: str, *, progress: Progress | None = None) -> Collected:
        """Add what waits for a product to a dataset; what became an example waits no longer.

        Raises:
            DataError: nothing with a label waits, or as ``Collecting.grow``.
            RequestError: there is no such dataset (404).
        """
        found = self._labelled(product)
        log_reading(self._workspace, "feedback", product=product, pictures=len(found))
        about = Origin(consent="given with each feedback", origin=f"customers of {product}")
        cache = self._workspace.cache_folder
        with readable_failures(cache):
            cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as place:
            folder = Path(place)
            growth = self._create.grow(
                self._write(found, folder),
                into,
                about=about,
                source_name=_("feedback of {product}", product=product),
                progress=progress,
            )
        used = _used(growth, found)
        self._kept.collected(used, growth.dataset.reference)
        return Collected(growth, tuple(used), tuple(each for each in found if each not in used))

    def _labelled(self, product: str) -> Sequence[Feedback]:
        self._card(product)
        found = [each for each in self._kept.list(product) if each.label is not None]
        if not found:
            raise DataError(
                _("No feedback with a label waits for {product}.", product=product),
                remedy=_("See all that there is with: mintage feedback list --all"),
            )
        return found

    def _write(self, found: Sequence[Feedback], folder: Path) -> Path:
        names = {each.id: each.name for each in self._customers.list()}
        lines = [Header(tuple(sorted({each.label or "" for each in found}))).to_line()]
        for each in found:
            write_atomic(folder / each.name, self._kept.picture(each), durable=False)
            labeller = names.get(each.customer, each.customer)[:_LONGEST_NAME]
            decision = Decision(
                "label", each.name, each.sha256, labeller, each.given_at, label=each.label
            )
            lines.append(decision.to_line())
        labels = folder / LABELS
        write_atomic(labels, b"".join(lines))
        return labels


def _used(growth: Growth, found: Sequence[Feedback]) -> list[Feedback]:
    """Those that are examples now, or whose very picture was one with that label before."""
    named = {example.path for example in growth.dataset.examples}
    named |= {path for each in growth.quality["duplicates"] for path in each["left_out"]}
    return [each for each in found if each.name in named]
