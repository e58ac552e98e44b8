"""What is in a dataset: counts, sizes, and everything that collecting found."""

from __future__ import annotations

from typing import Any

import numpy as np

from mintage.create.dataset import Dataset


def findings(dataset: Dataset) -> dict[str, Any]:
    """Everything a person asks of a dataset before training on it, as JSON."""
    sizes = np.array([example.size for example in dataset.examples])
    quality = dataset.card["quality"]
    return {
        "dataset": dataset.name,
        "version": dataset.version,
        "modality": dataset.card["modality"],
        "task": dataset.card["task"],
        "examples": len(dataset.examples),
        "classes": dataset.counts(),
        "folds": 5 if dataset.has_folds else None,
        "sizes": {
            "width": _spread(sizes[:, 0]),
            "height": _spread(sizes[:, 1]),
        },
        "skipped": quality["skipped"],
        "duplicates": quality["duplicates"],
        "conflicts": quality["conflicts"],
        "near_duplicates": quality["near_duplicates"],
        "hidden": quality["hidden"],
        "stray": quality["stray"],
        "about": dataset.card["about"],
        "source": dataset.card["source"],
        "sources": dataset.sources,
        "grown_from": dataset.card.get("grown_from"),
    }


def _spread(values: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, int]:
    low, middle, high = np.quantile(values, [0, 0.5, 1], method="lower")
    return {"smallest": int(low), "median": int(middle), "largest": int(high)}
