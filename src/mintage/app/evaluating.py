"""Questions to a signed model: how good is it, better than which, and what does it say of this."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mintage.app.bundles import Bundles
from mintage.app.collecting import Collecting
from mintage.app.downloads import Downloads
from mintage.app.explaining import Drawings
from mintage.bundle.format import Manifest
from mintage.bundle.graph import Graph
from mintage.bundle.loader import LoadedBundle
from mintage.bundle.predictor import Decode, Predictor
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import (
    DataError,
    InputError,
    RequestError,
    said_by,
)
from mintage.core.ids import new_id
from mintage.core.machine import available_cores
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.settings import Settings
from mintage.core.types import Split
from mintage.create import against, compare, evaluate, human, repository
from mintage.create.dataset import Dataset
from mintage.store.workspace import Workspace
from mintage.trust import audit
from mintage.trust.keys import KeyRing
from mintage.trust.renewing import KeptFile, Renewing
from mintage.trust.statements import ROLES, keep_signed


class Evaluating(Collecting):
    """What is asked of a model that stands. No torch is loaded here."""

    def __init__(self, workspace: Workspace, keys: KeyRing, settings: Settings) -> None:
        super().__init__(
            workspace,
            keys,
            Downloads(workspace.download_folder, sealed=workspace.sealing is not None),
        )
        self._settings = settings
        self.bundles = Bundles(workspace, keys)

    @property
    def threads(self) -> int:
        """Threads for training and for the graph."""
        return self._settings.threads or available_cores()

    def model(self, reference: str) -> LoadedBundle:
        """The verified bundle of ``name`` or ``name@version``, or of a path; see ``Bundles``."""
        return self.bundles.find(reference)

    def predictor(self, reference: str) -> Predictor:
        """The model, ready to answer."""
        return self.open(self.model(reference))

    def open(
        self, bundle: LoadedBundle, threads: int | None = None, decode: Decode | None = None
    ) -> Predictor:
        """A verified bundle, ready to answer with so many threads (default: ``self.threads``)."""
        name, __, version = bundle.subject.partition("@")
        return Predictor(
            bundle, name=name, version=version, threads=threads or self.threads, decode=decode
        )

    def evaluate(
        self,
        reference: str,
        *,
        data: Path | None = None,
        label: str = "label",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Quality on the model's own test split, or on another folder, zip or table.

        What is measured on other data is signed and kept: ``evaluation`` is its id.

        Raises:
            DataError: nothing readable, or a class that the model does not know.
        """
        bundle = self.model(reference)
        if data is None:
            measured = json.loads(bundle.files["evaluation.json"])
        else:
            graph = Graph(bundle.model, threads=self.threads)
            measured = evaluate.evaluate_location(
                graph,
                bundle.manifest,
                data,
                self._trained_on(bundle.manifest),
                label=label,
                progress=progress or Silent(),
            )
            measured = self._kept(bundle, measured)
        return {"model": bundle.subject, **measured}

    def evaluate_split(self, reference: str, dataset: Dataset, split: Split) -> dict[str, Any]:
        """Quality on one split of a collected dataset.

        Raises:
            DataError: nothing in that split, or a class that the model does not know.
        """
        bundle = self.model(reference)
        graph = Graph(bundle.model, threads=self.threads)
        measured = evaluate.evaluate_split(
            self._workspace, graph, bundle.manifest, dataset, split, Silent()
        )
        return {"model": bundle.subject, **self._kept(bundle, measured)}

    def _kept(self, bundle: LoadedBundle, measured: dict[str, Any]) -> dict[str, Any]:
        """What was measured, with the id under which it is signed and kept."""
        evaluation, signer = new_id("eva"), self._keys.signer(ROLES["evaluation"])
        about = {"id": evaluation, "model": bundle.subject, "bundle_digest": bundle.digest}
        document = {**about, "measured_at": self._workspace.now(), **measured}
        logged = about | {"sha256": sha256_hex(canonical_json(document))}

        def work(connection: repository.Connection) -> None:
            audit.append(connection, "evaluation.measured", logged)
            keep_signed(connection, "evaluation", document, signer)

        self._workspace.database.write(work)
        return {"evaluation": evaluation, **measured}

    def signed_evaluation(self, evaluation: str) -> KeptFile:
        """The file in which an evaluation is signed; see ``Renewing.document``.

        Raises:
            DataError: there is none of this id.
            SignatureMismatch: its key was revoked as of a moment before the log had it.
        """
        renewing = Renewing(self._workspace.database, self._keys, self._workspace.now)
        return renewing.document(f"evaluation/{evaluation}")

    def evaluate_against(
        self,
        reference: str,
        people: Path,
        *,
        data: Path | None = None,
        label: str = "label",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """The model beside people who answered its test examples, or another folder's.

        Raises:
            DataError: ``people`` is no such table, no answer in it can be used, or the examples
                are not here.
        """
        bundle = self.model(reference)
        contender = compare.Contender(bundle, self.threads, self._trained_on(bundle.manifest))
        sheet = human.read_sheet(people)
        progress = progress or Silent()
        if data is None:
            return against.on_test(self._workspace, contender, sheet, progress)
        return against.on_location(contender, sheet, data, label=label, progress=progress)

    def compare(
        self,
        first: str,
        second: str,
        *,
        data: Path | None = None,
        label: str = "label",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Two models on the same examples: the newer one's test data, or a folder, zip or table.

        Raises:
            ConfigError: their answers cannot be compared.
            DataError: no example that neither model has seen, or nobody can know.
        """
        bundles = [self.model(first), self.model(second)]
        one, other = (
            compare.Contender(bundle, self.threads, self._trained_on(bundle.manifest))
            for bundle in bundles
        )
        both = (one, other)
        compare.check_comparable(both)
        if data is not None:
            return compare.on_location(both, data, label=label, progress=progress or Silent())
        newer = int(self._made(second) >= self._made(first))
        return compare.on_test(self._workspace, both, newer, progress or Silent())

    def _made(self, reference: str) -> int:
        """What orders models by age; a bundle from elsewhere counts as the oldest."""
        return -1 if os.sep in reference else int(self.bundles.row(reference)["log_position"])

    def _trained_on(self, manifest: Manifest) -> Dataset | None:
        """The model's dataset, where this workspace has it."""
        try:
            return self.dataset(f"{manifest.dataset['name']}#{manifest.dataset['version']}")
        except RequestError:
            return None

    def predict(
        self, reference: str, inputs: Sequence[Path], *, explain: Path | None = None
    ) -> list[dict[str, Any]]:
        """An answer for each file; one that cannot be read has ``error`` in place of ``output``.

        With ``explain``, a folder, each answer has an ``explanation``, and its drawing lies there.

        Raises:
            ConfigError: ``explain`` is no folder, or may not be written.
        """
        bundle = self.model(reference)
        predictor = self.open(bundle)
        drawings = None if explain is None else Drawings(explain)
        answers = []
        for path in inputs:
            answer: dict[str, Any] = {
                "input": str(path),
                "task": bundle.manifest.task,
                "model": bundle.subject,
                "bundle": str(bundle.folder),
            }
            try:
                data = _bytes(path)
                if drawings is None:
                    answers.append(answer | {"output": dict(predictor.predict(data).output)})
                    continue
                explained = predictor.explain(data)
            except InputError as error:
                described = {"code": error.code, "message": error.message, "remedy": error.remedy}
                answers.append(answer | {"error": described})
                continue
            answer["output"] = dict(explained.answer.output)
            answers.append(answer | {"explanation": drawings.draw(path, data, explained)})
        return answers


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(
            _("it is a folder: mintage score answers all that is in one"),
            remedy=_("Run mintage score FOLDER --model MODEL --out answers.csv."),
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(_("cannot be read: {reason}", reason=said_by(error))) from error
