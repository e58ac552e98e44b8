"""What goes on beside other work ends with it alone, whatever becomes of either."""

import logging
import threading
from functools import partial

import pytest

from mintage.api.metrics import Metrics
from mintage.core.background import Rounds, beside, standings
from mintage.core.errors import DependencyDown


def test_it_goes_on_until_the_block_ends_also_where_that_fails() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        stop.wait()
        ended.set()

    def failing() -> None:
        with beside(work, "test", patience_seconds=60):
            assert begun.wait(60)
            assert not ended.is_set()
            raise ValueError("meant")

    with pytest.raises(ValueError, match="meant"):
        failing()
    assert ended.is_set()


def test_what_does_not_end_is_not_waited_for_for_ever() -> None:
    release = threading.Event()
    with beside(lambda __: release.wait(60) and None, "test", patience_seconds=0.01):
        pass
    release.set()


def test_neither_an_error_nor_a_fault_ends_it_and_both_are_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    well = threading.Event()
    waiting = [DependencyDown("The disk is full.", remedy="Make room."), ValueError("a fault")]

    def step() -> None:
        if waiting:
            raise waiting.pop(0)
        well.set()

    rounds = Rounds("test", step, "It cannot be done")
    with (
        caplog.at_level(logging.ERROR),
        beside(partial(rounds.until, every_seconds=0.001), "test", patience_seconds=10),
    ):
        assert well.wait(60)
    assert rounds.failures == 2
    assert not rounds.is_failing
    first, second = caplog.records
    assert first.getMessage() == "It cannot be done: The disk is full. Make room."
    assert first.exc_info is None
    assert second.exc_info is not None


def test_how_it_fares_is_in_the_metrics() -> None:
    def step() -> None:
        raise ValueError

    rounds = Rounds("told", step, "It cannot be told")
    assert not rounds.once()
    assert rounds in standings()
    shown = Metrics().render().decode()
    assert 'mintage_background_failing{work="told"} 1.0' in shown
    assert 'mintage_background_failures_total{work="told"} 1.0' in shown
    Rounds("told", lambda: None, "It cannot be told").once()
    assert 'mintage_background_failing{work="told"} 0.0' in Metrics().render().decode()
