"""The same work on many things, on every core."""

import threading

import pytest

from mintage.core import parallel
from mintage.core.progress import Silent


class Watched(Silent):
    """What a progress display was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def start(self, title: str, total: float | None = None) -> None:
        self.told.append((title, total))

    def advance(self, done: float, note: str = "") -> None:
        del note
        self.told.append(done)

    def finish(self) -> None:
        self.told.append("finished")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 1000])
def test_what_is_made_comes_in_the_order_of_the_things(count: int) -> None:
    shown = Watched()
    made = list(parallel.in_order("Squaring", range(count), lambda each: each * each, shown))
    assert made == [each * each for each in range(count)]
    assert shown.told[0] == ("Squaring", count)
    assert shown.told[-1] == "finished"
    steps = [each for each in shown.told if isinstance(each, int)]
    assert steps == sorted(steps)
    assert steps[-1:] == ([count] if count else [])


def test_no_more_is_made_ahead_than_a_few_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    begun: list[int] = []
    things = parallel.in_order("Reading", range(10_000), begun.append, Silent())
    for __ in range(10):
        next(things)
    assert len(begun) <= 10 + 2 * 8 * (4 + 1)


def test_when_nobody_wants_more_no_more_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    begun: list[int] = []
    going, may_go = threading.Event(), threading.Event()

    def make(each: int) -> int:
        begun.append(each)
        if each >= 8:  # the first part is over, the next have just begun
            going.set()
            may_go.wait(20)
        return each

    things = parallel.in_order("Reading", range(10_000), make, Silent())
    assert next(things) == 0
    assert going.wait(20)
    closing = threading.Thread(target=things.close)  # type: ignore[attr-defined]
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()  # it waits for what has begun
    may_go.set()
    closing.join(20)
    assert not closing.is_alive()
    assert len([each for each in begun if each >= 8]) <= 2


def test_every_core_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 3)
    together = threading.Barrier(3, timeout=20)
    assert list(parallel.in_order("Meeting", range(3), lambda __: together.wait() >= 0, Silent()))


def test_what_goes_wrong_is_raised_at_its_turn_and_ends_the_rest() -> None:
    begun: list[int] = []

    def make(each: int) -> int:
        begun.append(each)
        if each == 50:
            raise ValueError("the fiftieth")
        return each

    found: list[int] = []
    with pytest.raises(ValueError, match="fiftieth"):
        found.extend(parallel.in_order("Reading", range(100_000), make, Silent()))
    assert found == list(range(len(found)))
    assert 40 <= len(found) <= 50
    assert len(begun) < 10_000
