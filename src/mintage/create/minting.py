"""Steps 6 and 7: the best candidate exported, measured as it will serve, and signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.format import MANIFEST_FILE, Manifest, bundle_digest, write_bundle
from mintage.bundle.graph import Graph
from mintage.bundle.novelty import Detector
from mintage.core import registry
from mintage.core.canonical import canonical_json
from mintage.core.messages import Message, _
from mintage.create import repository
from mintage.create.answers import Answers
from mintage.create.bom import (
    BOM_FILE,
    Ancestor,
    Made,
    bill_of_materials,
    classification_metrics,
)
from mintage.create.card import LIMITS, about_in_words, model_card
from mintage.create.diagnose import Validation, at_once
from mintage.create.evaluate import evaluation_of
from mintage.create.export import check_parity, export_onnx
from mintage.create.int8_check import Int8Check, lightened
from mintage.create.quantise import calibration_of
from mintage.create.recipe import Candidate, Recipe
from mintage.create.record import headline, libraries
from mintage.create.request import Request
from mintage.create.trials import Trained, Trials
from mintage.tasks import coverage
from mintage.trust.keys import KeyRing

_FEATURE_EXAMPLES = 600
_PARITY_EXAMPLES = 64


@dataclass(frozen=True)
class Minted:
    """A signed bundle and what was found on the way; ``found`` is the beginning of a diagnosis."""

    number: int
    digest: str
    manifest: Manifest
    measured: Mapping[str, Any]
    test: Answers
    validation: Validation
    found: Mapping[str, Any]
    int8: Int8Check | None


class Mint:
    """Makes one run's bundle; ``signed`` is told its number as soon as it stands."""

    def __init__(
        self,
        trials: Trials,
        request: Request,
        run: str,
        keys: KeyRing,
        signed: Callable[[int], None],
    ) -> None:
        self.trials, self.request, self.run = trials, request, run
        self.keys, self.signed = keys, signed
        self.dataset, self.workspace = trials.dataset, trials.workspace
        self.task = registry.tasks().get(self.dataset.card["task"])

    def strike(self, best: Trained, folder: Path) -> Minted:
        """Export, quantise where that is asked for, evaluate the very graph that will serve, sign.

        Raises:
            DataError: the export differs from what was trained.
        """
        images = self.trials.images(best.candidate)
        model = export_onnx(best.fitted.network, best.candidate, folder / "model.onnx")
        test = np.flatnonzero(self.trials.in_split("test"))
        shown = images[test[:_PARITY_EXAMPLES]]
        parity = check_parity(model, best.fitted.network, best.candidate, shown)
        graph, check = Graph(model, threads=self.trials.recipe.threads), None
        logits, features = best.fitted.validation_logits, best.fitted.validation_features
        if self.request.int8:
            model, graph, check = self._lightened(model, graph, images)
            if not check.refused:
                logits, features = graph.run(images[self.trials.validation()])
        manifest = self._manifest(best, graph, images, logits, features)
        asked = Answers.of(graph, manifest, self.dataset, images, test)
        measured = evaluation_of(manifest, asked.logits, asked.unusual, asked.targets, asked.groups)
        chances = self.task.probabilities(logits, manifest.temperature)
        validation = chances, best.fitted.validation_labels
        found = at_once(asked, self.workspace, validation)
        measured = {**measured, "data": {"dataset": self.dataset.reference, "split": "test"}}
        manifest = replace(manifest, metrics=headline(measured, best, parity))
        ancestor = _ancestor(best.candidate)
        card = model_card(
            self.request.model,
            self.dataset.card,
            measured,
            best.candidate.name,
            found,
            self._notes(ancestor, check),
        )
        files = {
            "model.onnx": model,
            "card.md": card.encode(),
            "evaluation.json": canonical_json(measured),
        }
        made = _made(manifest, best.candidate, measured, ancestor)
        listed = {**files, MANIFEST_FILE: manifest.to_bytes()}
        files[BOM_FILE] = bill_of_materials(made, self.dataset.card, manifest.libraries, listed)
        number, digest = self._sign(manifest, files)
        return Minted(number, digest, manifest, measured, asked, validation, found, check)

    def _lightened(
        self, model: bytes, graph: Graph, images: NDArray[np.uint8]
    ) -> tuple[bytes, Graph, Int8Check]:
        chosen = np.flatnonzero(self.trials.validation())
        found = lightened(
            model,
            graph,
            calibration_of(images, np.flatnonzero(self.trials.learned_from())),
            images[chosen],
            self.trials.targets[chosen],
            self.task,
            threads=self.trials.recipe.threads,
            clock=self.workspace.clock.monotonic,
        )
        self.trials.progress.say(found.check.in_words())
        return found.model, found.graph, found.check

    def _manifest(
        self,
        best: Trained,
        graph: Graph,
        images: NDArray[np.uint8],
        logits: NDArray[np.float32],
        features: NDArray[np.float32],
    ) -> Manifest:
        train = np.flatnonzero(self.trials.learned_from())
        chosen = train[:: max(1, len(train) // _FEATURE_EXAMPLES)][:_FEATURE_EXAMPLES]
        __, learned = graph.run(images[chosen])
        apart = [graph.run(kind)[1] for kind in self.trials.strangers(best.candidate)]
        detector = Detector.fit(learned, features, apart)
        targets = best.fitted.validation_labels
        temperature = round(self.task.fit_temperature(logits, targets), 6)
        return Manifest(
            modality=self.dataset.card["modality"],
            task=self.dataset.card["task"],
            labels=self.dataset.labels,
            input=self.trials.spec(best.candidate),
            temperature=temperature,
            abstain_threshold=self._threshold(logits, targets, temperature),
            novelty=None if detector is None else detector.to_json(),
            dataset={"name": self.dataset.name, "version": self.dataset.version},
            recipe=_told(self.trials.recipe).to_json(),
            metrics={},
            seed=self.trials.recipe.seed,
            libraries=libraries(),
        )

    def _threshold(
        self, logits: NDArray[np.float32], targets: NDArray[np.int64], temperature: float
    ) -> float | None:
        """The probability below which no label is given, chosen on validation data."""
        sure = self.request.sure
        if sure is None:
            return None
        found = coverage.threshold_for(self.task.probabilities(logits, temperature), targets, sure)
        if found is None:
            self.trials.progress.say(
                _(
                    "No threshold makes answers right {sure:.1%} of the time for certain: of "
                    "{examples:,} validation examples that cannot be shown, so every answer is "
                    "given. More data, or a lower --sure, would help.",
                    sure=sure,
                    examples=len(targets),
                )
            )
        return found

    def _notes(self, ancestor: Ancestor | None, check: Int8Check | None) -> list[Message]:
        """Further lines of how it was made, for the card."""
        if self.trials.recipe.seconds is None:
            notes = [
                _(
                    "Trained by epochs: the same data, recipe, versions and kind of machine give "
                    "the same weights again"
                )
            ]
        else:
            notes = [
                _(
                    "Trained by the clock: the schedule followed it, so that training again gives "
                    "a model like it, not the same weights"
                )
            ]
        if ancestor is not None:
            notes.append(_of_weights(ancestor))
        if self.trials.dropped:
            notes.append(
                _(
                    "Left out of training, for labels that other networks contradict: {count} "
                    "examples",
                    count=len(self.trials.dropped),
                )
            )
        note = None if check is None else check.card_note()
        return notes if note is None else [*notes, note]

    def _sign(self, manifest: Manifest, files: Mapping[str, bytes]) -> tuple[int, str]:
        """Write the bundle as the next version; two runs that race get two numbers."""
        name = self.request.model
        with self.workspace.name_lock("models", name):
            digest = bundle_digest(manifest, files)
            with self.workspace.database.read() as connection:
                before = repository.model_of(connection, self.run, digest)
                number = repository.next_model_version(connection, name)
            if before is not None:  # this run signed it, and was killed
                self.signed(before)
                return before, digest
            folder = self.workspace.model_folder(name, number)
            subject = f"{name}@{number}"
            write_bundle(folder, manifest, files, self.keys.signer("bundle"), subject)
            row = {
                "name": name,
                "version": number,
                "bundle_digest": digest,
                "dataset": self.dataset.name,
                "dataset_version": self.dataset.version,
                "run": self.run,
                "created_at": self.workspace.now(),
            }
            self.workspace.database.write(lambda connection: repository.add_model(connection, row))
            self.signed(number)
        return number, digest


def _ancestor(candidate: Candidate) -> Ancestor | None:
    """Whose weights it began from, and under which licence; None where from none."""
    if candidate.weights is None:
        return None
    from mintage.modalities.image.pretrained import describe  # noqa: PLC0415 - an extra

    found = describe(candidate.weights)
    return Ancestor(
        name=_name_of(candidate.weights),
        architecture=found.architecture,
        digest=found.digest,
        revision=found.revision or "",
        licence=found.licence or "",
    )


def _of_weights(ancestor: Ancestor) -> Message:
    return _(
        "Began from pretrained weights: {name} ({architecture}), SHA-256 {digest}, licence "
        "{licence}",
        name=ancestor.name,
        architecture=ancestor.architecture,
        digest=ancestor.digest,
        licence=ancestor.licence or _("not stated"),
    )


def _made(
    manifest: Manifest,
    candidate: Candidate,
    measured: Mapping[str, Any],
    ancestor: Ancestor | None,
) -> Made:
    """What the bill of materials says of the model itself."""
    side, outputs = manifest.input.side, len(manifest.labels)
    return Made(
        task=f"{manifest.modality}-classification",
        architecture=candidate.name,
        inputs=[f"uint8[N, {side}, {side}, 3], RGB"],
        outputs=[f"float32[N, {1 if outputs == 2 else outputs}], logits"],
        metrics=classification_metrics(measured),
        about=about_in_words(manifest.modality, manifest.labels),
        limits=LIMITS,
        ancestor=ancestor,
    )


def _told(recipe: Recipe) -> Recipe:
    """The recipe as others may read it: a folder of weights by its own name, not by its path."""
    candidates = tuple(
        each if each.weights is None else replace(each, weights=_name_of(each.weights))
        for each in recipe.candidates
    )
    return replace(recipe, candidates=candidates)


def _name_of(weights: str) -> str:
    return Path(weights).resolve().name if Path(weights).exists() else weights
