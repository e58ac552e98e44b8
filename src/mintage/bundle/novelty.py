"""Telling inputs that are unlike the training data, by the distance of the network's features.

The distance is Mahalanobis' in the leading principal components of the standardised features,
plus what those components leave over, so that a direction in which training data never varied
counts too (Lee et al. 2018, arXiv 1807.03888, with one Gaussian over all classes).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import DataError

ALGORITHM = "mahalanobis-pca/v1"
_COMPONENTS = 32
_FEWEST = 20
_FALSE_ALARMS = 0.01
_MARGIN = 1.15

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Detector:
    """Parameters of the distance: mean, deviation [D], components [K, D], variances [K]."""

    mean: Array
    deviation: Array
    components: Array
    variances: Array
    residual: float
    threshold: float

    @classmethod
    def fit(cls, features: Array, held_out: Array) -> Self | None:
        """Learn from training features float32[N, D]; the threshold is set on held-out ones.

        About 1 % of held-out examples would be called unusual, less a margin. None where there
        are too few examples to say.
        """
        if len(features) < _FEWEST or len(held_out) < _FEWEST:
            return None
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.maximum(deviation, max(1e-6, float(deviation.max()) * 1e-4))
        scaled = (features - mean) / deviation
        kept = min(_COMPONENTS, scaled.shape[1], len(scaled) // 4)
        _, singular, rows = np.linalg.svd(scaled, full_matrices=False)
        variances = np.asarray(singular**2 / len(scaled), dtype=np.float32)
        residual = max(1e-6, float(variances[kept:].sum()))
        found = cls(mean, deviation, rows[:kept], variances[:kept], residual, threshold=0.0)
        limit = float(np.quantile(found.distance(held_out), 1 - _FALSE_ALARMS)) * _MARGIN
        return cls(mean, deviation, rows[:kept], variances[:kept], residual, threshold=limit)

    def distance(self, features: Array) -> NDArray[np.float64]:
        """float64[N]: about 1 for training data, larger the less an input is like them."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number stays none
            scaled = (features - self.mean) / self.deviation
            along = (scaled @ self.components.T) ** 2
            rest = np.maximum((scaled * scaled).sum(axis=1) - along.sum(axis=1), 0)
            parts = np.column_stack([along / self.variances, rest / self.residual])
            return np.asarray(np.sqrt(parts.astype(np.float64).mean(axis=1)))

    def unusual(self, features: Array) -> NDArray[np.bool_]:
        """bool[N]: further away than held-out examples are; what is no number is unusual."""
        return ~(self.distance(features) <= self.threshold)

    def to_json(self) -> dict[str, Any]:
        """The parameters as ``bundle.json`` holds them; arrays are little-endian float32."""
        return {
            "algorithm": ALGORITHM,
            "mean": _packed(self.mean),
            "deviation": _packed(self.deviation),
            "components": _packed(self.components),
            "variances": _packed(self.variances),
            "residual": self.residual,
            "threshold": self.threshold,
        }

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            DataError: another algorithm, or parameters that do not fit together.
        """
        try:
            if parameters["algorithm"] != ALGORITHM:
                raise ValueError(parameters["algorithm"])  # noqa: TRY301 - one error for the lot
            mean = _unpacked(parameters["mean"])
            variances = _unpacked(parameters["variances"])
            return cls(
                mean=mean,
                deviation=_unpacked(parameters["deviation"]).reshape(mean.shape),
                components=_unpacked(parameters["components"]).reshape(len(variances), len(mean)),
                variances=variances,
                residual=float(parameters["residual"]),
                threshold=float(parameters["threshold"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(
                f"The bundle's novelty detector cannot be read: {error}.",
                remedy="Upgrade Mintage, or train the model again.",
            ) from error


def _packed(values: Array) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _unpacked(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
