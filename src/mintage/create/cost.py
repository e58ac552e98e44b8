"""What a step of training takes: measured once, and scaled to the machine by ``probe``."""

from __future__ import annotations

from collections.abc import Sequence


def example_ms(side: int, batch_size: int) -> float:
    """Milliseconds for an example of compact at width and depth 1 on the table's machine.

    That is 2 EPYC cores with bfloat16: 0.56 ms at 48 px and 1.19 ms at 80 px in batches of 128,
    of which each takes 17 ms for Muon, whatever its size.
    """
    return 0.07 + 17 / batch_size + 1.53e-4 * side * side


def share_of_steps(share_of_time: float, costs: Sequence[float]) -> float:
    """How much of the steps is over with so much of the time; 0 to 1 both.

    The steps are in equal parts, of which one step costs ``costs[0]``, then ``costs[1]``, …: parts
    of equal time would give most of the steps to the smallest pictures, which teach least.
    """
    total = sum(costs)
    before = 0.0
    for number, cost in enumerate(costs):
        part = cost / total
        if share_of_time < before + part:
            return (number + (share_of_time - before) / part) / len(costs)
        before += part
    return 1.0
