import json
from pathlib import Path

import numpy as np
import pytest

from mintage.bundle.novelty import Detector
from mintage.core.errors import DataError
from mintage.datasets import drawn_pets
from mintage.modalities.image.reading import decode_square
from mintage.modalities.image.strangers import scenes, strangers

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
    assert np.array_equal(again.unusual(seen), detector.unusual(seen))


def test_constant_features_do_no_harm() -> None:
    train, held = features(100), features(50)
    for part in (train, held):
        part[:, 5] = 3.0
    fitted = Detector.fit(train, held)
    assert fitted is not None
    assert not fitted.unusual(held).all()


def towards(number: int, along: np.ndarray, deviations: float) -> np.ndarray:
    """Features shifted in one direction in which training data do vary, and varied a lot."""
    shift = deviations * along / np.sqrt(10)
    return (features(number) + np.float32(shift)).astype(np.float32)


def test_strangers_teach_a_direction_that_the_distance_alone_does_not_see() -> None:
    along = MIX.sum(axis=0)
    train, held, far = features(800), features(300), towards(200, along, 5.5)
    alone, taught = Detector.fit(train, held), Detector.fit(train, held, [far])
    assert alone is not None
    assert taught is not None
    fresh = towards(300, along, 5.0)
    assert taught.unusual(fresh).mean() > 0.9
    assert taught.unusual(fresh).mean() > alone.unusual(fresh).mean() + 0.5
    assert taught.unusual(features(2000)).mean() < 0.03


def test_strangers_that_are_no_strangers_do_no_harm() -> None:
    fitted = Detector.fit(features(800), features(300), [features(200), features(200)])
    assert fitted is not None
    assert fitted.unusual(features(2000)).mean() < 0.04


def test_a_detector_with_strangers_says_the_same_after_it_was_written_and_read() -> None:
    fitted = Detector.fit(features(200), features(50), [features(60, 3.0), features(60) + 4])
    assert fitted is not None
    written = json.dumps(fitted.to_json())
    again = Detector.from_json(json.loads(written))
    assert again.directions.shape == (2, 60)
    seen = features(50, 2.0)
    assert np.allclose(again.distance(seen), fitted.distance(seen), rtol=1e-5, atol=1e-6)


def test_a_hundred_and_thirty_examples_of_four_hundred_features_are_enough() -> None:
    mix = np.random.default_rng(1).normal(size=(40, 424)).astype(np.float32)

    def wide(number: int, shift: float = 0.0) -> np.ndarray:
        inner = random.normal(shift, 1, (number, 40)).astype(np.float32)
        return inner @ mix + random.normal(0, 0.5, (number, 424)).astype(np.float32)

    fitted = Detector.fit(wide(130), wide(30), [wide(240, 1.5)])
    assert fitted is not None
    assert fitted.unusual(wide(1000)).mean() < 0.05
    assert fitted.unusual(wide(300, 1.5)).mean() > 0.95


def test_the_parameters_stay_small() -> None:
    wide = np.random.default_rng(2).normal(size=(200, 424)).astype(np.float32)
    fitted = Detector.fit(wide, wide, [wide] * 4)
    assert fitted is not None
    assert len(json.dumps(fitted.to_json())) < 100_000


SIDE = 112


def statistics(pixels: np.ndarray) -> np.ndarray:
    """The features that need no training, of uint8[N, S, S, 3]."""
    torch = pytest.importorskip("torch")
    from mintage.modalities.image.networks import picture_statistics

    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return picture_statistics((scaled - 0.45) / 0.25).numpy()


@pytest.fixture(scope="module")
def of_drawings() -> Detector:
    """Fitted to statistics of 120 drawings, without what a network would add."""
    drawn = statistics(drawings(160, seed=1))
    apart = [statistics(each) for each in strangers(SIDE)]
    fitted = Detector.fit(drawn[:120], drawn[120:], apart)
    assert fitted is not None
    return fitted


def drawings(count: int, seed: int) -> np.ndarray:
    return np.stack([np.asarray(each) for _, each in drawn_pets.samples(count, seed, size=SIDE)])


def test_a_detector_of_drawings_takes_other_drawings_and_no_scene(of_drawings: Detector) -> None:
    assert of_drawings.unusual(statistics(drawings(60, seed=2))).mean() < 0.1
    assert of_drawings.unusual(statistics(scenes(SIDE, 60, seed=5))).mean() > 0.75


def test_a_detector_of_drawings_knows_noise_and_flat_pictures(of_drawings: Detector) -> None:
    noise = random.integers(0, 256, (20, SIDE, SIDE, 3), dtype=np.uint8)
    flat = np.broadcast_to(random.integers(0, 256, (20, 1, 1, 3), dtype=np.uint8), noise.shape)
    assert of_drawings.unusual(statistics(noise)).all()
    assert of_drawings.unusual(statistics(np.ascontiguousarray(flat))).all()


def test_a_detector_of_drawings_knows_photographs(of_drawings: Detector, shared_data: Path) -> None:
    files = sorted((shared_data / "pets-valid").rglob("*.jpg"))[::10]
    photographs = np.stack([decode_square(each.read_bytes(), SIDE) for each in files])
    # With the features of a trained network beside them it is 98 %.
    assert of_drawings.unusual(statistics(photographs)).mean() > 0.5


def test_too_few_examples_to_say_give_no_detector() -> None:
    assert Detector.fit(features(5), features(5)) is None


@pytest.mark.parametrize(
    "change", [{"algorithm": "v9"}, {"mean": "!"}, {"components": ""}, {"residual": None}]
)
def test_parameters_that_do_not_fit_are_refused(detector: Detector, change: dict) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Detector.from_json(detector.to_json() | change)
    with pytest.raises(DataError):
        Detector.from_json({})
