"""Answering from a bundle, with ONNX Runtime and without any training framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.graph import Graph
from mintage.bundle.loader import LoadedBundle
from mintage.bundle.novelty import Detector
from mintage.bundle.occlusion import occlusion
from mintage.core.clock import Clock, SystemClock
from mintage.core.messages import _
from mintage.core.registry import modalities, tasks
from mintage.core.types import Answer, InputSpec, ProviderInfo

Decode = Callable[[str, bytes, InputSpec], NDArray[np.uint8]]
"""Decodes an upload of a modality, by its name; ``Decoders.decode`` does so elsewhere."""

UNUSUAL = _("unlike anything this model was shown")
NOT_SURE = _("not sure")


class NoveltyDetector(Protocol):
    """Tells inputs that are unlike the training data by the network's features."""

    def unusual(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """bool[N] for float32[N, D]."""
        ...


@dataclass(frozen=True)
class Explanation:
    """An answer, and where in the picture it comes from.

    ``map`` is float32[S, S]: how far the probability of ``label`` falls when that place is hidden.
    Both are None where the model abstains, for the ``reason``.
    """

    answer: Answer
    map: NDArray[np.float32] | None
    label: str | None
    reason: str = ""


class Predictor:
    """The provider ``bundle``: one shared session, safe to call from many threads."""

    def __init__(
        self,
        bundle: LoadedBundle,
        *,
        name: str,
        version: str,
        threads: int,
        detector: NoveltyDetector | None = None,
        decode: Decode | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Open the model for ``threads`` threads; ``detector`` replaces the bundle's own.

        ``decode`` decodes in the modality's place, with its very function in another process.

        Raises:
            DataError: graph or detector cannot be read. Without its detector a bundle does not
                answer, or every stranger would get a confident label.
            ConfigError: there is no such modality or task.
        """
        manifest = bundle.manifest
        self.info = ProviderInfo(
            model=name,
            version=version,
            bundle_digest=bundle.digest,
            task=manifest.task,
            modality=manifest.modality,
        )
        self._manifest = manifest
        self._modality = modalities().get(manifest.modality)
        self._task = tasks().get(manifest.task)
        self._detector = detector
        if detector is None and manifest.novelty is not None:
            self._detector = Detector.from_json(manifest.novelty)
        self._graph = Graph(bundle.model, threads=threads)
        self._decode = decode
        self._threads = threads
        self._clock = clock or SystemClock()

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """uint8[side, side, 3] from an upload; raises DataError for what it cannot read."""
        if self._decode is not None:
            return self._decode(self._manifest.modality, data, self._manifest.input)
        return self._modality.decode(data, self._manifest.input)

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        """Answer uint8[N, side, side, 3]; compute time is the batch's wall time x threads / N."""
        count = len(inputs)
        if not count:
            return []
        begun = self._clock.monotonic()
        logits, features = self._graph.run(inputs)
        rows = self._task.probabilities(logits, self._manifest.temperature)
        unusual = (
            np.zeros(count, bool) if self._detector is None else self._detector.unusual(features)
        )
        seconds = (self._clock.monotonic() - begun) * self._threads / count
        return [
            self._answer(row, is_unusual=bool(flag), seconds=seconds)
            for row, flag in zip(rows, unusual, strict=True)
        ]

    def predict(self, data: bytes) -> Answer:
        """Decode and answer one upload."""
        return self.infer(self.decode(data)[np.newaxis])[0]

    def explain(self, data: bytes) -> Explanation:
        """Answer one upload as ``predict`` does, and show what the answer depends on.

        The graph is run on two hundred changed copies of the picture.
        """
        pixels = self.decode(data)
        answer = self.infer(pixels[np.newaxis])[0]
        label = answer.output["label"]
        if label is None:
            return Explanation(answer, None, None, answer.output["message"])
        position = self._manifest.labels.index(label)

        def probability_of(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
            logits, __ = self._graph.run(inputs)
            return self._task.probabilities(logits, self._manifest.temperature)[:, position]

        return Explanation(answer, occlusion(probability_of, pixels), label)

    def _answer(self, row: NDArray[np.float64], *, is_unusual: bool, seconds: float) -> Answer:
        output = self._task.output(row, self._manifest.labels)
        message = UNUSUAL if is_unusual else "" if self._is_sure(row, output) else NOT_SURE
        if message:
            # Never a confident label, nor the numbers from which one could be made.
            withheld = dict.fromkeys(("label", "probability", "probabilities"))
            output = {**output, **withheld, "unusual": is_unusual, "message": message}
        else:
            output = {**output, "unusual": False}
        return Answer(
            task=self._manifest.task,
            output=output,
            abstained=bool(message),
            probability=output.get("probability"),
            compute_seconds=seconds,
        )

    def _is_sure(self, row: NDArray[np.float64], output: dict[str, Any]) -> bool:
        threshold = self._manifest.abstain_threshold
        probability = output.get("probability")
        if not np.isfinite(row).all():
            return False
        return threshold is None or probability is None or probability >= threshold
