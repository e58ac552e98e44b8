"""LitServe with a bare predict: one worker, one by one or in batches of what is queued."""

from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.peers.bare import Model
from benchmarks.stopwatch import arguments


class Picture(litserve.LitAPI):  # type: ignore[misc]
    """A picture's bytes in, a label out."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - there is one device
        """In the worker's process."""
        self.model = Model.given()

    # Raw, as others get it. Not a postponed annotation: the server reads it to know what comes.
    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
        """The graph's input."""
        return self.model.decode(request)

    def predict(self, x: Any) -> Any:
        """An answer; for a list of inputs, a list of answers."""
        return self.model.infer(x) if isinstance(x, list) else self.model.infer([x])[0]


class Batches(Picture):
    """The same for as many as are queued: nothing is waited for."""

    def batch(self, inputs: list[Any]) -> list[Any]:
        """As they are; by default they would be stacked."""
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        """An answer for each."""
        return output


def main() -> None:
    asked = arguments(__doc__, port=8000, batch=1)
    batches = Batches(max_batch_size=asked.batch, batch_timeout=0.0)
    api = batches if asked.batch > 1 else Picture()
    # The fast queue is ZeroMQ: in batches 1.2 to 1.4 times the default's answers for each second
    # of the processor, one by one as many.
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=asked.port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
