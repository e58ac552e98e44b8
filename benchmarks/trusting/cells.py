"""The cells of trust: what is measured, and how."""

from __future__ import annotations

import tempfile
from functools import partial

from benchmarks.cells import Cell, Side, Turn
from benchmarks.common import Result, script
from benchmarks.trusting.lab import Lab


def appending(__: Lab) -> list[Side[Lab]]:
    """Batches of entries for a small log and a large one, in turns."""

    def measured(turn: Turn[Lab]) -> Result:
        lab = turn.lab
        return script(
            "ours.audit_log",
            home=lab.log(lab.scale.many),
            small=lab.log(lab.scale.few),
            step="append",
            batch=lab.scale.batch,
            batches=lab.scale.batches,
        )

    return [Side("mintage", measured, 90)]


def proofs(__: Lab) -> list[Side[Lab]]:
    """Proofs of entries and of sizes, drawn anew with each seed."""

    def measured(turn: Turn[Lab]) -> Result:
        lab = turn.lab
        found = script(
            "ours.audit_log",
            home=lab.log(lab.scale.many),
            step="prove",
            proofs=lab.scale.proofs,
            seed=turn.seed,
        )
        return {**found, "filling": lab.filling[lab.scale.many]}

    return [Side("mintage", measured, 90)]


def datasets(__: Lab) -> list[Side[Lab]]:
    """Of small files opening counts, of large ones hashing: photographs, and scans."""

    def measured(turn: Turn[Lab], each: int) -> Result:
        with tempfile.TemporaryDirectory(dir=turn.lab.scratch) as home:
            return script(
                "ours.dataset_check",
                home=home,
                each=each,
                size_bytes=turn.lab.scale.dataset_bytes,
                seed=turn.seed,
                passes=3,
            )

    return [
        Side(f"files of {each // 1000:,} kB", partial(measured, each=each), 60)
        for each in (30_000, 1_000_000)
    ]


def chains(__: Lab) -> list[Side[Lab]]:
    """From an invoice to each of its events: in the workspace, by a customer, and by the tool."""

    def measured(turn: Turn[Lab]) -> Result:
        with tempfile.TemporaryDirectory(dir=turn.lab.scratch) as home:
            return script("ours.chain", home=home, events=turn.lab.scale.invoice_events)

    return [Side("mintage", measured, 150)]


def sealing(__: Lab) -> list[Side[Lab]]:
    """Small files and large ones beside Tink alone, and a training beside one that is open."""

    def blobs(turn: Turn[Lab], each: int) -> Result:
        with tempfile.TemporaryDirectory(dir=turn.lab.scratch) as home:
            return script(
                "ours.sealing",
                home=home,
                each=each,
                size_bytes=turn.lab.scale.dataset_bytes,
                seed=turn.seed,
            )

    def training(turn: Turn[Lab]) -> Result:
        with tempfile.TemporaryDirectory(dir=turn.lab.scratch) as home:
            scale = turn.lab.scale
            return script(
                "ours.sealing",
                home=home,
                step="train",
                examples=scale.pictures,
                epochs=scale.epochs,
                seed=turn.seed,
                passes=1,
            )

    return [
        *(
            Side(f"files of {each // 1000:,} kB", partial(blobs, each=each), 90)
            for each in (30_000, 1_000_000)
        ),
        Side("training", training, 300),
    ]


CELLS: list[Cell[Lab]] = [
    Cell("log-append", "entries appended to a large log beside a small one", appending),
    Cell("log-proofs", "signing a large log, and proving entries and sizes of it", proofs),
    Cell("verify-dataset", "a dataset verified, beside a plain SHA-256 of its files", datasets),
    Cell("sealing", "a dataset sealed and opened beside Tink alone, and trained on", sealing),
    Cell("verify-chain", "an invoice followed to each of its events", chains),
]
