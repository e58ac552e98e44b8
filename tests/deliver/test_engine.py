"""The engine: batches, bounds, deadlines, and bad inputs among good ones."""

from __future__ import annotations

import asyncio
import time

import pytest

from mintage.core.effort import Effort
from mintage.core.errors import DataError, NotReady, Overloaded, ServiceError
from mintage.core.types import Batch


async def test_a_picture_is_answered_by_the_current_version(engine_of, picture) -> None:
    async with engine_of() as engine:
        served = await engine.answer("pets", picture(250))
    assert served.answer.output["label"] == "light"
    assert (served.info.model, served.info.version, served.alias) == ("pets", "1", "stable")


async def test_compute_time_is_the_providers_and_the_decoding_threads(engine_of, picture) -> None:
    async with engine_of() as engine:
        served = await engine.answer("pets", picture(250))
    assert 0.25 < served.answer.compute_seconds < 0.35


async def test_one_bad_picture_among_concurrent_good_ones_fails_alone(engine_of, picture) -> None:
    inputs = [picture(250), b"no picture", picture(3), picture(240)]
    async with engine_of() as engine:
        results = await asyncio.gather(
            *(engine.answer("pets", data) for data in inputs), return_exceptions=True
        )
    assert isinstance(results[1], DataError)
    assert results[1].message == "This upload cannot be read: not a picture."
    labels = [result.answer.output["label"] for at, result in enumerate(results) if at != 1]
    assert labels == ["light", "dark", "light"]


async def test_an_input_that_breaks_the_inference_of_its_batch_fails_alone(
    engine_of, shelf, picture
) -> None:
    async with engine_of() as engine:
        await engine.start()
        provider = shelf.opened[0]
        provider.poison = 77
        provider.held.clear()
        calls = [
            asyncio.create_task(engine.answer("pets", picture(gray))) for gray in (250, 77, 3, 240)
        ]
        await asyncio.sleep(0.1)
        provider.held.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[1], ArithmeticError)
    assert [results[at].answer.output["label"] for at in (0, 2, 3)] == ["light", "dark", "light"]


async def test_what_waits_together_is_inferred_together_and_never_above_the_bound(
    engine_of, shelf, picture, until
) -> None:
    told: list[tuple[str, Batch]] = []
    async with engine_of(max_batch=8, threads=1) as engine:
        engine.observe(lambda product, batch: told.append((product, batch)))
        await engine.start()
        provider = shelf.opened[0]
        provider.batches.clear()  # the warm-up
        provider.held.clear()
        calls = [asyncio.create_task(engine.answer("pets", picture(9))) for _ in range(20)]
        # The first batch is held, the rest queue up behind it.
        await until(lambda: len(provider.begun) == 2)
        await until(lambda: engine.queues() == {"pets": 20})
        provider.held.set()
        await asyncio.gather(*calls)
    assert sum(provider.batches) == 20
    assert max(provider.batches) == 8
    assert [(product, batch.items) for product, batch in told] == [
        ("pets", items) for items in provider.batches
    ]
    assert all(len(batch.queue_seconds) == batch.items for __, batch in told)
    assert all(batch.decode_seconds > 0 and batch.infer_seconds > 0 for __, batch in told)


async def test_a_large_upload_shares_its_batch_with_nobody(
    engine_of, shelf, picture, until
) -> None:
    large = picture(250) + bytes(1_900_000)
    async with engine_of(threads=1) as engine:
        await engine.start()
        provider = shelf.opened[0]
        provider.held.clear()
        calls = [asyncio.create_task(engine.answer("pets", picture(9)))]
        await until(lambda: len(provider.begun) == 2)
        calls += [
            asyncio.create_task(engine.answer("pets", data))
            for data in (large, large, picture(9), picture(9))
        ]
        await until(lambda: engine.queues() == {"pets": 5})
        provider.held.set()
        await asyncio.gather(*calls)
    assert provider.batches == [1, 1, 1, 3]  # the warm-up, the first, one large, the rest


async def test_with_a_delay_calls_that_come_one_by_one_are_answered_together(
    engine_of, shelf, picture
) -> None:
    async with engine_of(threads=1, batch_delay_seconds=0.2) as engine:
        await engine.start()
        calls = []
        for _ in range(3):
            calls.append(asyncio.create_task(engine.answer("pets", picture(9))))
            await asyncio.sleep(0.01)
        await asyncio.gather(*calls)
    assert shelf.opened[0].batches == [1, 3]


async def test_a_full_batch_waits_for_no_delay(engine_of, shelf, picture) -> None:
    async with engine_of(threads=1, max_batch=2, batch_delay_seconds=1.5) as engine:
        await engine.start()
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(engine.answer("pets", picture(9)))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, engine.answer("pets", picture(9)))
        assert asyncio.get_running_loop().time() - began < 1
    assert shelf.opened[0].batches == [1, 2]


async def test_pictures_that_take_long_to_decode_keep_no_others_waiting(
    engine_of, shelf, picture, until, monkeypatch
) -> None:
    async with engine_of(threads=1) as engine:
        await engine.start()
        provider = shelf.opened[0]
        decode = provider.decode

        def slowly(data: bytes) -> object:
            if data.endswith(b"slow"):
                time.sleep(0.3)
            return decode(data)

        monkeypatch.setattr(provider, "decode", slowly)
        provider.held.clear()
        calls = [asyncio.create_task(engine.answer("pets", picture(9)))]
        await until(lambda: len(provider.begun) == 2)
        slow = picture(9) + b"slow"
        for data in (picture(1), slow, slow, picture(2)):
            calls.append(asyncio.create_task(engine.answer("pets", data)))
        await until(lambda: engine.queues() == {"pets": 5})
        provider.held.set()
        await asyncio.gather(*calls)
    assert provider.batches == [1, 1, 2, 1, 1]  # each slow one is the last of its batch
    assert len(provider.decoded) == 6  # and none is decoded twice


