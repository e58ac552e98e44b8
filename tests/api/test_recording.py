"""Calls of one turn of the event loop share a write, and none pays for another."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest

from mintage.api.recording import Recorder
from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.types import Permit, ProviderInfo, Receipt, Usage

PERMIT = Permit("cus_1", "key_1", "tones", "basic", 1, {"image": Price("0.02", "EUR")}, "EUR")
USAGE = Usage(
    PERMIT, ProviderInfo("tones", "1", "a", "class", "image"), "stable", "ok", {"image": 1},
    "1", "2", 0.01, 0.01,
)  # fmt: skip


@dataclass
class Books:
    """A Meter that writes down how it was called, and fails where ``bad`` is among the calls."""

    writes: list[list[float]] = field(default_factory=list)
    keyed: list[str | None] = field(default_factory=list)
    at_once: bool = False
    gone: bool = False

    def record(self, usage: Usage) -> Future[Receipt]:
        self.keyed.append(usage.event_id)
        done: Future[Receipt] = Future()
        done.set_result(self._receipt(usage))
        return done

    def record_all(self, usages: list[Usage]) -> Future[list[Receipt]]:
        self.writes.append([usage.latency_seconds for usage in usages])
        done: Future[list[Receipt]] = Future()
        if self.gone:
            done.set_exception(DependencyDown(_("The connection ended.")))
        elif any(usage.outcome == "error" for usage in usages):
            error = ConfigError(_("This is bad."), remedy=_("Mend it."))
            if self.at_once:
                raise error
            done.set_exception(error)
        else:
            done.set_result([self._receipt(usage) for usage in usages])
        return done

    def _receipt(self, usage: Usage) -> Receipt:
        return Receipt(f"rcp_{usage.latency_seconds}", "evt", dict, "0.02", "EUR", final=True)


async def test_what_comes_in_one_turn_is_one_write_and_each_gets_its_own() -> None:
    books = Books()
    recorder = Recorder(books)
    usages = [replace(USAGE, latency_seconds=float(number)) for number in range(5)]
    receipts = await asyncio.gather(*map(recorder.record, usages))
    assert books.writes == [[0.0, 1.0, 2.0, 3.0, 4.0]]
    assert [receipt.id for receipt in receipts] == [f"rcp_{number}.0" for number in range(5)]
    await recorder.record(USAGE)
    assert len(books.writes) == 2


@pytest.mark.parametrize("at_once", [False, True])
async def test_one_that_cannot_be_recorded_fails_alone(at_once: bool) -> None:
    recorder = Recorder(Books(at_once=at_once))
    usages = [USAGE, replace(USAGE, outcome="error"), replace(USAGE, latency_seconds=7.0)]
    first, bad, last = await asyncio.gather(*map(recorder.record, usages), return_exceptions=True)
    assert isinstance(bad, ConfigError)
    assert isinstance(first, Receipt)
    assert isinstance(last, Receipt)
    assert last.id == "rcp_7.0"


async def test_what_may_have_been_written_is_not_written_again() -> None:
    books = Books(gone=True)
    recorder = Recorder(books)
    usages = [replace(USAGE, latency_seconds=float(number)) for number in range(3)]
    found = await asyncio.gather(*map(recorder.record, usages), return_exceptions=True)
    assert [type(each) for each in found] == [DependencyDown] * 3
    assert books.writes == [[0.0, 1.0, 2.0]]


async def test_an_action_of_the_clients_has_a_write_of_its_own() -> None:
    books = Books()
    keyed = replace(USAGE, origin="client", event_id="once")
    await asyncio.gather(Recorder(books).record(keyed), Recorder(books).record(USAGE))
    assert books.keyed == ["once"]
    assert len(books.writes) == 1


async def test_a_call_that_was_given_up_does_not_take_the_others_along() -> None:
    recorder = Recorder(Books())
    left = asyncio.create_task(recorder.record(USAGE))
    stays = asyncio.create_task(recorder.record(replace(USAGE, latency_seconds=2.0)))
    await asyncio.sleep(0)
    left.cancel()
    assert (await stays).id == "rcp_2.0"


async def test_a_call_that_was_not_recorded_in_time_is_not_charged_later(caplog) -> None:
    stalled: list[tuple[list[Usage], Future[list[Receipt]]]] = []

    class Stalled(Books):
        def record_all(self, usages: list[Usage]) -> Future[list[Receipt]]:
            stalled.append((usages, Future()))
            return stalled[-1][1]

    books = Stalled()
    usage = replace(USAGE, latency_seconds=3.0)
    with pytest.raises(TimeoutError):
        await Recorder(books).record(usage, seconds=0.01)
    ((written, done),) = stalled
    assert [each.abandoned for each in written] == [True]
    done.set_result([books._receipt(usage)])  # it was on its way to the disk already
    await asyncio.sleep(0.05)
    assert "rcp_3.0 charges for an answer that was withheld" in caplog.text
