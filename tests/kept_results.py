"""Results as a program that measures keeps them, and the page that is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import page
from benchmarks.kept import Kept

MACHINE = {
    "cores": 2,
    "processor": "a processor",
    "memory_gb": 8,
    "system": "Linux x86_64",
    "versions": {"python": "3.11", "torch": "2.13"},
}


def page_of(folder: Path, samples: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]]) -> str:
    """Keep a result for each seed of each side of each cell, and write the page."""
    for name, sides in samples.items():
        kept = Kept(folder / f"{name}.json", MACHINE)
        for side, results in sides.items():
            for seed, result in enumerate(results):
                known = {"commit": "abc", "others_meanwhile": 0.5, "warning": "disturbed"}
                kept.add({"side": side, "seed": seed, "result": result, **known})
    return page.text(folder)
