import numpy as np
import pytest
from PIL import Image, ImageEnhance
from tests.pictures import encoded, noise

from mintage.modalities.image import similarity
from mintage.modalities.image.modality import ImageModality
from mintage.modalities.image.similarity import near_duplicates

image = ImageModality()


def fingerprints(*pictures: Image.Image) -> list[bytes]:
    return [image.ingest(encoded(picture, quality=85)).fingerprint for picture in pictures]


def test_a_re_encoded_cropped_and_brightened_copy_is_found() -> None:
    originals = [noise(seed, (200, 160)) for seed in range(30)]
    cropped = originals[3].crop((2, 2, 198, 159))
    brighter = ImageEnhance.Brightness(originals[7]).enhance(1.1)
    smaller = originals[9].resize((100, 80))
    pairs = near_duplicates(fingerprints(*originals, cropped, brighter, smaller))
    assert pairs == [(3, 30), (7, 31), (9, 32)]


def test_different_photographs_are_not_taken_for_copies(shared_data) -> None:
    files = sorted((shared_data / "pets-valid").rglob("*.jpg"))[:200]
    assert len(near_duplicates([image.ingest(f.read_bytes()).fingerprint for f in files])) <= 1


def test_the_pairs_are_those_of_comparing_everything_with_everything() -> None:
    random = np.random.default_rng(1)
    base = random.integers(0, 256, (300, 32), dtype=np.uint8)
    copies = base[:60].copy()
    for row, copy in enumerate(copies):
        bits = np.unpackbits(copy)
        bits[random.choice(256, row % 40, replace=False)] ^= 1
        copies[row] = np.packbits(bits)
    hashes = np.concatenate([base, copies])
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2)
    everything = [(i, j) for i, j in np.argwhere(apart <= 52).tolist() if i < j]
    found = near_duplicates([row.tobytes() for row in hashes])
    assert set(found) <= set(everything)
    assert len(found) >= len(everything) - 1


@pytest.mark.parametrize("same", [False, True])
def test_a_hundred_thousand_take_less_than_quadratic_work(
    same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts comparisons, not seconds; all-alike data are the worst case."""
    compared = 0
    count = np.bitwise_count

    def counting(values: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(values)
        return count(values)

    monkeypatch.setattr(np, "bitwise_count", counting)
    number = 2_000 if same else 100_000
    hashes = np.random.default_rng(0).integers(0, 256, (number, 32), dtype=np.uint8)
    if same:
        hashes[:] = hashes[0]
    near_duplicates([row.tobytes() for row in hashes])
    assert 0 < compared < 40 * 64 * number
    assert same or compared < number * number / 100


def test_bits_are_those_above_the_median() -> None:
    chance = np.random.default_rng(3)
    for __ in range(200):
        gray = chance.uniform(0, 255, (32, 32)).astype(np.float32).round(chance.integers(-1, 3))
        basis = similarity._cosines()
        coefficients = basis @ gray @ basis.T
        coefficients[0, 0] = 0.0
        bits = coefficients > np.median(coefficients)
        assert similarity.fingerprint(gray) == np.packbits(bits).tobytes()


def test_none_and_one_have_no_pairs() -> None:
    assert near_duplicates([]) == near_duplicates([b"\0" * 32]) == []
