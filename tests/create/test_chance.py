"""What dropout draws goes on where it was, on the processor and on a GPU."""

import pytest
import torch

from mintage.create import chance

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_drawn_after_a_restart_is_what_would_have_been_drawn(device: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        held = chance.states()
        expected = torch.rand(5, device=device)
        torch.manual_seed(2)
        chance.restore(held)
        assert torch.equal(torch.rand(5, device=device), expected)


def test_a_run_that_was_begun_without_a_gpu_goes_on_wherever_it_is() -> None:
    with torch.random.fork_rng():
        chance.restore({"dropout": chance.states()["dropout"]})


def test_a_damaged_state_is_an_error() -> None:
    with torch.random.fork_rng(), pytest.raises(RuntimeError):
        chance.restore({"dropout": torch.zeros(3, dtype=torch.uint8)})
