"""What the page says of trust: comparisons in words, and their tables."""

from __future__ import annotations

from benchmarks.sections import Chapter, Section
from benchmarks.trusting import tables

_SECTIONS = {
    "log-append": Section(
        "Appending to the audit log",
        "Batches of 500 entries of 900 bytes, each batch one durable transaction "
        "(`synchronous=FULL`), for a log of a million entries and one of ten thousand in turns; "
        "the rate is all entries over all time. Records are spelled before, as the meter has them; "
        "salts, hashes and rows are in the time.",
        tables.appending,
    ),
    "log-proofs": Section(
        "Heads and proofs of a million entries",
        "200 proofs of entries and 200 of sizes, drawn anew for each repetition, with reading the "
        "database and hashing the entry again. The first head reads and hashes all entries, a "
        "later one those that were added. Verifying hashes every record, works out every inner "
        "hash and holds every signed head against them.",
        tables.proofs,
    ),
    "verify-dataset": Section(
        "Verifying a dataset",
        "A dataset of a gigabyte, all of its files in the memory that the system keeps of them: "
        "`mintage verify` and a plain SHA-256 of the same files in turns, in one process on as "
        "many threads. Each figure is the best of three passes.",
        tables.datasets,
    ),
    "sealing": Section(
        "Sealing a dataset, and training on it",
        "A dataset of a gigabyte, sealed into files and opened again by a workspace and by Tink's "
        "streams alone, on as many threads, each figure the best of three passes; Tink alone has "
        "no names to find and no digests to compare. Then the same pictures, trained on from "
        "nothing in an open workspace and in a sealed one.",
        tables.sealing,
    ),
    "verify-chain": Section(
        "Following an invoice of 100,000 events",
        "Each event's record is hashed, its place on the log proved, its receipt's signature "
        "verified and compared, and the line's root and sum worked out anew: in the workspace, "
        "from the evidence with public keys alone, and by `tools/verify.py`. All of it in one "
        "process; writing the evidence makes the receipts and the proofs.",
        tables.chains,
    ),
}

CHAPTER = Chapter(
    "What follows is written by `make bench-trust`: the audit log on SQLite, and what is signed.",
    _SECTIONS,
)
