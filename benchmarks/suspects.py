"""Labels turned at random, and how many of them stand at the top of the list of suspects.

python -m benchmarks.suspects --seed 0
python -m benchmarks.suspects --data FOLDER --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import DATA, Result, cores
from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create import suspects

TURNED = 0.05
LIST_SHARE = 0.1


def measure(data: Path, seed: int) -> Result:
    """Turn 5 % of the labels of a folder of class folders, look for them, and count.

    ``seconds`` is from a collected dataset to the list, decoding included. ``seed`` draws what is
    turned and trains the networks.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turned = _turned_copy(data, folder / "photos", seed)
        with App(load_settings(home=folder / "workspace")) as app:
            dataset = app.create.collect(folder / "photos", "turned")
            began, cpu = time.monotonic(), time.process_time()
            found = suspects.find(
                app.workspace, dataset, threads=cores(), seed=seed, progress=Silent()
            )
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    wrong = turned & {example.path for example in dataset.examples}
    first = {each.path for each in found.ranked[: round(LIST_SHARE * len(found.examples))]}
    listed = {each.path for each in found.listed}
    return {
        "found_share": len(first & wrong) / len(wrong),
        "seconds": seconds,
        "n_flipped": len(wrong),
        "list_share": LIST_SHARE,
        "examples": len(dataset.examples),
        "cpu_seconds": cpu,
        "load": os.getloadavg()[0],
        "agreement": found.agreement,
        "noise_rate": found.noise_rate,
        "in_full": found.in_full,
        "n_listed": len(listed),
        "listed_share": len(listed & wrong) / len(wrong),
        "why_not": None if found.why_not is None else str(found.why_not),
    }


def _turned_copy(data: Path, target: Path, seed: int) -> set[str]:
    """The folder with some files in the wrong class; their paths in it.

    Files are linked, or copied where they lie on another disk.
    """
    classes = sorted(path.name for path in data.iterdir() if path.is_dir())
    files = sorted(path for name in classes for path in (data / name).iterdir())
    chance = np.random.default_rng(seed)
    chosen = chance.choice(len(files), round(TURNED * len(files)), replace=False)
    turned = set()
    label_of = {path: path.parent.name for path in files}
    for position in sorted(chosen.tolist()):
        path = files[position]
        others = [name for name in classes if name != path.parent.name]
        label_of[path] = others[int(chance.integers(len(others)))]
        turned.add(f"{label_of[path]}/{path.parent.name}-{path.name}")
    for path, label in label_of.items():
        place = target / label / f"{path.parent.name}-{path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, place)
    return turned


def main() -> None:
    """Print one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=DATA / "pets")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.data, chosen.seed), indent=2))


if __name__ == "__main__":
    main()
