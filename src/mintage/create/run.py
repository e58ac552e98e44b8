"""Steps 5 to 7 in one run: train, evaluate, choose the best, export, sign."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.format import Manifest, write_bundle
from mintage.bundle.graph import Graph
from mintage.bundle.novelty import Detector
from mintage.core import registry
from mintage.core.canonical import canonical_json
from mintage.core.errors import missing_extra
from mintage.core.files import write_atomic
from mintage.core.ids import new_id
from mintage.core.machine import describe
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.create import repository
from mintage.create.card import model_card
from mintage.create.dataset import Dataset
from mintage.create.evaluate import evaluation_of
from mintage.create.inspect import findings
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

try:
    from mintage.create.design import Recipe
    from mintage.create.export import check_parity, export_onnx
    from mintage.create.trials import Budget, Trained, Trials
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

_LIBRARIES = ("mintage", "numpy", "onnx", "onnxruntime", "pillow", "torch")
_FEATURE_EXAMPLES = 600
_PARITY_EXAMPLES = 64
_SUSPECTS = 50
_DOUBTED_BELOW = 0.35


@dataclass(frozen=True)
class RunResult:
    """A finished run; ``record`` is ``run.json``."""

    id: str
    model: str
    version: int
    folder: Path
    record: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What ``train --json`` says."""
        return {
            "run": self.id,
            "model": f"{self.model}@{self.version}",
            "seconds": self.record["seconds"],
            "candidate": self.record["candidate"],
            "metrics": self.record["metrics"],
            "interrupted": self.record["interrupted"],
            "bundle": self.record["bundle"],
            "report": self.record["report"],
        }


