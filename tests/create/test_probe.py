"""Before a network is chosen: how fast the machine is, and what would fit into its memory."""

import time
from dataclasses import replace

import pytest
import torch

from mintage.create import memory, probe
from mintage.create.cost import example_ms
from mintage.create.design import compact, seed_cnn

CANDIDATE = compact(examples=3600, typical_side=300, seconds=300)


def test_the_probe_keeps_its_time_and_leaves_threads_and_chance_alone() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    began = time.monotonic()
    assert probe.measure(1, seconds=0.3) > 0
    assert time.monotonic() - began < 30
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_the_probe_tells_slower_steps_from_faster_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = probe.measure(1, seconds=0.3)
    plain = probe.augment

    def slow(*args, **options):  # type: ignore[no-untyped-def]
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            pass
        return plain(*args, **options)

    monkeypatch.setattr(probe, "augment", slow)
    assert probe.measure(1, seconds=0.1) > fast + 0.5 * 1000 / 128 / example_ms(64, 128)


@pytest.mark.parametrize(
    "larger",
    [{"batch_size": 512}, {"width": 4.0}, {"depth": 8}, {"training_sides": (300,)}],
)
def test_memory_grows_with_batch_width_depth_and_side(larger: dict[str, object]) -> None:
    assert memory.memory_needed(replace(CANDIDATE, **larger)) > memory.memory_needed(CANDIDATE)  # type: ignore[arg-type]


def test_float32_takes_more_memory_than_bfloat16() -> None:
    wide = replace(CANDIDATE, precision="float32")
    assert memory.memory_needed(wide) > memory.memory_needed(replace(wide, precision="bfloat16"))


def test_what_is_trained_by_default_fits_into_a_small_machine() -> None:
    assert memory.memory_needed(CANDIDATE) < 10**9
    assert memory.memory_needed(seed_cnn()) < 10**9
