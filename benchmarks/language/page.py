"""What the page says of gateways to language models: comparisons in words, and their tables."""

from __future__ import annotations

from benchmarks.language import tables
from benchmarks.sections import Chapter, Section

_SECTIONS = {
    "gateway-throughput": Section(
        "Requests a second before a language model",
        "Each connection asks again as soon as it is answered, for 10 s. Per core is the requests "
        "for each second of the processor that the gateway's processes used. What is added is the "
        "customer's wait less that of one who asks the upstream itself, with as many connections; "
        "without a pause that is mostly the queue: 16 connections cannot wait for less than 3 ms "
        "unless a core answers 5,300 in a second.",
        tables.throughput,
    ),
    "gateway-latency": Section(
        "What a gateway adds to a language model's answer",
        "All connections together ask so many times a second, evenly, for 20 s: as often as both "
        "gateways bear on one core and, Mintage alone, ten times as often. Who was not "
        "answered by the moment that the next request was due waits from that moment. A first "
        "token is the first data of a stream. Ten a second take longer than a hundred, for the "
        "same work: in between the virtual processor halts, and has to wake for the request, the "
        "upstream's answer and the disk, with cold caches. By hand on 2026-11-28: a bare commit of "
        "SQLite took 0.61 ms at ten a second and 0.40 at a hundred, a bare question to the "
        "upstream 0.33 and 0.25; where the processor was kept from halting, all of a request took "
        "3.1 and 3.4 ms at ten a second in place of 4.0 and 3.6.",
        tables.latency,
    ),
    "gateway-memory": Section(
        "Memory over many requests",
        "16 connections without a pause, whole answers; memory is that of all the gateway's "
        "processes, read after each part of the requests.",
        tables.memory,
    ),
}

CHAPTER = Chapter(
    "What follows is written by `make bench-gateway`: gateways that sell a language model before "
    "one scripted upstream, which answers everything at once, with 24 tokens. A gateway and all "
    "its processes are kept on one core; upstream and customers share another, and need under "
    "0.1 ms for a request of a kilobyte. Mintage runs as `mintage serve` does: key check, plan, "
    "price, a usage event on the disk before each answer or stream ends, signed receipts, audit "
    "log, access log. LiteLLM's proxy runs with one worker, a master key, HTTP read by httptools, "
    "in production mode, with no log but of errors. Its database is off, and with it customers' "
    "keys and what they spent, since the engine that it needs is only had from the network: it "
    "records nothing.",
    _SECTIONS,
)
