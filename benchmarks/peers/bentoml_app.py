"""BentoML with a bare predict: one worker, one by one or in its adaptive batches.

Started as ``bentoml serve benchmarks.peers.bentoml_app:Picture``, or ``:Batches``.
"""

from typing import Any

import bentoml
from PIL.Image import Image

from benchmarks.peers.bare import Model
from benchmarks.peers.settings import BATCH

_batched = bentoml.api(route="/predict", batchable=True, max_batch_size=BATCH)
_service = bentoml.service(workers=1, logging={"access": {"enabled": False}})


@_service
class Picture:
    """A picture as the body in, a label out."""

    def __init__(self) -> None:
        self.model = Model.given()

    # On the event loop: 1.3 to 1.6 times its thread's answers for each second of the processor.
    @bentoml.api(route="/predict")  # type: ignore[untyped-decorator]
    async def predict(self, picture: Image, /) -> dict[str, Any]:
        """An answer."""
        return self.model.infer([self.model.pixels(picture)])[0]


@_service
class Batches:
    """The same in batches, which take their inputs by form alone."""

    def __init__(self) -> None:
        self.model = Model.given()

    @_batched  # type: ignore[untyped-decorator]
    async def predict(self, pictures: list[Image]) -> list[dict[str, Any]]:
        """An answer for each."""
        return self.model.infer([self.model.pixels(picture) for picture in pictures])
