"""Telling inputs that are unlike the training data, by the features of network and input.

Two kinds of distance, each over its own limit on held-out data. Mahalanobis' in the leading
principal components of the standardised features, plus what those leave over, so that a
direction in which training data never varied counts too (Lee et al. 2018, arXiv 1807.03888, with
one Gaussian over all classes). And, for each kind of *strangers*, that is of inputs made up to be
unlike, how far along Fisher's discriminant between the training data and them (outlier exposure,
Hendrycks et al. 2019, arXiv 1812.04606, by a closed formula). On a model of drawn pets the first
alone knows 28 % of photographs, both together 98 %, at 1 to 2 % false alarms.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import DataError
from mintage.core.messages import _

ALGORITHM = "mahalanobis-fisher/v2"
_COMPONENTS = 32
_FEWEST = 20
_SHRINKAGE = 0.06
_FALSE_ALARMS = 0.01  # of each part
_NEAREST = 0.01
_LEAST_DEVIATIONS = 3.1
_MARGIN = 1.1

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Detector:
    """Parameters: mean, deviation [D]; components [K, D], variances [K]; directions [S, D].

    ``offsets`` and ``limits`` [1 + S] turn the parts of the distance into one scale, on which
    what is further than 1 is unusual.
    """

    mean: Array
    deviation: Array
    components: Array
    variances: Array
    residual: float
    directions: Array
    offsets: Array
    limits: Array

    @classmethod
    def fit(cls, features: Array, held_out: Array, strangers: Sequence[Array] = ()) -> Self | None:
        """Learn from training features float32[N, D]; the limits are set on held-out ones.

        ``strangers`` are features of inputs that are unlike, float32[M, D] for each kind. A kind
        that is not unlike after all does no harm: its limit then lies beyond them. About 1 % of
        held-out examples would be called unusual. None where there are too few examples to say.
        """
        if len(features) < _FEWEST or len(held_out) < _FEWEST:
            return None
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.maximum(deviation, max(1e-6, float(deviation.max()) * 1e-4))
        scaled = (features - mean) / deviation
        kept = min(_COMPONENTS, scaled.shape[1], len(scaled) // 4)
        __, singular, rows = np.linalg.svd(scaled, full_matrices=False)
        variances = np.asarray(singular**2 / len(scaled), dtype=np.float32)
        directions = [_discriminant(scaled, (each - mean) / deviation) for each in strangers]
        found = cls(
            mean=mean,
            deviation=deviation,
            components=rows[:kept],
            variances=variances[:kept],
            residual=max(1e-6, float(variances[kept:].sum())),
            directions=np.array(directions, np.float32).reshape(len(strangers), len(mean)),
            offsets=np.zeros(1 + len(strangers), np.float32),
            limits=np.ones(1 + len(strangers), np.float32),
        )
        offsets, limits = _limits(found.parts(features), found.parts(held_out))
        for kind, each in enumerate(strangers, start=1):
            nearest = float(np.quantile(found.parts(each)[:, kind], _NEAREST))
            # Where strangers are far, so may the limit be: a third of the way costs nothing.
            limits[kind] = max(float(limits[kind]), (nearest - float(offsets[kind])) / 3)
        return replace(found, offsets=offsets, limits=limits)

    def parts(self, features: Array) -> NDArray[np.float64]:
        """float64[N, 1 + S]: Mahalanobis' distance, then how far along each direction."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number stays none
            scaled = (features - self.mean) / self.deviation
            along = (scaled @ self.components.T) ** 2
            rest = np.maximum((scaled * scaled).sum(axis=1) - along.sum(axis=1), 0)
            squares = np.column_stack([along / self.variances, rest / self.residual])
            distance = np.sqrt(squares.astype(np.float64).mean(axis=1))
            return np.column_stack([distance, scaled @ self.directions.T])

    def distance(self, features: Array) -> NDArray[np.float64]:
        """float64[N]: the furthest part; above 1 is further than held-out examples are."""
        return np.asarray(((self.parts(features) - self.offsets) / self.limits).max(axis=1))

    def unusual(self, features: Array) -> NDArray[np.bool_]:
        """bool[N]: further away than held-out examples are; what is no number is unusual."""
        return ~(self.distance(features) <= 1.0)

    def to_json(self) -> dict[str, Any]:
        """The parameters as ``bundle.json`` holds them; arrays are little-endian float32."""
        arrays = {name: _packed(getattr(self, name)) for name in _ARRAYS}
        return {"algorithm": ALGORITHM, "residual": self.residual, **arrays}

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            DataError: another algorithm, or parameters that do not fit together.
        """
        try:
            if parameters["algorithm"] != ALGORITHM:
                raise ValueError(parameters["algorithm"])  # noqa: TRY301 - one error for the lot
            arrays = {name: _unpacked(parameters[name]) for name in _ARRAYS}
            width, kept = len(arrays["mean"]), len(arrays["variances"])
            kinds = len(arrays["limits"]) - 1
            shapes = {
                "deviation": (width,),
                "components": (kept, width),
                "directions": (kinds, width),
                "offsets": (1 + kinds,),
            }
            arrays |= {name: arrays[name].reshape(shape) for name, shape in shapes.items()}
            return cls(residual=float(parameters["residual"]), **arrays)
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(
                _("The bundle's novelty detector cannot be read: {error}.", error=error),
                remedy=_("Upgrade Mintage, or train the model again."),
            ) from error


_ARRAYS = (
    "mean",
    "deviation",
    "components",
    "variances",
    "directions",
    "offsets",
    "limits",
)


def _discriminant(inside: Array, outside: Array) -> NDArray[np.float64]:
    """Fisher's direction from training data to strangers, of deviation 1 over training data.

    The covariance is the mean of both sides', a tenth of it spread over all directions:
    there may be fewer examples than features.
    """
    covariance = (np.cov(inside, rowvar=False) + np.cov(outside, rowvar=False)) / 2
    spread = float(np.trace(covariance)) / len(covariance)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * spread * np.eye(len(covariance))
    apart = outside.mean(axis=0) - inside.mean(axis=0)
    direction = np.linalg.solve(covariance, apart)
    return np.asarray(direction / max(1e-6, float((inside @ direction).std())))


def _limits(trained: NDArray[np.float64], held_out: NDArray[np.float64]) -> tuple[Array, Array]:
    """Where each part of held-out examples has its middle, and how far beyond it they reach.

    Features of training examples are tighter, but these are more: their reach counts where it is
    further. Of few examples a quantile says little, hence no limit is nearer than 3.1 deviations.
    """
    offsets = held_out.mean(axis=0)
    reach = [np.quantile(parts, 1 - _FALSE_ALARMS, axis=0) for parts in (trained, held_out)]
    least = _LEAST_DEVIATIONS * held_out.std(axis=0)
    limits = np.maximum((np.maximum(*reach) - offsets) * _MARGIN, least)
    return offsets.astype(np.float32), np.maximum(limits, 1e-6).astype(np.float32)


def _packed(values: Array) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _unpacked(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
