"""An invoice's evidence from a workspace: events from the books, and the files that they name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from mintage.capture.books.evidence import InvoiceEvents, json_line
from mintage.capture.books.invoice import Invoice
from mintage.capture.books.invoices import Invoices
from mintage.capture.chain.archive import archived
from mintage.capture.chain.evidence import (
    BUNDLE_FILES,
    DATASET_FILES,
    ENTRIES,
    EVENTS,
    HEADS,
    INVOICE,
    KEYS,
    PROOFS,
    RECEIPTS,
    UPSTREAMS,
    Entry,
    Event,
    Proof,
)
from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError
from mintage.core.files import read_whole
from mintage.store import inventory
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.keys import KeyRing, Role
from mintage.trust.renewing import Renewing

_ROLES: Sequence[Role] = ("receipt", "log", "bundle", "data")


class WorkspaceEvidence:
    """What a workspace holds of one issued invoice; implements ``Evidence``."""

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        signed: bytes,
        invoice: Invoice,
        events: InvoiceEvents,
        *,
        is_ours: bool = False,
    ) -> None:
        """``signed`` is the file in which the invoice was signed.

        ``is_ours``: it is checked here, and given to nobody.
        """
        self.is_ours = is_ours
        self._workspace = workspace
        self._keys = keys
        self.invoice = signed
        self._found = invoice
        self._events = events

    @property
    def has_events(self) -> bool:
        """Whether any line is of usage."""
        return any("until" in line for line in self._found.document["lines"])

    @property
    def heads(self) -> Mapping[int, str]:
        """The signed head of each log, by its number."""
        return self._events.heads

    @cached_property
    def _answered(self) -> set[str]:
        """The digests of all that answered."""
        return self._events.answered_by() if self.has_events else set()

    @cached_property
    def _models(self) -> Mapping[str, Path]:
        """The folders of the bundles among them that are here."""
        with self._workspace.database.read() as connection:
            here = inventory.models_by_digest(connection)
        folder = self._workspace.model_folder
        return {each: folder(*here[each]) for each in sorted(self._answered & here.keys())}

    @cached_property
    def upstreams(self) -> Mapping[str, str]:
        """The models of others that answered, by the digest that events name them with."""
        with self._workspace.database.read() as connection:
            declared = inventory.upstreams_by_digest(connection)
        return {each: declared[each] for each in sorted(self._answered & declared.keys())}

    def events(self) -> Iterator[Event]:
        """Each event that a line is of."""
        return self._events.events()

    def proofs(self) -> Iterator[Proof]:
        """The place of each event."""
        return self._events.proofs()

    def entries(self) -> Iterator[Entry]:
        """What set its plans, what erased its customer, and what began the newest log."""
        return self._events.entries()

    def receipts(self) -> Iterator[Mapping[str, Any] | None]:
        """The receipt of each event; None of one that was erased."""
        return self._events.receipts(signed=not self.is_ours)

    def plan(self, reference: str) -> bytes | None:
        """The file in which ``gold@2`` was signed."""
        renewing = Renewing(self._workspace.database, self._keys, self._workspace.now)
        try:
            return renewing.document(f"plan/{reference}").data
        except DataError:
            return None

    def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """``BUNDLE_FILES`` of the bundle of this digest."""
        folder = self._models.get(digest)
        return None if folder is None else _files(folder, BUNDLE_FILES)

    def dataset(self, version: str) -> Mapping[str, bytes] | None:
        """``DATASET_FILES`` of the dataset of this version."""
        with self._workspace.database.read() as connection:
            rows = inventory.all_datasets(connection)
        names = [row["name"] for row in rows if row["version"] == version]
        if not names:
            return None
        return _files(self._workspace.dataset_folder(names[0], version), DATASET_FILES)

    def unused(self) -> Sequence[str]:
        """Nothing: what was not asked for is not held."""
        return ()

    def archived(self) -> Iterator[bytes]:
        """All of it as one zip, in portions."""
        lines: dict[str, Iterator[bytes]] = {ENTRIES: (each.to_line() for each in self.entries())}
        if self.has_events:
            lines |= {
                EVENTS: (each.to_line() for each in self.events()),
                PROOFS: (each.to_line() for each in self.proofs()),
                RECEIPTS: map(json_line, self.receipts()),
            }
        return archived(self._files(), lines)

    def _files(self) -> Iterator[tuple[str, bytes]]:
        yield INVOICE, self.invoice
        yield KEYS, canonical_json(self._public_keys()) + b"\n"
        for reference in self._events.plans():
            plan = self.plan(reference)
            if plan is not None:
                yield f"plans/{reference}.json", plan
        for number, note in self.heads.items():
            yield f"{HEADS}/{number}.txt", note.encode()
        if not self.has_events:
            return
        yield UPSTREAMS, canonical_json(self.upstreams) + b"\n"
        datasets: set[str] = set()
        for digest in self._models:
            files = self.bundle(digest) or {}
            for name, data in files.items():
                yield f"bundles/{digest}/{name}", data
            datasets |= _dataset_of(files)
        for version in sorted(datasets):
            for name, data in (self.dataset(version) or {}).items():
                yield f"datasets/{version}/{name}", data

    def _public_keys(self) -> dict[str, list[dict[str, str]]]:
        """A hint: whoever verifies has the keys by another way than this file."""
        return {
            role: [
                {"key_id": key.key_id, "pem": key.pem.decode()}
                for key in self._keys.public_keys(role)
                if key.revocation is None
            ]
            for role in _ROLES
        }


def evidence_of(
    workspace: Workspace,
    keys: KeyRing,
    log: AuditLog,
    invoices: Invoices,
    found: Invoice,
    *,
    with_costs: bool = False,
    is_ours: bool = False,
) -> WorkspaceEvidence:
    """That of an issued invoice; see ``Billing.evidence``.

    Raises:
        RequestError: it is a draft (409).
        SignatureMismatch: its key was revoked as of a moment before the log had it.
    """
    events = InvoiceEvents(workspace.database, keys, log, found, with_costs=with_costs)
    signed = invoices.signed(found).data
    return WorkspaceEvidence(workspace, keys, signed, found, events, is_ours=is_ours)


def _files(folder: Path, names: Sequence[str]) -> Mapping[str, bytes] | None:
    """Those of the files that are there; what is damaged is found by whoever verifies."""
    found = {}
    for name in names:
        with suppress(OSError):
            found[name] = read_whole(folder / name)
    return found or None


def _dataset_of(files: Mapping[str, bytes]) -> set[str]:
    """The version of the dataset that a bundle names."""
    try:
        return {str(json.loads(files["bundle.json"])["dataset"]["version"])}
    except (KeyError, ValueError, TypeError):
        return set()
