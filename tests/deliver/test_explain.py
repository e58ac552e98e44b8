from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mintage.bundle.predictor import Explanation
from mintage.core.errors import DataError, Overloaded, ServiceError
from mintage.core.types import Answer, ProviderInfo
from mintage.deliver.explain import Explanations
from mintage.deliver.products import Pointer
from mintage.deliver.versions import Loaded


class Explainer:
    """Explains by where a picture is light; can be held, and made to abstain or fail."""

    def __init__(self, version: int) -> None:
        self.info = ProviderInfo("pets", str(version), "a" * 64, task="class", modality="image")
        self.held = threading.Event()
        self.held.set()
        self.begun = threading.Event()
        self.explained = 0
        self.at_once = self.most_at_once = 0
        self.fault: Exception | None = None
        self.abstains = False

    def explain(self, data: bytes) -> Explanation:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        try:
            self.held.wait(10)
            if self.fault is not None:
                raise self.fault
            self.explained += 1
            if self.abstains:
                return Explanation(Answer("class", {"label": None}, abstained=True), None, None)
            found = np.asarray(Image.open(io.BytesIO(data)).convert("L").resize((4, 4)))
            answer = Answer("class", {"label": "light"}, compute_seconds=99.0)
            return Explanation(answer, found.astype(np.float32) / 255, "light")
        finally:
            self.at_once -= 1


class Bench:
    """A lane over explainers by version, and the version that answers."""

    def __init__(self) -> None:
        self.explainers: dict[int, Explainer] = {}
        self.opened: list[int] = []
        self.version = 1

    def open(self, model: str, version: int, digest: str) -> Explainer:
        self.opened.append(version)
        return self.explainers.setdefault(version, Explainer(version))

    def current(self, alias: str = "stable") -> Loaded:
        explainer: Any = self.explainers.setdefault(self.version, Explainer(self.version))
        return Loaded(explainer, Pointer("pets", self.version, "a" * 64), alias)

    @property
    def explainer(self) -> Explainer:
        return self.explainers.setdefault(self.version, Explainer(self.version))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def lane(bench: Bench) -> Any:
    made: list[Explanations] = []

    def make(**options: Any) -> Explanations:
        made.append(Explanations(bench.open, **options))
        return made[-1]

    yield make
    for explainer in bench.explainers.values():
        explainer.held.set()
    for each in made:
        await each.close()


Lane = Callable[..., Explanations]


@pytest.fixture
def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 20), (200, 200, 200)).save(stream, "PNG")
    return stream.getvalue()


async def test_an_answer_comes_with_its_map_and_the_time_that_both_took(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    found = await lane().explain("pets", picture, drawn=False, by=bench.current())
    assert found.answer.output == {"label": "light"}
    assert found.map is not None
    assert found.map.shape == (4, 4)
    assert found.png is None
    assert (found.info.version, found.alias) == ("1", "stable")
    assert 0 <= found.answer.compute_seconds < 5  # not what the answer alone said


async def test_a_drawing_is_the_picture_in_its_own_proportions(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    found = await lane().explain("pets", picture, drawn=True, by=bench.current())
    assert found.png is not None
    with Image.open(io.BytesIO(found.png)) as image:
        assert (image.format, image.width) == ("PNG", 512)
        assert 256 <= image.height < 300  # and the strip with what the colours stand for


async def test_what_abstains_has_neither_map_nor_drawing(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    bench.explainer.abstains = True
    found = await lane().explain("pets", picture, drawn=True, by=bench.current())
    assert (found.map, found.png, found.answer.abstained) == (None, None, True)


async def test_one_at_a_time_and_no_more_than_may_wait(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    explanations = lane(most_waiting=3)
    bench.explainer.held.clear()
    calls = [
        asyncio.create_task(explanations.explain("pets", picture, drawn=False, by=bench.current()))
        for __ in range(3)
    ]
    await asyncio.to_thread(bench.explainer.begun.wait, 10)
    with pytest.raises(Overloaded, match="3 explanations") as full:
        explanations.check()
    assert (full.value.http_status, full.value.retry_after_seconds) == (503, 2)
    with pytest.raises(Overloaded):
        await explanations.explain("pets", picture, drawn=False, by=bench.current())
    bench.explainer.held.set()
    await asyncio.gather(*calls)
    explanations.check()
    assert (bench.explainer.explained, bench.explainer.most_at_once) == (3, 1)


async def test_what_waits_at_its_deadline_is_never_begun_and_what_runs_still_counts(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    explanations = lane(most_waiting=2, deadline_seconds=0.05)
    bench.explainer.held.clear()
    calls = [
        asyncio.create_task(explanations.explain("pets", picture, drawn=False, by=bench.current()))
        for __ in range(2)
    ]
    for call in calls:
        with pytest.raises(ServiceError, match=r"within 0\.05 seconds") as late:
            await call
        assert late.value.http_status == 504
    explanations.check()  # of the two the waiting one is gone
    bench.explainer.held.set()
    await explanations.close()
    assert bench.explainer.explained == 1


async def test_a_failure_is_handed_to_whoever_waits_and_the_next_is_explained(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    explanations = lane()
    bench.explainer.fault = DataError("not a picture")
    with pytest.raises(DataError, match="not a picture"):
        await explanations.explain("pets", picture, drawn=False, by=bench.current())
    bench.explainer.fault = None
    await explanations.explain("pets", picture, drawn=False, by=bench.current())


async def test_a_version_is_opened_once_and_again_only_when_another_answers(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    explanations = lane()
    for version in (1, 1, 2, 2):
        bench.version = version
        found = await explanations.explain("pets", picture, drawn=False, by=bench.current())
        assert found.info.version == str(version)
    assert bench.opened == [1, 2]


async def test_a_canary_and_the_stable_version_stay_open_side_by_side(
    lane: Lane, bench: Bench, picture: bytes
) -> None:
    explanations = lane()
    for version, alias in ((1, "stable"), (2, "canary")) * 3:
        bench.version = version
        found = await explanations.explain("pets", picture, drawn=False, by=bench.current(alias))
        assert (found.info.version, found.alias) == (str(version), alias)
    assert bench.opened == [1, 2]
