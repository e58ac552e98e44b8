"""What a server is joined from, as the settings say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mintage.app.root import App
from mintage.core.errors import NotReady, ServiceError, SignatureMismatch
from mintage.core.settings import load_settings
from mintage.core.types import Batch


def test_calls_are_answered_together_as_the_settings_say(home: Path, trained_home: Path) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    told: list[Batch] = []

    async def answered(app: App) -> None:
        engine = app.deliver.serving().engine
        engine.observe(lambda _product, batch: told.append(batch))
        await engine.start()
        try:
            await asyncio.gather(*(engine.answer("pets", picture) for _ in range(3)))
        finally:
            await engine.close()

    settings = load_settings(home=home, threads=1, max_batch=2, batch_delay_ms=50)
    with App(settings) as app:
        app.publishing.publish("pets", "pets")
        asyncio.run(answered(app))
    assert [batch.items for batch in told] == [2, 1]
    assert told[1].queue_seconds[0] >= 0.05


def test_a_damaged_bundle_takes_no_other_product_with_it(
    home: Path, trained_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()

    async def answered(app: App) -> None:
        engine = app.deliver.serving().engine
        await engine.start()
        try:
            assert (await engine.answer("pets", picture)).info.version == "1"
            with pytest.raises(NotReady):
                await engine.answer("other", picture)
        finally:
            await engine.close()

    with App(load_settings(home=home, threads=1)) as app:
        app.create.train("pets", recipe="seed-cnn", epochs=1, report=False, model="other")
        app.publishing.publish("pets", "pets")
        app.publishing.publish("other", "other")
    change(home / "models/other/1/model.onnx")
    with App(load_settings(home=home, threads=1)) as app:
        asyncio.run(answered(app))
        assert "other@1 cannot be loaded (SignatureMismatch" in caplog.text
        with pytest.raises(NotReady, match="'other'"):
            app.deliver.offers.card("other")
    change(home / "models/pets/1/model.onnx")
    with (
        App(load_settings(home=home, threads=1)) as app,
        pytest.raises(SignatureMismatch, match=r"model\.onnx was changed"),
    ):
        app.deliver.serving()


def test_an_explanation_has_as_long_as_the_settings_say(home: Path, trained_home: Path) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()

    async def explained(app: App) -> None:
        parts = app.deliver.serving()
        await parts.engine.start()
        try:
            by = await parts.engine.current("pets")
            with pytest.raises(ServiceError, match=r"within 0\.001 seconds"):
                await parts.explanations.explain("pets", picture, drawn=True, by=by)
        finally:
            await parts.explanations.close()
            await parts.engine.close()

    with App(load_settings(home=home, threads=1, deadline_seconds=0.001)) as app:
        app.publishing.publish("pets", "pets")
        asyncio.run(explained(app))


def change(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
