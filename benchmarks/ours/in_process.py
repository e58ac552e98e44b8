"""The limit of any server: decode and infer in a loop, one thread, with nothing around it.

The ways are our predictor one by one, the same in batches of 32, and a bare predict with Pillow, as
the servers beside ours are given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

from benchmarks.stopwatch import Stopwatch, answer, arguments

BATCH = 32


def rates(
    run: Callable[[list[bytes]], object], pictures: list[bytes], seconds: float
) -> tuple[float, float]:
    """Pictures for each second by the clock, and for each of the processor, in portions of a batch.

    Over at least ``seconds``, after a tenth of that: the first are slow.
    """
    portions = cycle(pictures)
    for each in (seconds / 10, seconds):
        done, began, used = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < each:
            run(list(islice(portions, BATCH)))
            done += BATCH
    return done / (time.perf_counter() - began), done / (time.process_time() - used)


def main() -> None:
    asked = arguments(__doc__, "home", "pictures", model="", seconds=10.0)
    watch = Stopwatch(asked.started)
    import numpy as np

    import mintage
    from benchmarks.peers.bare import Model

    app = mintage.open_workspace(asked.home)
    bundle = app.create.model(asked.model)
    predictor = app.create.open(bundle)
    name, __, version = asked.model.partition("@")
    bare = Model(Path(asked.home) / "models" / name / version)
    pictures = [path.read_bytes() for path in sorted(asked.pictures.iterdir())]
    watch.lap("open")

    def one_by_one(some: list[bytes]) -> None:
        for data in some:
            predictor.predict(data)

    def in_batches(some: list[bytes]) -> None:
        predictor.infer(np.stack([predictor.decode(data) for data in some]))

    def with_pillow(some: list[bytes]) -> None:
        for data in some:
            bare.infer([bare.decode(data)])

    ways: dict[str, Callable[[list[bytes]], None]] = {
        "with Pillow": with_pillow,
        "in batches": in_batches,
        "one by one": one_by_one,  # last: right before the servers that are measured by it
    }
    found = {}
    for what, run in ways.items():
        by_clock, by_processor = rates(run, pictures, asked.seconds)
        found[what] = {"rate": round(by_clock, 2), "processor_rate": round(by_processor, 2)}
        watch.lap(what)
    answer(watch, ("mintage", "onnxruntime"), rate=found["one by one"]["rate"], ways=found)


if __name__ == "__main__":
    main()
