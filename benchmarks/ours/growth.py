"""One step of the way (``--step``) over however many pictures there are, in a process of its own.

A first small set, unmeasured, takes what comes once: opening the workspace, making keys, loading
code, building kernels. What is measured then is what each further picture costs.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments

SIDE = 64


def collect(workspace: Any, asked: Any) -> dict[str, Any]:
    """From files to a signed dataset."""
    workspace.create.collect(asked.warm_up, "warm-up")
    began, busy = time.perf_counter(), time.process_time()
    dataset = workspace.create.collect(asked.pictures, "pictures")
    found = {"seconds": time.perf_counter() - began, "busy": time.process_time() - busy}
    near = len(dataset.card["quality"]["near_duplicates"])
    return {**found, "examples": len(dataset.examples), "near_duplicates": near}


def prepare(workspace: Any, __: Any) -> dict[str, Any]:
    """From blobs to a memory-mapped array."""
    _decoded(workspace, "warm-up")
    began, busy = time.perf_counter(), time.process_time()
    images = _decoded(workspace, "pictures")
    found = {"seconds": time.perf_counter() - began, "busy": time.process_time() - busy}
    return {**found, "examples": len(images)}


def train(workspace: Any, asked: Any) -> dict[str, Any]:
    """Epochs of compact after a first, which builds kernels: as many pictures for all numbers."""
    from dataclasses import replace

    import numpy as np

    from mintage.create.design import compact
    from mintage.create.train import fit

    dataset, images = workspace.create.dataset("pictures"), _decoded(workspace, "pictures")
    labels = np.array([dataset.labels.index(each.label) for each in dataset.examples])
    # The same candidate for all, since its batch size would follow the number of examples.
    candidate = replace(
        compact(examples=4000, typical_side=SIDE), input_size=SIDE, training_sides=()
    )
    validates = np.arange(len(labels)) % 20 == 0
    fitted = fit(
        candidate,
        images,
        labels,
        np.flatnonzero(~validates),
        np.flatnonzero(validates),
        epochs=1 + max(1, round(asked.seen / len(labels))),
        seed=asked.seed,
        threads=asked.threads,
        checkpoint_folder=asked.home / "checkpoints",
    )
    each = [1 / epoch["examples_per_second"] for epoch in fitted.history[1:]]
    return {"seconds": float(np.mean(each)) * len(labels), "examples": len(labels)}


def index(workspace: Any, __: Any) -> dict[str, Any]:
    """Nothing but the dataset, loaded: its verified manifest, and each line as values."""
    workspace.create.dataset("warm-up")
    dataset = workspace.create.dataset("pictures")
    return {"seconds": 0.0, "examples": len(dataset.examples)}


def _decoded(workspace: Any, name: str) -> Any:
    from mintage.core import registry
    from mintage.core.progress import Silent
    from mintage.core.types import InputSpec
    from mintage.create.prepare import decoded

    kind, spec = registry.modalities().get("image"), InputSpec("image", SIDE)
    dataset = workspace.create.dataset(name)
    return decoded(workspace.workspace, dataset, kind, spec, Silent())


STEPS = {"collect": collect, "prepare": prepare, "train": train, "index": index}


def main() -> None:
    asked = arguments(__doc__, "pictures", "warm_up", "home", step="collect", seen=16_000)
    watch = Stopwatch(asked.started)
    import mintage

    workspace = mintage.open_workspace(asked.home)
    answer(watch, ("mintage",), **STEPS[asked.step](workspace, asked))


if __name__ == "__main__":
    main()
