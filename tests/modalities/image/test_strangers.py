import numpy as np
import pytest

from mintage.modalities.image.strangers import strangers


@pytest.mark.parametrize("side", [28, 65])
def test_strangers_are_pictures_of_the_side_that_depend_on_the_seed_alone(side):
    first, again, other = strangers(side, 8), strangers(side, 8), strangers(side, 8, seed=1)
    assert [each.shape for each in first] == [(count, side, side, 3) for count in (8, 4, 4, 4)]
    for one, same, different in zip(first, again, other, strict=True):
        assert one.dtype == np.uint8
        assert np.array_equal(one, same)
        assert not np.array_equal(one, different)


def test_each_kind_has_what_it_is_for():
    """Drawings have flat areas that scenes have not; gradients no edge, noises many."""
    steps = [np.abs(np.diff(kind.astype(float), axis=2)).mean(axis=3) for kind in strangers(64, 40)]
    scenes, drawings, gradients, noises = steps
    assert np.median((drawings < 6).mean(axis=(1, 2))) > np.median((scenes < 6).mean(axis=(1, 2)))
    assert np.median(drawings.max(axis=(1, 2))) > 50
    assert gradients.max() < 20
    assert np.median(noises) > 20
