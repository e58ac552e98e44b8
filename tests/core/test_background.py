"""What goes on beside other work ends with it, whatever becomes of that."""

import threading

import pytest

from mintage.core.background import beside


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
