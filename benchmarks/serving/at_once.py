"""Thousands of connections that are all open before each posts one request, all at once."""

from __future__ import annotations

import time

from benchmarks.serving.arrivals import Tally, finish, summary
from benchmarks.serving.asking import HOST
from benchmarks.serving.crowd import Crowd
from benchmarks.stopwatch import Stopwatch, answer, arguments

_STEP = 250  # below every backlog, or the system drops a connection and tries again a second later


def main() -> None:
    asked = arguments(__doc__, "messages", port=0, connections=10_000, patience=60.0)
    watch = Stopwatch(asked.started)
    messages = [path.read_bytes() for path in sorted(asked.messages.iterdir())]
    tally = Tally(until=float("inf"))
    crowd = Crowd((HOST, asked.port), messages, most=asked.connections, on_answer=tally.add)
    for number in range(asked.connections):
        crowd.connect()
        if number % _STEP == 0:
            time.sleep(0.02)
    crowd.poll(0.0)
    open_before = crowd.connections
    watch.lap("connect")
    for __ in range(asked.connections):
        crowd.post(time.monotonic())
    watch.lap("post")
    unanswered = finish(crowd, asked.patience)
    watch.lap("answers")
    crowd.close()
    answer(watch, (), connections=open_before, unanswered=unanswered, **summary(tally))


if __name__ == "__main__":
    main()
