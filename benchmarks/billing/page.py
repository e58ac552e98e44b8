"""What the page says of billing: comparisons in words, and their tables."""

from __future__ import annotations

from benchmarks.billing import tables
from benchmarks.sections import Chapter, Section

_SECTIONS = {
    "metering": Section(
        "Recording usage",
        "64 callers each record one usage after another and wait for the receipt, for 10 s after "
        "2 s to warm up; with two processes, 32 callers each. A receipt is signed when it is "
        "shown: each of them by its caller in the rows that say so. Event and leaf of the audit "
        "log are on the disk first (`synchronous=FULL`), in one transaction with whoever waits at "
        "the moment. The bare loop commits the same rows into the same tables, of the same sizes "
        "and with the same unique keys, for the same callers: `sqlite3` alone, one thread that "
        "takes what waits with two statements; it prices, hashes and signs nothing. Callers are "
        "threads on both sides.",
        tables.metering,
    ),
    "contention": Section(
        "Limits and credit under contention",
        "64 callers of one customer, who share a counter: each reserves, records a usage and waits "
        "for the receipt, as a server does for a call; with two processes, 32 callers each. "
        "Unlimited customers reserve nothing; limited ones have a hard limit, prepaid ones credit. "
        "First twice as many calls as the limit allows are made of a customer who has 50 units: "
        "exactly 50 are to be let through. Then calls are measured of one who has a thousand "
        "million, for 10 s after 2 s to warm up: as many as go, and 500 a second.",
        tables.contention,
    ),
    "metering-share": Section(
        "What metering adds to a prediction",
        "16 callers decode and infer, one thread of the runtime, and record each answer and have "
        "its receipt signed before they go on; the same without recording. The share is what of "
        "the processor's time each metered answer takes more. Alone is a single caller, of 200 "
        "calls the middle: what it waits for is the disk.",
        tables.metering_share,
    ),
    "books": Section(
        "Invoices and economics over millions of events",
        "1,000 customers over three months, two products, two versions of each model, three plans "
        "(per unit, a fee with graduated tiers, volume); the n-th customer uses 1/n of what the "
        "first does, at any hour of the day. Events and their leaves on the log are inserted in "
        "bulk; issuing counts the events again, each held against its leaf, and has their root on "
        "each line. Each step is a process "
        "of its own; its time is without the start of Python, its memory all that was ever "
        "resident. Whole hours are summed up once; an invoice run and a replay read these "
        "sums, which `check` holds against every event.",
        tables.books,
    ),
}

CHAPTER = Chapter(
    "What follows is written by `make bench-bill`: metering, invoices and economics on SQLite.",
    _SECTIONS,
)
