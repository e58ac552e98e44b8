"""What a server is joined from, as the settings say."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mintage.app.root import App
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
        app.deliver.publish("pets", "pets")
        asyncio.run(answered(app))
    assert [batch.items for batch in told] == [2, 1]
    assert told[1].queue_seconds[0] >= 0.05
