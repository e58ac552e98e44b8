"""Who fails is left alone for a while."""

from tests.conftest import ManualClock

from mintage.deliver.upstreams.health import Breaker


def test_after_five_failures_it_rests_and_each_try_that_fails_makes_that_longer(
    clock: ManualClock,
) -> None:
    breaker = Breaker(clock)
    for __ in range(5):
        assert breaker.begin()
        breaker.failed()
    for seconds in (5, 10, 20, 40, 60, 60):
        assert not breaker.begin()
        clock.advance(seconds - 0.1)
        assert not breaker.begin()
        clock.advance(0.2)
        assert breaker.begin()
        assert not breaker.begin(), "one call tries it, no more"
        breaker.failed()
    clock.advance(61)
    assert breaker.begin()
    breaker.succeeded()
    assert breaker.begin()
    assert breaker.begin()
    assert breaker.rests_seconds == 0


def test_failures_that_are_not_in_a_row_count_for_nothing(clock: ManualClock) -> None:
    breaker = Breaker(clock)
    for __ in range(20):
        for __ in range(4):
            breaker.failed()
        breaker.succeeded()
    assert breaker.begin()


def test_a_try_that_never_tells_how_it_ended_is_waited_for_once(clock: ManualClock) -> None:
    breaker = Breaker(clock)
    for __ in range(5):
        breaker.failed()
    clock.advance(5.1)
    assert breaker.begin()
    clock.advance(5.1)
    assert breaker.begin()
