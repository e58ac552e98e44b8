"""The questions of an audit, each answered with a status, a sentence and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.format import Manifest
from mintage.bundle.graph import Graph
from mintage.bundle.graph_check import check_graph
from mintage.core import registry
from mintage.core.errors import MintageError
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.create.answers import Answers, ask
from mintage.create.dataset import Dataset
from mintage.create.evaluate import Elsewhere, digest_of
from mintage.create.model_audit import golden, membership
from mintage.create.model_audit.square import noisy, square_attack
from mintage.create.model_audit.words import membership_in_words, robustness_in_words
from mintage.tasks.metrics import wilson_interval

Status = Literal["ok", "warning", "failed", "skipped"]
Pixels = NDArray[np.uint8]
_PICTURES = "image"
_NOT_PICTURES = _("it is asked of models of pictures")


@dataclass(frozen=True)
class Check:
    """What was asked, what came of it, and its ``figures`` as the document holds them.

    ``skipped`` says that it could not be asked here, and ``found`` why.
    """

    name: str
    status: Status
    found: str
    figures: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, str]:
        """As it stands in the signed document, in English."""
        return {"check": self.name, "status": self.status, "found": str(self.found)}


@dataclass(frozen=True)
class Extent:
    """How far an audit goes; ``eps`` is in 255ths, ``members`` bounds either side."""

    examples: int = 100
    queries: int = 1000
    members: int = 20_000
    canaries: int = 500
    eps: int = 4
    seed: int = 0
    whole_dataset: bool = True


QUICK = Extent(examples=30, queries=100, members=2000, canaries=200, whole_dataset=False)


def failed(name: str, error: MintageError) -> Check:
    """What was asked does not hold."""
    return Check(name, "failed", error.message)


def skipped(name: str, reason: str) -> Check:
    """It could not be asked."""
    return Check(name, "skipped", reason)


def graph_check(model: bytes) -> Check:
    """Whether the graph is one that may be opened, and what it is made of."""
    try:
        facts = check_graph(model)
    except MintageError as error:
        return failed("graph", error)
    found = _(
        "{nodes:,} nodes of {operators} kinds, {weights:,} weights, {size_bytes:,} bytes; nothing "
        "outside of it",
        nodes=sum(facts.operators.values()),
        operators=len(facts.operators),
        weights=facts.weights,
        size_bytes=facts.size_bytes,
    )
    return Check("graph", "ok", found, vars(facts) | {"operators": dict(facts.operators)})


def canary_check(graph: Graph, manifest: Manifest, first: Mapping[str, Any] | None) -> Check:
    """Whether made-up inputs are answered as in the ``first`` audit; None where this is that."""
    if manifest.modality != _PICTURES:
        return skipped("canaries", _NOT_PICTURES)
    inputs = golden.golden_inputs(manifest.input.side)
    answers = probabilities_of(graph, manifest, inputs)
    figures = golden.described(inputs) | {"answers": golden.answers_json(answers)}
    if first is None:
        found = _(
            "{count} made-up inputs were answered; the next audit compares", count=len(inputs)
        )
        return Check("canaries", "ok", found, figures)
    moved = golden.difference(first["canaries"]["answers"], answers)
    values: dict[str, Any] = {"count": len(inputs), "day": first["audited_at"][:10]}
    if moved is None or moved > golden.TOLERANCE:
        found = _(
            "{count} made-up inputs are not answered as on {day}: a probability differs by "
            "{moved:.4f}",
            moved=1.0 if moved is None else moved,
            **values,
        )
        return Check("canaries", "failed", found, figures)
    found = _("{count} made-up inputs are answered as on {day}", **values)
    return Check("canaries", "ok", found, figures | {"moved": moved})


def probabilities_of(graph: Graph, manifest: Manifest, inputs: Pixels) -> NDArray[np.float64]:
    """float[N, classes] as the model would answer them."""
    logits, __ = graph.run(inputs)
    return registry.tasks().get(manifest.task).probabilities(logits, manifest.temperature)


@dataclass(frozen=True)
class Material:
    """A model's graph with its own examples at hand: ``images`` is in the manifest's order."""

    graph: Graph
    manifest: Manifest
    dataset: Dataset
    images: Pixels

    def positions(self, split: str, most: int, *, apart: bool = False) -> NDArray[np.intp]:
        """At most so many of a split, spread over it; ``apart`` takes one of near duplicates."""
        examples = self.dataset.examples
        chosen = np.flatnonzero([example.split == split for example in examples])
        if apart and len(chosen):
            groups = [examples[position].group for position in chosen.tolist()]
            chosen = chosen[np.sort(np.unique(groups, return_index=True)[1])]
        if not len(chosen):
            return chosen
        places = np.linspace(0, len(chosen) - 1, min(most, len(chosen)))
        return np.asarray(chosen[np.unique(places.astype(np.intp))])

    def answers(self, positions: NDArray[np.intp]) -> Answers:
        """What the graph says of them."""
        return Answers.of(self.graph, self.manifest, self.dataset, self.images, positions)


def robustness_check(material: Material, extent: Extent, progress: Progress) -> Check:
    """How often it is right under the Square Attack, and under noise of the same size."""
    if material.manifest.modality != _PICTURES:
        return skipped("robustness", _NOT_PICTURES)
    positions = material.positions("test", extent.examples, apart=True)
    if not len(positions):
        return skipped("robustness", _("there are no test examples"))
    test = material.answers(positions)
    images, targets = np.asarray(material.images[positions]), test.targets

    def scores(changed: Pixels) -> NDArray[np.float64]:
        return probabilities_of(material.graph, material.manifest, changed)

    progress.start(_("Attacking"), extent.queries)
    attacked = square_attack(
        scores,
        images,
        targets,
        eps=extent.eps,
        queries=extent.queries,
        seed=extent.seed,
        advance=progress.advance,
    )
    progress.finish()
    control = scores(noisy(images, extent.eps, extent.seed + 1)).argmax(axis=1) == targets
    __, unusual = ask(material.graph, material.manifest, attacked.images)
    broken = attacked.wrong & test.correct
    figures: dict[str, Any] = {
        "attack": "square",
        "norm": "linf",
        "eps_255ths": extent.eps,
        "queries": extent.queries,
        "seed": extent.seed,
        "examples": len(positions),
        "accuracy": _share(test.correct),
        "under_noise": _share(control),
        "under_attack": _share(~attacked.wrong),
        "median_queries": float(np.median(attacked.queries[broken])) if broken.any() else None,
        "withheld_after_attack": float(unusual.mean()),
    }
    return Check("robustness", "ok", robustness_in_words(figures), figures)


def _share(right: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "share": float(right.mean()),
        "interval": list(wilson_interval(int(right.sum()), len(right))),
    }


def membership_check(
    material: Material, extent: Extent, progress: Progress, strangers: Elsewhere | None = None
) -> Check:
    """Whether its answers tell training examples from test examples, with both controls.

    ``strangers`` are further examples that are said never to have trained it; those of its own
    dataset are left out.
    """
    own = material.positions("train", extent.members)
    others = material.positions("test", extent.members)
    if not len(own) or not len(others):
        return skipped("membership", _("there are no training or no test examples"))
    progress.start(_("Asking about training and test examples"), 2)
    members = material.answers(own)
    progress.advance(1)
    test = material.answers(others)
    chances, targets, besides = test.probabilities, test.targets, None
    if strangers is not None:
        known = {example.sha256 for example in material.dataset.examples}
        new = np.array([digest not in known for digest in strangers.digests])
        if new.any():
            asked = probabilities_of(material.graph, material.manifest, strangers.images[new])
            chances = np.concatenate([chances, asked])
            targets = np.concatenate([targets, strangers.targets(material.manifest)[new]])
        besides = {
            "examples": int(new.sum()),
            "known": int((~new).sum()),
            "sha256": digest_of(strangers.digests, strangers.labels),
        }
    progress.finish()
    figures = membership.measured(members.probabilities, members.targets, chances, targets)
    figures["others"] = besides
    canaries = np.unique(
        np.linspace(0, len(own) - 1, min(extent.canaries, len(own))).astype(np.intp)
    )
    figures["controls"] = membership.controls(
        members.probabilities[canaries],
        members.targets[canaries],
        chances,
        targets,
        extent.seed,
    )
    status: Status = "warning" if leaks(figures) or not trustworthy(figures) else "ok"
    return Check("membership", status, membership_in_words(figures), figures)


def trustworthy(figures: Mapping[str, Any]) -> bool:
    """Whether the measure found the leak that was planted, and none that was not."""
    controls = figures["controls"]
    return controls is not None and controls["planted"]["holds"] and controls["unplanted"]["holds"]


def leaks(figures: Mapping[str, Any]) -> bool:
    """Whether a statistic tells members from others by more than chance explains (95 %).

    At low false positive rates; where none is told, over all thresholds.
    """
    attacks = [*figures["attacks"].values()]
    rates = [row for each in attacks for row in each["rates"]]
    if rates:
        return any(row["interval"][0] > row["fpr"] for row in rates)
    return any((each["auc_interval"] or [0])[0] > 0.5 for each in attacks)
