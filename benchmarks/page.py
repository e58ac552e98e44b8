"""docs/benchmarks.md, from the results that are there: of ``make bench`` and its relatives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.billing.page import CHAPTER as BILLING
from benchmarks.common import RESULTS, ROOT, spread
from benchmarks.language.page import CHAPTER as LANGUAGE
from benchmarks.serving.page import CHAPTER as SERVING
from benchmarks.training_page import CHAPTER as TRAINING
from benchmarks.trusting.page import CHAPTER as TRUST

PAGE = ROOT / "docs" / "benchmarks.md"
Results = Mapping[str, Any]
CHAPTERS = (TRAINING, SERVING, BILLING, LANGUAGE, TRUST)

_SEVERAL = ("seed-cnn", "time-2m", "drawings", "reading")


def write() -> None:
    """The page anew."""
    PAGE.write_text(text(RESULTS), encoding="utf-8")


def text(folder: Path) -> str:
    """The Markdown page from a folder of results."""
    results = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in _SEVERAL
        if (folder / f"{name}.json").exists()
    }
    lines = [
        "# Benchmarks\n",
        "Written by `make bench`; median and range. Load is the machine's at the end.\n",
        *_accuracies(results),
        *_drawings(results),
        *_reading(results),
    ]
    for chapter in CHAPTERS:
        lines += chapter.lines(folder)
    return "\n".join(lines) + "\n"


def _accuracies(results: Results) -> list[str]:
    lines = [
        "| what | n | accuracy on held-out data | seconds, whole process | machine |",
        "|---|---|---|---|---|",
    ]
    for name, words in (
        ("seed-cnn", "`pets`, `--recipe seed-cnn --epochs 10`"),
        ("time-2m", "`pets`, `--time 2m`"),
    ):
        if name in results:
            cells = results[name]["cells"]
            accuracy = spread([cell["accuracy"] for cell in cells], ".1%")
            seconds = spread([cell["seconds"] for cell in cells], ".0f")
            lines.append(
                f"| {words} | {len(cells)} | {accuracy} | {seconds} | {results[name]['machine']} |"
            )
    return lines if len(lines) > 2 else []


def _drawings(results: Results) -> list[str]:
    if "drawings" not in results:
        return []
    cells = results["drawings"]["cells"]
    counts = sorted({cell["drawings"] for cell in cells})
    lines = [
        "\n## Drawings\n",
        "Accuracy on 1,000 other drawings, `--time 45s` each.\n",
        "| candidate | " + " | ".join(f"{c:,}" for c in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for name in ("seed-cnn", "compact"):
        found = [
            spread(
                [c["accuracy"] for c in cells if (c["drawings"], c["candidate"]) == (count, name)],
                ".1%",
            )
            for count in counts
        ]
        lines.append(f"| {name} | " + " | ".join(found) + " |")
    return lines


def _reading(results: Results) -> list[str]:
    if "reading" not in results:
        return []
    cells = results["reading"]["cells"]
    lines = ["\n## Reading pictures, one core\n", "| what | n | a second |", "|---|---|---|"]
    for what in dict.fromkeys(cell["what"] for cell in cells):
        rates = [cell["rate"] for cell in cells if cell["what"] == what]
        lines.append(f"| {what} | {len(rates)} | {spread(rates, ',.0f')} |")
    return lines