async def test_a_lone_call_waits_for_no_batch(engine_of, shelf, picture) -> None:
    async with engine_of() as engine:
        await engine.answer("pets", picture(1))
        await engine.answer("pets", picture(1))
    assert shelf.opened[0].batches == [1, 1, 1]  # the warm-up and each call by itself


async def test_a_call_that_comes_just_as_the_last_batch_ends_waits_for_nobody_else(
    engine_of, picture
) -> None:
    late: list[asyncio.Task[object]] = []
    async with engine_of(threads=1) as engine:

        def come(product: str, batch: Batch) -> None:
            if not late:  # its first step is after the batch's last and before anything later
                late.append(asyncio.create_task(engine.answer(product, picture(3))))

        engine.observe(come)
        await engine.answer("pets", picture(250))
        async with asyncio.timeout(3):
            served = await late[0]
    assert served.answer.output["label"] == "dark"


async def test_calls_beyond_the_queue_are_refused_at_once_with_a_time_to_come_back(
    engine_of, shelf, picture, until
) -> None:
    async with engine_of(max_queue=3) as engine:
        await engine.start()
        shelf.opened[0].held.clear()
        taken = [asyncio.create_task(engine.answer("pets", picture(9))) for _ in range(3)]
        await until(lambda: engine.queues() == {"pets": 3})
        with pytest.raises(Overloaded) as refused:
            await engine.answer("pets", picture(9))
        with pytest.raises(Overloaded):
            engine.check("pets")
        shelf.opened[0].held.set()
        await asyncio.gather(*taken)
        assert engine.queues() == {"pets": 0}
        await engine.answer("pets", picture(9))
    assert refused.value.retry_after_seconds == 1
    assert refused.value.http_status == 503


async def test_a_call_that_misses_its_deadline_is_a_504_and_holds_no_place(
    engine_of, shelf, picture
) -> None:
    async with engine_of(deadline_seconds=0.05) as engine:
        await engine.start()
        shelf.opened[0].held.clear()
        with pytest.raises(ServiceError) as missed:
            await engine.answer("pets", picture(9))
        assert missed.value.http_status == 504
        assert engine.queues() == {"pets": 0}
        shelf.opened[0].held.set()
        assert (await engine.answer("pets", picture(9))).answer.output["label"] == "dark"


async def test_what_was_given_up_while_it_waited_is_not_inferred(
    engine_of, shelf, picture, until
) -> None:
    async with engine_of(deadline_seconds=0.1, threads=1) as engine:
        await engine.start()
        provider = shelf.opened[0]
        provider.held.clear()
        calls = [asyncio.create_task(engine.answer("pets", picture(9)))]
        await until(lambda: provider.begun == [1, 1])  # the warm-up, and this one
        calls += [asyncio.create_task(engine.answer("pets", picture(9))) for _ in range(4)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, ServiceError) for result in results)
        provider.held.set()
        await engine.close()
    assert provider.begun == [1, 1]


async def test_closing_answers_what_was_taken_and_refuses_what_comes_later(
    engine_of, shelf, picture
) -> None:
    async with engine_of() as engine:
        await engine.start()
        shelf.opened[0].held.clear()
        taken = asyncio.create_task(engine.answer("pets", picture(250)))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        with pytest.raises(NotReady):
            await engine.answer("pets", picture(250))
        shelf.opened[0].held.set()
        await closing
        assert (await taken).answer.output["label"] == "light"


async def test_decoding_and_inference_leave_the_event_loop_free(engine_of, shelf, picture) -> None:
    async with engine_of() as engine:
        await engine.start()
        shelf.opened[0].held.clear()
        call = asyncio.create_task(engine.answer("pets", picture(9)))
        ticks = 0
        while ticks < 20:
            await asyncio.sleep(0.005)
            ticks += 1
        assert not call.done()
        shelf.opened[0].held.set()
        await call


async def test_what_a_call_computed_is_known_where_its_time_was_up(
    engine_of, shelf, picture
) -> None:
    async with engine_of(deadline_seconds=0.1) as engine:
        await engine.start()
        shelf.opened[0].held.clear()
        effort = Effort()
        with pytest.raises(ServiceError):
            await engine.answer("pets", picture(9), effort=effort)
        assert 0 < effort.seconds < 5
        shelf.opened[0].held.set()


async def test_what_a_call_computed_is_known_where_inference_fails(
    engine_of, shelf, picture
) -> None:
    async with engine_of() as engine:
        await engine.start()
        shelf.opened[0].poison = 9
        effort = Effort()
        with pytest.raises(ArithmeticError):
            await engine.answer("pets", picture(9), effort=effort)
        assert 0 < effort.seconds < 1
        served = await engine.answer("pets", picture(200), effort=effort)
        assert effort.seconds == served.answer.compute_seconds


async def test_a_call_that_only_waited_computed_nothing(engine_of, shelf, picture, until) -> None:
    async with engine_of(deadline_seconds=0.1, threads=1) as engine:
        await engine.start()
        provider = shelf.opened[0]
        provider.held.clear()
        first = asyncio.create_task(engine.answer("pets", picture(9)))
        await until(lambda: provider.begun == [1, 1])
        effort = Effort()
        with pytest.raises(ServiceError):
            await engine.answer("pets", picture(9), effort=effort)
        assert effort.seconds == 0
        provider.held.set()
        await asyncio.gather(first, return_exceptions=True)
