"""Mirror images are decided by what they cost on validation data."""

import pytest
import torch

from mintage.create.flips import measure

LABELS = torch.tensor([0, 1] * 50)


def losses(plain, across, down):
    """Losses as a network would give them: the same for every example."""
    values = {(): plain, (3,): across, (2,): down}
    return lambda axes, __: torch.full((100,), values[axes])


@pytest.mark.parametrize(
    ("across", "down", "chosen"),
    [
        (0.2, 0.2, "both"),
        (0.25, 0.25, "both"),
        (0.21, 0.6, "horizontal"),
        (0.9, 0.21, "vertical"),
        (1.5, 1.5, "none"),
    ],
)
def test_what_costs_little_of_what_was_learned_is_allowed(across, down, chosen):
    assert measure(losses(0.2, across, down), LABELS).chosen == chosen


def test_costs_are_shares_of_what_was_learned():
    found = measure(losses(0.2, 0.3, 0.693147), LABELS)
    assert found.across == pytest.approx(0.1 / (0.693147 - 0.2), abs=1e-3)
    assert found.down == pytest.approx(1.0, abs=1e-3)
    assert "20%" in found.because


def test_a_network_that_has_learned_next_to_nothing_is_not_asked():
    assert measure(losses(0.68, 0.1, 0.1), LABELS) is None
    assert measure(losses(float("nan"), 0.1, 0.1), LABELS) is None


def test_what_chance_could_make_is_not_called_learned():
    scattered = torch.tensor([0.0, 1.3] * 50)  # 0.65 on average, give or take 0.065
    assert measure(lambda *__: scattered, LABELS) is None
    assert measure(lambda *__: scattered / 2, LABELS).chosen == "both"


def test_of_uneven_classes_ignorance_is_knowing_their_shares():
    rare = torch.tensor([0] * 95 + [1] * 5)  # whoever knows the shares alone loses 0.199
    assert measure(losses(0.195, 0.1, 0.1), rare) is None
    assert measure(losses(0.10, 0.10, 0.10), rare).chosen == "both"


def test_what_seems_to_cost_too_much_by_chance_alone_is_asked_again():
    plain = torch.full((100,), 0.2)
    scattered = torch.tensor([-0.5, 0.8] * 50) + 0.2  # 0.15 more on average, give or take 0.065
    given = {(): plain, (3,): scattered, (2,): plain}
    assert measure(lambda axes, __: given[axes], LABELS) is None
    assert measure(lambda axes, __: given[axes], LABELS, last=True).chosen == "vertical"
    certain = {**given, (3,): plain + 0.15}
    assert measure(lambda axes, __: certain[axes], LABELS).chosen == "vertical"


def test_a_network_that_is_surer_than_it_is_right_is_asked_all_the_same():
    """Four of five are right, with such certainty that the loss says it knows nothing."""
    right = torch.tensor([1.0] * 80 + [-1.0] * 20)
    guessed = torch.tensor([1.0, -1.0] * 50)
    logits = {(): 12 * right, (3,): 12 * right, (2,): 12 * guessed}

    def losses_of(axes, temperature):
        return torch.nn.functional.softplus(-logits[axes] / temperature)

    plain = float(losses_of((), 1.0).mean())
    assert plain > 0.693
    assert measure(losses_of, LABELS).chosen == "horizontal"
