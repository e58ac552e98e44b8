"""The task ``class``: one label out of two or more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.tasks import metrics
from mintage.tasks.coverage import DECIMALS


class Classification:
    """Answers ``{label, probability, probabilities}``."""

    name = "class"

    def probabilities(
        self, logits: NDArray[np.float32], temperature: float = 1.0
    ) -> NDArray[np.float64]:
        """float64[N, classes]: the sigmoid of one logit, or the softmax of k, of logits / T."""
        scaled = logits.astype(np.float64) / temperature
        if scaled.shape[1] == 1:
            scaled = np.concatenate([np.zeros_like(scaled), scaled], axis=1)
        scaled -= scaled.max(axis=1, keepdims=True)
        raised = np.exp(scaled)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def output(self, probabilities: NDArray[np.float64], labels: Sequence[str]) -> dict[str, Any]:
        """One example's answer from float64[classes]; rounded to six decimals."""
        best = int(np.argmax(probabilities))
        rounded = [round(float(value), DECIMALS) for value in probabilities]
        return {
            "label": labels[best],
            "probability": rounded[best],
            "probabilities": dict(zip(labels, rounded, strict=True)),
        }

    def evaluate(
        self,
        probabilities: NDArray[np.float64],
        targets: NDArray[np.int64],
        labels: Sequence[str],
        groups: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Every metric of the task as JSON; probabilities float64[N, classes]."""
        predicted = probabilities.argmax(axis=1)
        correct = predicted == targets
        confusion = metrics.confusion_matrix(targets, predicted, len(labels))
        precision, recall, f1 = metrics.precision_recall_f1(confusion)
        low, high = metrics.accuracy_interval(correct, groups)
        support = confusion.sum(axis=1)
        one_vs_rest = [
            metrics.roc_auc(probabilities[:, k], targets == k) for k in range(len(labels))
        ]
        known = [value for value in one_vs_rest if value is not None]
        return {
            "examples": len(targets),
            "accuracy": float(correct.mean()),
            "interval": [low, high],
            "majority_accuracy": float(support.max() / len(targets)),
            "balanced_accuracy": float(recall[support > 0].mean()),
            "roc_auc": float(np.mean(known)) if known else None,
            "log_loss": metrics.log_loss(probabilities, targets),
            "calibration_error": metrics.expected_calibration_error(
                probabilities.max(axis=1), correct
            ),
            "per_class": {
                label: {
                    "precision": float(precision[k]),
                    "recall": float(recall[k]),
                    "f1": float(f1[k]),
                    "roc_auc": one_vs_rest[k],
                    "examples": int(support[k]),
                }
                for k, label in enumerate(labels)
            },
            "confusion_matrix": confusion.tolist(),
            "labels": list(labels),
        }

    def fit_temperature(self, logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
        """The T in [0.05, 20] that minimises the log loss of logits / T (Guo et al. 2017).

        One pseudo-example of every other class is added (Platt 1999): where every validation
        example is right, the loss alone would ask for certainty. It has one minimum in T, so
        golden-section search over log T finds it.
        """
        others = 1 / (len(targets) + 2)
        ratio = (np.sqrt(5) - 1) / 2
        low, high = np.log(0.05), np.log(20.0)

        def loss(position: float) -> float:
            chances = self.probabilities(logits, float(np.exp(position)))
            right = np.clip(chances[np.arange(len(targets)), targets], 1e-12, 1 - 1e-12)
            return float(-((1 - others) * np.log(right) + others * np.log(1 - right)).mean())

        for _ in range(40):
            left, right = high - ratio * (high - low), low + ratio * (high - low)
            if loss(left) < loss(right):
                high = right
            else:
                low = left
        return float(np.exp((low + high) / 2))
