"""Versions: a publish is noticed while serving; what fails to load changes nothing."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from mintage.core.errors import NotReady, RequestError, SignatureMismatch
from mintage.deliver import versions
from mintage.deliver.products import Pointer, Routing

SECOND = Pointer("pets", 2, "b" * 64)


async def test_a_publish_while_serving_switches_without_a_failed_call(
    engine_of, shelf, picture, until
) -> None:
    seen: list[str] = []
    async with engine_of() as engine:
        await engine.start()

        async def customer() -> None:
            while seen.count("2") < 20:
                seen.append((await engine.answer("pets", picture(9))).info.version)

        calling = asyncio.gather(*(customer() for _ in range(4)))
        await until(lambda: len(seen) > 10)
        shelf.current["pets"] = SECOND
        await asyncio.wait_for(calling, 5)
    assert seen[0] == "1"
    assert set(seen[seen.index("2") + 8 :]) == {"2"}  # no way back, but for calls in flight


async def test_a_version_answers_only_after_it_was_warmed(engine_of, shelf, picture) -> None:
    async with engine_of() as engine:
        await engine.start()
        assert shelf.opened[0].batches == [1]


async def test_loading_leaves_the_old_version_answering_meanwhile(
    engine_of, shelf, picture, until
) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def slowly(provider: object) -> None:
        loading.set()
        loaded.wait(5)

    async with engine_of() as engine:
        await engine.start()
        shelf.opening = slowly
        shelf.current["pets"] = SECOND
        await until(loading.is_set)
        assert (await engine.answer("pets", picture(9))).info.version == "1"
        loaded.set()
        await until(lambda: len(shelf.opened) == 2)


@pytest.mark.parametrize("fault", ["signature", "digest", "warm-up"])
async def test_a_broken_bundle_keeps_the_old_version_and_is_logged(
    engine_of, shelf, picture, until, caplog, fault
) -> None:
    def broken(provider) -> None:
        if fault == "signature":
            raise SignatureMismatch("One byte of model.onnx differs.")
        if fault == "digest":
            object.__setattr__(provider.info, "bundle_digest", "c" * 64)
        else:
            provider.poison = 128

    async with engine_of() as engine:
        await engine.start()
        shelf.opening = broken
        shelf.current["pets"] = SECOND
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.1)
        assert (await engine.answer("pets", picture(9))).info.version == "1"
        assert engine.ready("pets")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1  # not once a poll
    assert "pets@2 cannot be loaded" in errors[0].getMessage()


async def test_a_good_version_after_a_broken_one_is_taken(engine_of, shelf, picture, until) -> None:
    def broken(provider: object) -> None:
        raise SignatureMismatch("broken")

    async with engine_of() as engine:
        await engine.start()
        shelf.opening = broken
        shelf.current["pets"] = SECOND
        await asyncio.sleep(0.1)
        shelf.opening = lambda provider: None
        shelf.current["pets"] = Pointer("pets", 3, "d" * 64)
        await until(lambda: len(shelf.opened) == 2)
        await until(lambda: shelf.opened[1].batches == [1])
        await asyncio.sleep(0.05)
        assert (await engine.answer("pets", picture(9))).info.version == "3"


async def test_a_product_published_a_moment_ago_answers_its_first_call(
    engine_of, shelf, picture
) -> None:
    async with engine_of(poll_seconds=60) as engine:
        await engine.start()
        shelf.current["new"] = Pointer("new", 1, "e" * 64)
        assert (await engine.answer("new", picture(9))).info.model == "new"


async def test_nothing_published_is_not_ready(engine_of, shelf, picture) -> None:
    shelf.current.clear()
    async with engine_of() as engine:
        await engine.start()
        assert not engine.ready()
        with pytest.raises(NotReady):
            await engine.answer("pets", picture(9))


async def test_draining_is_not_ready_but_still_answers_what_was_taken(
    engine_of, shelf, picture
) -> None:
    async with engine_of() as engine:
        await engine.start()
        assert engine.ready()
        engine.retire()
        assert not engine.ready()
        assert not engine.ready("pets")
        engine.check("pets")  # and still answers
        engine.drain()
        assert not engine.ready()
        with pytest.raises(NotReady):
            engine.check("pets")
        assert (await engine.answer("pets", picture(9))).answer.output["label"] == "dark"


async def test_a_catalogue_that_fails_leaves_what_is_loaded_answering(
    engine_of, shelf, picture, until, caplog, monkeypatch
) -> None:
    async with engine_of() as engine:
        await engine.start()

        def down(alias: str = "stable") -> dict[str, Pointer]:
            raise OSError("disk gone")

        monkeypatch.setattr(shelf, "routings", down)
        await until(lambda: "disk gone" in caplog.text)
        await asyncio.sleep(0.1)
        assert caplog.text.count("disk gone") == 1  # not once a poll
        assert (await engine.answer("pets", picture(9))).info.version == "1"


async def test_a_canary_answers_its_share_of_the_customers_and_always_the_same(
    engine_of, shelf, picture
) -> None:
    customers = [f"cus_{number}" for number in range(200)]
    shelf.current["pets"] = Routing(Pointer("pets", 1, "a" * 64), SECOND, percent=20)
    async with engine_of() as engine:
        await engine.start()
        first = [(await engine.current("pets", each)).info.version for each in customers]
        again = [(await engine.current("pets", each)).alias for each in customers]
        assert first.count("2") == pytest.approx(40, abs=20)
        assert again == ["canary" if version == "2" else "stable" for version in first]
        tried = customers[first.index("2")]
        served = await engine.answer("pets", picture(9), await engine.current("pets", tried))
        assert (served.info.version, served.alias) == ("2", "canary")
        # Whoever names a version gets it, by whichever alias it answers.
        assert (await engine.current("pets", tried, "1")).alias == "stable"
        with pytest.raises(RequestError, match="not 3"):
            await engine.current("pets", tried, "3")


async def test_calls_of_two_versions_that_come_in_turn_still_make_batches(
    engine_of, shelf, picture, until
) -> None:
    shelf.current["pets"] = Routing(Pointer("pets", 1, "a" * 64), SECOND, percent=50)
    async with engine_of(threads=1) as engine:
        await engine.start()
        stable = await engine.current("pets", "cus", "1")
        canary = await engine.current("pets", "cus", "2")
        held = {each.info.version: each.provider for each in (stable, canary)}
        held["1"].held.clear()
        calls = [asyncio.create_task(engine.answer("pets", picture(9), stable))]
        await until(lambda: len(held["1"].begun) == 2)
        for loaded in (canary, stable) * 4:
            calls.append(asyncio.create_task(engine.answer("pets", picture(9), loaded)))
        await until(lambda: engine.queues() == {"pets": 9})
        held["1"].held.set()
        versions = [served.info.version for served in await asyncio.gather(*calls)]
    assert versions == ["1", *["2", "1"] * 4]
    assert [each.batches for each in held.values()] == [[1, 1, 4], [1, 4]]


async def test_a_larger_share_takes_nobodys_canary_away() -> None:
    customers = [f"cus_{number}" for number in range(500)]

    def tried(percent: int) -> set[str]:
        routing = Routing(Pointer("pets", 1, "a" * 64), SECOND, percent)
        return {each for each in customers if routing.alias_for("pets", each) == "canary"}

    assert tried(5) < tried(50) < tried(99)


async def test_a_canary_that_cannot_be_loaded_leaves_all_customers_the_stable_version(
    engine_of, shelf, picture
) -> None:
    def broken(provider) -> None:
        if provider.info.version == "2":
            raise SignatureMismatch("broken")

    shelf.opening = broken
    shelf.current["pets"] = Routing(Pointer("pets", 1, "a" * 64), SECOND, percent=99)
    async with engine_of() as engine:
        await engine.start()
        seen = {(await engine.current("pets", f"cus_{n}")).info.version for n in range(50)}
    assert seen == {"1"}


async def test_going_back_loads_nothing_and_is_followed_at_once(
    engine_of, shelf, picture, until
) -> None:
    shelf.changes = 0
    async with engine_of(poll_seconds=60) as engine:  # nothing but the number tells
        await engine.start()
        for round_, pointer in enumerate([SECOND, Pointer("pets", 1, "a" * 64)] * 100):
            shelf.current["pets"], shelf.changes = pointer, round_ + 1
            while (await engine.current("pets")).pointer != pointer:
                await engine.answer("pets", picture(9))
        assert len(shelf.opened) == 2


async def test_a_version_that_failed_is_tried_again_without_a_further_publish(
    engine_of, shelf, picture, until, monkeypatch
) -> None:
    def broken(provider: object) -> None:
        raise SignatureMismatch("being restored")

    monkeypatch.setattr(versions, "_RETRY_SECONDS", 0.1)
    async with engine_of() as engine:
        await engine.start()
        shelf.opening = broken
        shelf.current["pets"] = SECOND
        await asyncio.sleep(0.3)
        assert (await engine.answer("pets", picture(9))).info.version == "1"
        shelf.opening = lambda provider: None
        await until(lambda: len(shelf.opened) == 2)
        await until(lambda: shelf.opened[1].batches == [1])
        await asyncio.sleep(0.05)
        assert (await engine.answer("pets", picture(9))).info.version == "2"


async def test_the_log_says_which_version_answers_also_where_one_goes_back(
    engine_of, shelf, until, caplog
) -> None:
    caplog.set_level(logging.INFO)
    first = shelf.current["pets"]
    async with engine_of() as engine:
        await engine.start()
        for pointer in (SECOND, first):
            shelf.current["pets"] = pointer
            await until(lambda p=pointer: engine.versions("pets") == [str(p.version)])
    said = [record.getMessage() for record in caplog.records if "answers now" in record.msg]
    assert said == [f"Product pets: pets@{n} answers now as stable." for n in (1, 2, 1)]
