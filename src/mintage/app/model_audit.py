"""A model's version looked over: signature, graph, dataset, canary inputs, robustness, privacy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from mintage.app.audits_due import Due
from mintage.app.evaluating import Evaluating
from mintage.bundle.graph import Graph
from mintage.bundle.loader import LoadedBundle
from mintage.core import registry
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.clock import timestamp
from mintage.core.errors import (
    DataError,
    MintageError,
    RequestError,
    SealBroken,
    SignatureMismatch,
    TrustError,
)
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.create import repository
from mintage.create.dataset import Dataset
from mintage.create.evaluate import Elsewhere
from mintage.create.integrity import check_dataset
from mintage.create.model_audit import checks
from mintage.create.model_audit.checks import Check, Extent, Material, failed, skipped
from mintage.create.model_audit.words import card_with_leaks
from mintage.create.prepare import decoded
from mintage.store import inventory
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.keys import KeyRing
from mintage.trust.renewing import Renewing
from mintage.trust.statements import keep_signed, open_statement

_MEASURED = ("robustness", "membership")
_PREFIX = "aud"


class ModelAudits:
    """Audits models, signs what was found, and logs it with the day on which the next is due."""

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        log: AuditLog,
        create: Callable[[], Evaluating],
        days: int,
    ) -> None:
        """``create`` gives what asks models: it loads numerics, and to list what is due takes none.

        ``days`` after an audit the next is due.
        """
        self._workspace, self._keys, self._log = workspace, keys, log
        self._create, self._days = create, days

    def run(
        self,
        reference: str,
        extent: Extent | None = None,
        progress: Progress | None = None,
        *,
        others: Path | None = None,
    ) -> dict[str, Any]:
        """Audit a version; the document as it was signed.

        ``others`` is a folder, zip or table of pictures of its classes that never trained it.

        Raises:
            RequestError: there is no such model (404).
            ConfigError: it is a language model.
            DataError: ``others`` cannot be read.
            TrustError: a key of ours can be read by others, so that nothing is signed with it.
        """
        extent, shown, create = extent or Extent(), progress or Silent(), self._create()
        row = create.bundles.row(reference)
        subject, card = f"{row['name']}@{row['version']}", ""
        try:
            bundle = create.bundles.find(subject)
        except (SignatureMismatch, SealBroken, DataError) as error:
            asked = [failed("signature", error)]
        else:
            signed = _("as it was signed, by the key {key}", key=f"{bundle.key_id[:12]}…")
            asked = [Check("signature", "ok", signed)]
            strangers = (
                None if others is None else Elsewhere.read(bundle.manifest, others, "label", shown)
            )
            auditor = _Auditor(self._workspace, self._keys, self._log, create, shown, strangers)
            first = partial(self._first, bundle.digest)
            asked += auditor.checks(bundle, row, extent, first)
            card = bundle.files["card.md"].decode()
        return self._kept(subject, row["bundle_digest"], asked, extent, card)

    def find(self, reference: str) -> Mapping[str, Any]:
        """The document of an audit by its id, or of a model's newest one, as it verifies.

        Raises:
            RequestError: there is no such model, or it never was audited (404).
            DataError: there is no audit of this id.
            SignatureMismatch: it is not as it was signed.
        """
        audit = reference
        if not reference.startswith(f"{_PREFIX}_"):
            row = self._create().bundles.row(reference)
            with self._workspace.database.read() as connection:
                found = repository.audits_of(connection, row["bundle_digest"])
            if not found:
                raise RequestError(
                    _("{model} never was audited.", model=f"{row['name']}@{row['version']}"),
                    remedy=_("Look it over: mintage audit run {model}", model=reference),
                    http_status=404,
                )
            audit = found[-1]["id"]
        return open_statement(self.signed(audit), self._keys, kind="audit").document

    def signed(self, audit: str) -> bytes:
        """The file in which an audit is signed; see ``Renewing.document``.

        Raises:
            DataError: there is none of this id.
            SignatureMismatch: its key was revoked, and the log had it only afterwards.
        """
        renewing = Renewing(self._workspace.database, self._keys, self._workspace.now)
        return renewing.document(f"audit/{audit}").data

    def due(self) -> list[Due]:
        """Every version that is sold, and how its audits stand."""
        with self._workspace.database.read() as connection:
            return [Due.of(row) for row in inventory.audits_due(connection)]

    def _first(self, digest: str) -> Mapping[str, Any] | None:
        """The first audit of a bundle in which the canary inputs were answered."""
        with self._workspace.database.read() as connection:
            audits = [str(row["id"]) for row in repository.audits_of(connection, digest)]
        for each in audits:
            document = open_statement(self.signed(each), self._keys, kind="audit").document
            if document["canaries"] is not None:
                return document
        return None

    def _kept(
        self, subject: str, digest: str, asked: Sequence[Check], extent: Extent, card: str
    ) -> dict[str, Any]:
        clock, audit, signer = self._workspace.clock, new_id(_PREFIX), self._keys.signer("bundle")
        now = clock.now()
        about = {
            "id": audit,
            "model": subject,
            "bundle_digest": digest,
            "passed": not any(check.status == "failed" for check in asked),
            "quick": not extent.whole_dataset,
            "audited_at": timestamp(now),
            "due_at": timestamp(now + timedelta(days=self._days)),
        }
        figures = {check.name: check.figures for check in asked}
        document: dict[str, Any] = {
            "format": 1,
            **about,
            "checks": [check.to_json() for check in asked],
            **{name: figures.get(name) for name in ("graph", "canaries", *_MEASURED)},
        }
        document["card"] = card_with_leaks(card, document)
        logged = about | {"sha256": sha256_hex(canonical_json(document))}
        name, __, version = subject.partition("@")

        def work(connection: repository.Connection) -> None:
            repository.add_audit(connection, logged, (name, int(version)))
            keep_signed(connection, "audit", document, signer)

        self._workspace.database.write(work)
        return document


class _Auditor:
    """What is asked of one bundle that verified."""

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        log: AuditLog,
        create: Evaluating,
        progress: Progress,
        strangers: Elsewhere | None,
    ) -> None:
        self._workspace, self._keys, self._log = workspace, keys, log
        self._create, self._progress, self._strangers = create, progress, strangers

    def checks(
        self,
        bundle: LoadedBundle,
        row: Mapping[str, Any],
        extent: Extent,
        first: Callable[[], Mapping[str, Any] | None],
    ) -> Iterator[Check]:
        """Each as it is answered; ``first`` gives the document of the first audit."""
        opened = checks.graph_check(bundle.model)
        yield opened
        dataset = self._dataset(bundle)
        yield self._dataset_check(bundle, row, dataset, extent)
        if opened.status == "failed":
            reason = _("the graph is not opened")
            yield from (skipped(name, reason) for name in ("canaries", *_MEASURED))
            return
        try:
            graph = Graph(bundle.model, threads=self._create.threads)
        except DataError as error:
            yield failed("canaries", error)
            reason = _("the graph is not opened")
            yield from (skipped(name, reason) for name in _MEASURED)
            return
        try:
            yield checks.canary_check(graph, bundle.manifest, first())
        except TrustError as error:  # the document of the first audit was changed
            yield failed("canaries", error)
        yield from self._measured(graph, bundle, dataset, extent)

    def _dataset(self, bundle: LoadedBundle) -> Dataset | MintageError:
        named = bundle.manifest.dataset
        try:
            return self._create.dataset(f"{named['name']}#{named['version']}")
        except MintageError as error:
            return error

    def _dataset_check(
        self,
        bundle: LoadedBundle,
        row: Mapping[str, Any],
        dataset: Dataset | MintageError,
        extent: Extent,
    ) -> Check:
        """From the model's leaf in the log to its dataset's, and to every byte of that."""
        try:
            self._check_leaf(row["log_position"], {"bundle_digest": bundle.digest})
            if isinstance(dataset, RequestError):
                reason = _("it is not in this workspace; that the model was signed is in the log")
                return skipped("dataset", reason)
            if isinstance(dataset, MintageError):
                return failed("dataset", dataset)
            self._check_leaf(self._position(dataset), {"version": dataset.version})
            if extent.whole_dataset:
                check_dataset(
                    dataset.folder,
                    self._workspace.home / "blobs",
                    self._keys.public_keys("data"),
                    self._progress,
                    subject=dataset.reference,
                )
        except (TrustError, DataError) as error:
            return failed("dataset", error)
        values = {
            "reference": f"{dataset.name}#{dataset.version[:12]}…",
            "examples": len(dataset.examples),
        }
        if extent.whole_dataset:
            found = _("{reference}: {examples:,} examples, each as it was signed", **values)
        else:
            found = _(
                "{reference}: its list of {examples:,} examples is as it was signed", **values
            )
        return Check("dataset", "ok", found)

    def _position(self, dataset: Dataset) -> int:
        with self._workspace.database.read() as connection:
            rows = inventory.all_datasets(connection)
        same = (row for row in rows if row["version"] == dataset.version)
        return int(next(row["log_position"] for row in same if row["name"] == dataset.name))

    def _check_leaf(self, position: int, expected: Mapping[str, str]) -> None:
        record = json.loads(self._log.inclusion(position).record)
        if any(record.get(name) != value for name, value in expected.items()):
            raise TrustError(
                _("The log says something else of it, at position {position}.", position=position)
            )

    def _measured(
        self,
        graph: Graph,
        bundle: LoadedBundle,
        dataset: Dataset | MintageError,
        extent: Extent,
    ) -> Iterator[Check]:
        """What takes the model's own examples."""
        if isinstance(dataset, MintageError):
            reason = _("it takes the model's dataset, which is not here as it was signed")
            yield from (skipped(name, reason) for name in _MEASURED)
            return
        manifest = bundle.manifest
        kind = registry.modalities().get(manifest.modality)
        try:
            images = decoded(self._workspace, dataset, kind, manifest.input, self._progress)
        except MintageError as error:
            yield from (skipped(name, error.message) for name in _MEASURED)
            return
        material = Material(graph, manifest, dataset, images)
        yield checks.robustness_check(material, extent, self._progress)
        yield checks.membership_check(material, extent, self._progress, self._strangers)
