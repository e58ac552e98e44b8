"""Shadows: asked, compared and counted; never given, never waited for."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from mintage.core.errors import RequestError
from mintage.deliver.products import Pointer, Routing

STABLE, SHADOW = Pointer("pets", 1, "a" * 64), Pointer("pets", 2, "b" * 64)


@pytest.fixture
def compared() -> Counter[tuple[str, str, str]]:
    return Counter()


@pytest.fixture
def shadowed(engine_of, shelf):
    """An engine whose product has a shadow for so many percent of the calls."""

    def engine(percent: int = 100, **options: object):
        shelf.current["pets"] = Routing(STABLE, percent=percent, shadow=SHADOW)
        return engine_of(**options)

    return engine


def observe(engine, compared: Counter[tuple[str, str, str]]) -> None:
    engine.compare(lambda *said: compared.update([said]))


async def test_its_answers_are_compared_and_nobody_gets_them(
    shadowed, shelf, picture, compared
) -> None:
    def contrary(provider) -> None:
        if provider.info.version == "2":
            answer = provider._answer
            provider._answer = lambda light: answer(1 - light if light > 0.8 else light)

    shelf.opening = contrary
    async with shadowed() as engine:
        observe(engine, compared)
        for gray in (250, 3, 100):
            served = await engine.answer("pets", picture(gray))
            assert served.info.version == "1"
            assert served.answer.output["label"] == ("light" if gray == 250 else "dark")
    assert compared == {("pets", "2", "different"): 1, ("pets", "2", "same"): 2}


async def test_it_gets_its_share_of_the_calls(shadowed, picture, compared) -> None:
    async with shadowed(percent=30) as engine:
        observe(engine, compared)
        for __ in range(20):
            await engine.answer("pets", picture(250))
    assert compared == {("pets", "2", "same"): 6}


async def test_one_that_is_slow_or_broken_costs_nobody_anything(
    shadowed, shelf, picture, compared, until, monkeypatch
) -> None:
    monkeypatch.setattr("mintage.deliver.shadow._MOST_WAITING", 2)
    async with shadowed() as engine:
        observe(engine, compared)
        await engine.start()
        shadow = next(each for each in shelf.opened if each.info.version == "2")
        shadow.held.clear()
        async with asyncio.timeout(3):
            for __ in range(5):
                await engine.answer("pets", picture(250))
        await until(lambda: compared["pets", "2", "left out"] == 3)
        shadow.held.set()
        await until(lambda: compared["pets", "2", "same"] == 2)
        shadow.poison = 250
        await engine.answer("pets", picture(250))
    assert compared["pets", "2", "error"] == 1


async def test_no_customer_can_ask_for_it(shadowed, engine_of, shelf) -> None:
    async with shadowed() as engine:
        await engine.start()
        assert engine.versions("pets") == ["1"]
        with pytest.raises(RequestError, match="answers with version 1"):
            await engine.current("pets", version="2")
