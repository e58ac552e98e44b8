"""A split's examples and what the graph that serves says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.format import Manifest
from mintage.bundle.graph import Graph
from mintage.bundle.novelty import Detector
from mintage.core import registry
from mintage.core.types import Example
from mintage.create.dataset import Dataset

_CHUNK = 512


@dataclass(frozen=True)
class Answers:
    """``positions`` int[N] are the examples' in ``images``; ``logits`` float32[N, 1 or k]."""

    graph: Graph
    manifest: Manifest
    dataset: Dataset
    images: NDArray[np.uint8]
    positions: NDArray[np.intp]
    logits: NDArray[np.float32]
    unusual: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        graph: Graph,
        manifest: Manifest,
        dataset: Dataset,
        images: NDArray[np.uint8],
        positions: NDArray[np.intp],
    ) -> Answers:
        """Ask the graph; ``images`` is uint8[all, S, S, 3] in the order of the manifest."""
        # A memory-mapped split may be larger than the memory: a part at a time.
        parts = [
            ask(graph, manifest, images[positions[start : start + _CHUNK]])
            for start in range(0, len(positions), _CHUNK)
        ]
        logits, unusual = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(graph, manifest, dataset, images, positions, logits, unusual)

    @cached_property
    def examples(self) -> list[Example]:
        """The manifest's lines."""
        return [self.dataset.examples[position] for position in self.positions.tolist()]

    @cached_property
    def groups(self) -> list[str]:
        """What near duplicates share."""
        return [example.group for example in self.examples]

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """int[N]: the true classes."""
        return targets_of(self.examples, self.manifest.labels)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """float[N, classes], calibrated."""
        return self.probabilities_at(self.manifest.temperature)

    def probabilities_at(self, temperature: float) -> NDArray[np.float64]:
        """float[N, classes] of logits / T."""
        return registry.tasks().get(self.manifest.task).probabilities(self.logits, temperature)

    @cached_property
    def answered(self) -> NDArray[np.int64]:
        """int[N]: the most probable classes."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """float[N]: how probable those are."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """bool[N]: which of them are right."""
        return np.asarray(self.answered == self.targets)

    def asking_for(self, number: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
        """How probable the answer to example ``number`` is for other pictures uint8[M, S, S, 3]."""
        task, answer = registry.tasks().get(self.manifest.task), self.answered[number]

        def probability_of(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
            logits, __ = self.graph.run(inputs)
            return task.probabilities(logits, self.manifest.temperature)[:, answer]

        return probability_of


def ask(
    graph: Graph, manifest: Manifest, inputs: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits float32[N, 1 or k] of uint8[N, S, S, 3], and which are unlike the training data."""
    logits, features = graph.run(inputs)
    if manifest.novelty is None:
        return logits, np.zeros(len(inputs), bool)
    return logits, Detector.from_json(manifest.novelty).unusual(features)


def targets_of(examples: Sequence[Example], labels: Sequence[str]) -> NDArray[np.int64]:
    """int[N]: each example's class by its position in ``labels``."""
    return np.array([labels.index(example.label) for example in examples], np.int64)
