"""What the page says of serving: comparisons in words, and their tables."""

from __future__ import annotations

from benchmarks.sections import Chapter, Section
from benchmarks.serving import tables

_SECTIONS = {
    "throughput": Section(
        "Answers on one core",
        "The server and all its processes are kept on one core, wrk on another. Its connections "
        "each post the next photograph when the last is answered: 3 s to warm up, then 10 s with "
        "16 connections and 10 s with 32, of which the one with more answers counts, for every "
        "server; sides take turns, each in a fresh workspace. The photographs are 32 of `pets` "
        "that have 47 kB, give or take two; `seed-cnn` judges 28 px, `compact` 96. Mintage runs "
        "as `mintage serve` does: key check, a usage event on the disk before each answer, signed "
        "receipts, audit log, access log. The others have a bare predict and no access log: "
        "Pillow in draft mode, NumPy, ONNX Runtime with one thread that does not spin, a label "
        "and a probability. LitServe and BentoML have one worker, and are taken with batches of "
        "up to 32 or without, whichever answers more; BentoML's batches come as forms, all else "
        "as it is. In-process is a loop of decode and infer with nothing around it, by Mintage's "
        "predictor one by one and in batches of 32, and by the others' bare predict.",
        tables.throughput,
    ),
    "latency": Section(
        "Latency",
        "wrk as above, with 16 connections. Each worker has a core; where there are only two, wrk "
        "shares the second worker's.",
        tables.latency,
    ),
    "overload": Section(
        "More than it can answer",
        "Peak is what wrk gets at 16 connections just before. Then requests come by the clock, "
        "for 10 s, on as many connections as they need, up to 4,000: a customer does not wait for "
        "another's answer. Answered in time is a 200 that ends within these 10 s. A refusal's "
        "time is from the first byte sent to its status read. What the generator could not send, "
        "because its core was busy, is the difference between asked for and really offered; not "
        "sent is what found no connection free.",
        tables.overload,
    ),
    "connections": Section(
        "Ten thousand connections",
        "All are open before each posts one photograph, all at once.",
        tables.connections,
    ),
    "versions": Section(
        "Versions under load",
        "A cycle publishes the second version and goes back to the first, by the command line, "
        "waiting each time until the new one answers; wrk asks meanwhile without a pause, on 4 "
        "connections. Failed is every request, of wrk's and of those that waited, that did not "
        "get its 200. Memory is that of all the server's processes.",
        tables.versions,
    ),
    "steady": Section(
        "Ten minutes",
        "wrk with 16 connections, slice after slice; memory and open files are looked at in the "
        "middle of each.",
        tables.steady,
    ),
}

CHAPTER = Chapter(
    "What follows is written by `make bench-serve`: servers and their load on cores of their own, "
    "on loopback, every figure with both networks.",
    _SECTIONS,
)
