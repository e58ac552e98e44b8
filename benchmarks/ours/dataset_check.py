"""A dataset of random blobs, verified and plainly hashed in turn, by the same threads.

Both read from memory what the system has kept of the files: a disk is as fast for the one as for
the other, and would hide what verifying adds. The plain side gives each thread a share of the
files beforehand, so that nothing but opening and hashing is in it.
"""

from __future__ import annotations

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments


def made(home: Path, each: int, size_bytes: int, seed: int) -> Any:
    """The workspace's folder of a dataset with so many bytes, and its key."""
    from mintage.core.types import Example
    from mintage.create.dataset import keep_dataset
    from mintage.store.workspace import Workspace
    from mintage.trust.keys import KeyRing

    drawn = random.Random(seed)
    card = {
        "modality": "image",
        "task": "class",
        "source": {"kind": "folder", "name": "made"},
        "about": {"licence": "", "consent": "", "origin": ""},
    }
    with Workspace(home) as workspace:
        keys = KeyRing(workspace.key_folder)
        examples = []
        for number in range(max(1, size_bytes // each)):
            data = drawn.randbytes(each)
            digest = hashlib.sha256(data).hexdigest()
            workspace.blobs_of("made").put(digest, data)
            path = f"class-{number % 2}/{number:06}.jpg"
            label = f"class-{number % 2}"
            examples.append(Example(digest, path, label, "train", None, digest, size=(96, 96)))
        examples.sort(key=lambda each: each.sha256)
        folder = keep_dataset(workspace, keys, "made", examples, card)
        return folder, keys.signer("data").public


def plainly(files: list[Path], threads: int) -> float:
    """Seconds to hash the files."""

    def part(number: int) -> None:
        for path in files[number::threads]:
            hashlib.sha256(path.read_bytes()).hexdigest()  # file_digest took a third longer

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(threads)))
    return time.perf_counter() - began


def main() -> None:
    asked = arguments(__doc__, "home", each=30_000, size_bytes=10**9, passes=3)
    watch = Stopwatch(asked.started)
    from mintage.core.machine import available_cores
    from mintage.core.progress import Silent
    from mintage.create.integrity import check_dataset

    home = asked.home
    folder, key = made(home, asked.each, asked.size_bytes, asked.seed)
    watch.lap("made")
    blobs = home / "blobs"
    files = [path for path in sorted(blobs.glob("??/*")) if not path.name.startswith(".")]
    threads = available_cores()
    plainly(files, threads)  # so that both find the files where the system keeps them
    plain, verified, found = [], [], None
    for __ in range(asked.passes):
        plain.append(plainly(files, threads))
        began = time.perf_counter()
        found = check_dataset(folder, blobs, [key], Silent())
        verified.append(time.perf_counter() - began)
    if found is None or found.examples != len(files):
        raise SystemExit("Not every file was verified.")
    watch.lap("measured")
    answer(
        watch,
        ("mintage", "cryptography"),
        files=len(files),
        size_bytes=found.size_bytes,
        threads=threads,
        plain_seconds=plain,
        verified_seconds=verified,
        ratio=min(verified) / min(plain),
    )


if __name__ == "__main__":
    main()