@dataclass
class Run:
    """One training, from the recipe to the bundle."""

    workspace: Workspace
    keys: KeyRing
    dataset: Dataset
    recipe: Recipe
    model: str
    progress: Progress
    should_stop: Callable[[], bool]
    budget: Budget | None

    def __post_init__(self) -> None:
        """Name the run."""
        self.id = new_id("run")
        self._signed: int | None = None  # the model's version, once it stands
        self.folder = self.workspace.run_folder(self.id)
        self.task = registry.tasks().get(self.dataset.card["task"])
        self.started = self.workspace.clock.monotonic()
        self.trials = Trials(
            self.workspace,
            self.dataset,
            self.recipe,
            self.folder,
            self.progress,
            self.should_stop,
            self.budget,
        )

    def execute(self) -> RunResult:
        """Train every candidate, keep the best, deliver it; a failure is recorded as one."""
        row = {
            "id": self.id,
            "dataset": self.dataset.name,
            "dataset_version": self.dataset.version,
            "status": "running",
            "started_at": self.workspace.now(),
        }
        self.workspace.database.write(lambda connection: repository.add_run(connection, row))
        write_atomic(self.folder / "recipe.json", canonical_json(self.recipe.to_json()))
        try:
            trained = self.trials.train_all()
            return self._deliver(trained)
        except BaseException as error:
            self._end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise

    def _deliver(self, trained: Sequence[Trained]) -> RunResult:
        """Export the best, evaluate the very graph that will serve, sign it, write it down."""
        best = max(trained, key=lambda each: (each.score, -each.fitted.validation_loss))
        interrupted = self.should_stop()
        self.progress.start(_("Exporting, evaluating and signing"))
        model = export_onnx(best.fitted.network, best.candidate, self.folder / "model.onnx")
        images = self.trials.images(best.candidate)
        test = np.flatnonzero(self.trials.in_split("test"))
        shown = images[test[:_PARITY_EXAMPLES]]
        parity = check_parity(model, best.fitted.network, best.candidate, shown)
        graph = Graph(model, threads=self.recipe.threads)
        manifest = self._manifest(best, graph, images)
        measured = evaluation_of(
            graph,
            manifest,
            images[test],
            self.trials.targets[test],
            [self.dataset.examples[position].group for position in test],
        )
        measured = {**measured, "data": {"dataset": self.dataset.reference, "split": "test"}}
        manifest = replace(manifest, metrics=_headline(measured, best, parity))
        number, digest = self._sign(manifest, model, measured, best)
        self.progress.finish()
        record = self._record(trained, best, manifest, measured, number, digest)
        record["suspects"] = self._suspects(graph, manifest, images)
        record["interrupted"] = interrupted
        record["seconds"] = round(self._seconds(), 3)
        write_atomic(self.folder / "run.json", json.dumps(record, indent=1).encode())
        self._end("interrupted" if interrupted else "finished")
        return RunResult(self.id, self.model, number, self.folder, record)

    def _manifest(self, best: Trained, graph: Graph, images: NDArray[np.uint8]) -> Manifest:
        fitted = best.fitted
        train = np.flatnonzero(~self.trials.in_split("test") & ~self.trials.validation())
        chosen = train[:: max(1, len(train) // _FEATURE_EXAMPLES)][:_FEATURE_EXAMPLES]
        __, features = graph.run(images[chosen])
        strangers = self.trials.kind.strangers(self.trials.spec(best.candidate))
        apart = [graph.run(kind)[1] for kind in strangers]
        detector = Detector.fit(features, fitted.validation_features, apart)
        return Manifest(
            modality=self.dataset.card["modality"],
            task=self.dataset.card["task"],
            labels=self.dataset.labels,
            input=self.trials.spec(best.candidate),
            temperature=round(
                self.task.fit_temperature(fitted.validation_logits, fitted.validation_labels), 6
            ),
            abstain_threshold=None,
            novelty=None if detector is None else detector.to_json(),
            dataset={"name": self.dataset.name, "version": self.dataset.version},
            recipe=self.recipe.to_json(),
            metrics={},
            seed=self.recipe.seed,
            libraries=_libraries(),
        )

    def _sign(
        self, manifest: Manifest, model: bytes, measured: Mapping[str, Any], best: Trained
    ) -> tuple[int, str]:
        """Write the bundle as the next version; two runs that race get two numbers."""
        card = model_card(self.model, self.dataset.card, measured, best.candidate.name)
        files = {
            "model.onnx": model,
            "card.md": card.encode(),
            "evaluation.json": canonical_json(measured),
        }
        with self.workspace.name_lock("models", self.model):
            with self.workspace.database.read() as connection:
                number = repository.next_model_version(connection, self.model)
            digest = write_bundle(
                self.workspace.model_folder(self.model, number),
                manifest,
                files,
                self.keys.signer("bundle"),
                f"{self.model}@{number}",
            )
            row = {
                "name": self.model,
                "version": number,
                "bundle_digest": digest,
                "dataset": self.dataset.name,
                "dataset_version": self.dataset.version,
                "run": self.id,
                "created_at": self.workspace.now(),
            }
            self.workspace.database.write(lambda connection: repository.add_model(connection, row))
            self._signed = number
        return number, digest

    def _suspects(
        self, graph: Graph, manifest: Manifest, images: NDArray[np.uint8]
    ) -> list[dict[str, Any]]:
        """Examples whose label the kept model doubts most; as many as the time allows."""
        chances: list[NDArray[np.float64]] = []
        for start in range(0, len(images), 128):
            if self.budget is not None and self.budget.left < 1.0 + 0.01 * self.budget.seconds:
                break
            logits, __ = graph.run(images[start : start + 128])
            chances.append(self.task.probabilities(logits, manifest.temperature))
        if not chances:
            return []
        scored = np.concatenate(chances)
        own = scored[np.arange(len(scored)), self.trials.targets[: len(scored)]]
        return [
            {
                "path": self.dataset.examples[position].path,
                "label": self.dataset.examples[position].label,
                "answer": self.dataset.labels[int(scored[position].argmax())],
                "probability": round(float(own[position]), 6),
            }
            for position in np.argsort(own)[:_SUSPECTS]
            if own[position] < _DOUBTED_BELOW
        ]

    def _record(
        self,
        trained: Sequence[Trained],
        best: Trained,
        manifest: Manifest,
        measured: Mapping[str, Any],
        number: int,
        digest: str,
    ) -> dict[str, Any]:
        return {
            "format": 1,
            "run": self.id,
            "model": f"{self.model}@{number}",
            "dataset": self.dataset.reference,
            "bundle": str(self.workspace.model_folder(self.model, number)),
            "bundle_digest": digest,
            "report": str(self.folder / "report.html"),
            "ended_at": self.workspace.now(),
            "machine": describe(),
            "seed": self.recipe.seed,
            "candidate": best.candidate.name,
            "why_kept": _why_kept(
                trained, best, folds=self.dataset.has_folds and self.budget is None
            ),
            "candidates": [_candidate_record(each) for each in trained],
            "metrics": dict(manifest.metrics),
            "evaluation": dict(measured),
            "data": findings(self.dataset),
            "libraries": dict(manifest.libraries),
        }

    def _seconds(self) -> float:
        if self.budget is not None:
            return self.budget.seconds - self.budget.left
        return self.workspace.clock.monotonic() - self.started

    def _end(self, status: str) -> None:
        changes = {
            "status": status,
            "ended_at": self.workspace.now(),
            "model": None if self._signed is None else self.model,
            "model_version": self._signed,
        }
        self.workspace.database.write(
            lambda connection: repository.end_run(connection, self.id, changes)
        )


def _headline(measured: Mapping[str, Any], best: Trained, parity: float) -> dict[str, Any]:
    return {
        "accuracy": measured["accuracy"],
        "interval": measured["interval"],
        "majority_accuracy": measured["majority_accuracy"],
        "roc_auc": measured["roc_auc"],
        "train_accuracy": best.fitted.train_accuracy,
        "validation_accuracy": best.score,
        "parity": parity,
    }


def _candidate_record(each: Trained) -> dict[str, Any]:
    return {
        "name": each.candidate.name,
        "train_accuracy": each.fitted.train_accuracy,
        "validation_accuracy": each.score,
        "validation_loss": each.fitted.validation_loss,
        "folds": each.folds,
        "epochs": each.fitted.epochs,
        "seconds": round(each.fitted.seconds, 3),
        "stopped_because": each.fitted.stopped_because,
        "history": each.fitted.history,
    }


def _why_kept(trained: Sequence[Trained], best: Trained, *, folds: bool) -> Message:
    name = best.candidate.name
    if len(trained) == 1:
        return _("{name} was the only candidate trained.", name=name)
    others = ", ".join(
        f"{each.candidate.name} {each.score:.1%}" for each in trained if each is not best
    )
    values = {"name": name, "score": f"{best.score:.1%}", "others": others}
    if folds:
        return _("{name} was kept: {score} right over five folds, against {others}.", **values)
    return _("{name} was kept: {score} right on validation data, against {others}.", **values)


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
