"""Predictions that are recorded, and the same without: what share of their time metering takes.

So many callers decode and infer, by one thread of the runtime, and record what they did, waiting
for the receipt. A share of the processor's time is what an answer takes less without the meter; how
long a recording takes is what a single caller waits for it, besides predicting.
"""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import replace
from itertools import cycle
from typing import Any

from benchmarks.billing.callers import Callers, together
from benchmarks.ours.metering import usage_of
from benchmarks.stopwatch import Stopwatch, answer, arguments

ALONE_CALLS = 200


def main() -> None:
    asked = arguments(
        __doc__, "home", "pictures", key="", model="", callers=16, seconds=10.0, warm_up=2.0
    )
    watch = Stopwatch(asked.started)
    import mintage
    from mintage.capture.metering import UsageMeter
    from mintage.trust.keys import KeyRing

    app = mintage.open_workspace(asked.home)
    workspace = app.workspace
    predictor = app.create.open(app.create.model(asked.model))
    meter = UsageMeter(workspace.database, KeyRing(workspace.key_folder), workspace.clock)
    usage = usage_of(workspace, asked.key, asked.model.partition("@")[0])
    pictures = cycle([path.read_bytes() for path in sorted(asked.pictures.iterdir())])
    taking = threading.Lock()

    def predict() -> Any:
        with taking:
            data = next(pictures)
        return predictor.predict(data)

    def record() -> None:
        _ = meter.record(replace(usage)).result().envelope  # signed, as an answer carries it

    def both() -> None:
        predict()
        record()

    callers = Callers(asked.callers, asked.seconds, asked.warm_up)
    found = {}
    for what, call in (("without", predict), ("with", both)):
        found[what] = together([callers.run(call)])
        watch.lap(what)
    waits = {name: _alone(call) for name, call in (("predict", predict), ("record", record))}
    answer(watch, ("mintage", "onnxruntime"), ways=found, alone=waits)
    app.close()


def _alone(call: Any) -> float:
    """How long it takes in the middle, where nobody else calls."""
    taken = []
    for __ in range(ALONE_CALLS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken), 6)


if __name__ == "__main__":
    main()
