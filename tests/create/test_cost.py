"""The clock gives each size of picture as many steps, not as many seconds."""

import pytest

from mintage.create.cost import example_ms, share_of_steps


def test_parts_of_equal_steps_take_time_by_their_cost() -> None:
    costs = [1.0, 2.0, 5.0]
    for time, steps in ((0.0, 0.0), (0.125, 1 / 3), (0.375, 2 / 3), (0.6875, 5 / 6), (1.0, 1.0)):
        assert share_of_steps(time, costs) == pytest.approx(steps)
    assert share_of_steps(0.4, [3.0]) == pytest.approx(0.4)


def test_steps_taken_by_a_clock_that_costs_are_true_of_are_equal() -> None:
    sides, costs = (48, 64, 96), [example_ms(side, 128) for side in (48, 64, 96)]
    steps, elapsed, total = dict.fromkeys(sides, 0), 0.0, 3000 * sum(costs)
    while elapsed < total:
        at = min(int(share_of_steps(elapsed / total, costs) * 3), 2)
        steps[sides[at]] += 1
        elapsed += costs[at]
    assert all(abs(count - 3000) <= 1 for count in steps.values())
