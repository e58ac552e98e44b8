import json

import numpy as np
import pytest

from mintage.bundle.novelty import Detector
from mintage.core.errors import DataError

random = np.random.default_rng(0)
MIX = random.normal(size=(10, 60)).astype(np.float32)


def features(number: int, spread: float = 1.0) -> np.ndarray:
    """60 features that vary in ten directions, as a network's do."""
    inner = random.normal(0, spread, (number, 10)).astype(np.float32)
    return inner @ MIX + random.normal(0, 0.05, (number, 60)).astype(np.float32)


@pytest.fixture(scope="module")
def detector() -> Detector:
    fitted = Detector.fit(features(800), features(200))
    assert fitted is not None
    return fitted


def test_more_of_the_same_is_not_unusual(detector: Detector) -> None:
    assert detector.unusual(features(2000)).mean() < 0.03


def test_a_direction_that_training_never_took_is_unusual(detector: Detector) -> None:
    away = features(200)
    away[:, 7] += 30 * MIX[:, 7].std()
    assert detector.unusual(away).mean() > 0.98
    assert detector.unusual(features(200, spread=6.0)).mean() > 0.9


def test_what_is_no_number_is_unusual(detector: Detector) -> None:
    broken = features(2)
    broken[0, 3] = np.nan
    broken[1, 3] = np.inf
    assert detector.unusual(broken).all()


def test_a_detector_says_the_same_after_it_was_written_and_read(detector: Detector) -> None:
    again = Detector.from_json(json.loads(json.dumps(detector.to_json())))
    seen = features(50)
    assert np.allclose(again.distance(seen), detector.distance(seen), rtol=1e-5)
    assert again.threshold == detector.threshold


def test_constant_features_do_no_harm() -> None:
    train, held = features(100), features(50)
    for part in (train, held):
        part[:, 5] = 3.0
    fitted = Detector.fit(train, held)
    assert fitted is not None
    assert not fitted.unusual(held).all()


def test_too_few_examples_to_say_give_no_detector() -> None:
    assert Detector.fit(features(5), features(5)) is None


@pytest.mark.parametrize(
    "change", [{"algorithm": "v9"}, {"mean": "!"}, {"components": ""}, {"threshold": None}]
)
def test_parameters_that_do_not_fit_are_refused(detector: Detector, change: dict) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Detector.from_json(detector.to_json() | change)
    with pytest.raises(DataError):
        Detector.from_json({})
