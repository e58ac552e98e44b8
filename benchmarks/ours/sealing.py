"""A dataset of random blobs, sealed and opened by us and by Tink alone; or a training on each.

``--step blobs``: both sides write the same bytes to files of the same number, without flushing, and
read them from what the system keeps of them, on as many threads, by turns one before the other.
Tink's side does what its documentation shows for a file: one stream a blob, of the same kind of
key, with a name as its associated data. ``--step train``: the same pictures, collected and trained
on from nothing in an open workspace and in a sealed one, in turns.
"""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments


def spread(work: Callable[[int], Any], count: int, threads: int) -> float:
    """Seconds to do all of it, each thread a share."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(
                lambda first: [work(number) for number in range(first, count, threads)],
                range(threads),
            )
        )
    return time.perf_counter() - began


class TinkAlone:
    """One keyset, a stream for each file."""

    def __init__(self, folder: Path) -> None:
        import tink
        from tink import streaming_aead

        streaming_aead.register()
        template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
        self._cipher = tink.new_keyset_handle(template).primitive(streaming_aead.StreamingAead)
        self._folder = folder
        folder.mkdir()

    def seal(self, number: int, data: bytes) -> None:
        """Encrypt into a file."""
        target = (self._folder / str(number)).open("wb")
        with self._cipher.new_encrypting_stream(target, str(number).encode()) as stream:
            stream.write(data)

    def open(self, number: int) -> bytes:
        """Decrypt a file."""
        source = io.BytesIO((self._folder / str(number)).read_bytes())
        with self._cipher.new_decrypting_stream(source, str(number).encode()) as stream:
            return bytes(stream.read())


def opened(home: Path, *, sealed: bool) -> Any:
    """A workspace, with its key beside it if it is sealed."""
    from mintage.app.root import App
    from mintage.app.sealing import usable_key
    from mintage.core.settings import load_settings

    key = usable_key(f"file:{home}.key", home) if sealed else None
    return App(load_settings(home=home, seal_key=key))


def _sealed(put: Callable[..., None], names: Sequence[Any], data: list[bytes], at: int) -> None:
    put(names[at], data[at])


def _opened(get: Callable[[str], bytes], names: list[str], at: int) -> bytes:
    return get(names[at])


def on_blobs(home: Path, each: int, size_bytes: int, seed: int, passes: int) -> dict[str, Any]:
    """Seconds of either side, for all of the bytes."""
    from mintage.core.machine import available_cores

    drawn = random.Random(seed)
    data = [drawn.randbytes(each) for __ in range(max(1, size_bytes // each))]
    names = [hashlib.sha256(one).hexdigest() for one in data]
    threads, count = available_cores(), len(data)
    found: dict[str, list[float]] = {"seal": [], "open": [], "tink_seal": [], "tink_open": []}
    with opened(home / "sealed", sealed=True) as app:
        for turn in range(passes):
            plain, ours = TinkAlone(home / f"tink-{turn}"), app.workspace.blobs_of(f"made-{turn}")
            work: dict[str, Callable[[int], Any]] = {
                "tink_seal": partial(_sealed, plain.seal, range(count), data),
                "seal": partial(_sealed, ours.put, names, data),
                "tink_open": plain.open,
                "open": partial(_opened, ours.get, names),
            }
            pairs = (("tink_seal", "seal"), ("tink_open", "open"))
            for step in (each for pair in pairs for each in pair[:: -1 if turn % 2 else 1]):
                found[step].append(spread(work[step], count, threads))
            # Neither pays for the other's bytes, nor for those of the turn before.
            shutil.rmtree(home / f"tink-{turn}")
            for name in names:
                ours.remove(name)
    return {
        "files": count,
        "size_bytes": sum(map(len, data)),
        "threads": threads,
        "seconds": found,
        "seal_ratio": median(found["seal"]) / median(found["tink_seal"]),
        "open_ratio": median(found["open"]) / median(found["tink_open"]),
    }


def on_training(home: Path, examples: int, epochs: int, seed: int, passes: int) -> dict[str, Any]:
    """Seconds of trainings in an open and in a sealed workspace."""
    from mintage.datasets.drawn_pets import write_folder

    photos = home / "photos"
    write_folder(photos, examples, seed)
    found: dict[str, list[float]] = {"open": [], "sealed": []}
    for turn in range(passes):
        for name, taken in found.items():
            with opened(home / f"{name}-{turn}", sealed=name == "sealed") as app:
                app.create.collect(photos, "pets")
                began = time.perf_counter()
                app.create.train("pets", recipe="seed-cnn", epochs=epochs)
                taken.append(time.perf_counter() - began)
    ratio = median(found["sealed"]) / median(found["open"])
    return {"examples": examples, "epochs": epochs, "seconds": found, "ratio": ratio}


def main() -> None:
    asked = arguments(
        __doc__,
        "home",
        step="blobs",
        each=30_000,
        size_bytes=10**9,
        examples=4000,
        epochs=20,
        passes=4,
    )
    watch = Stopwatch(asked.started)
    if asked.step == "blobs":
        found = on_blobs(asked.home, asked.each, asked.size_bytes, asked.seed, asked.passes)
    else:
        found = on_training(asked.home, asked.examples, asked.epochs, asked.seed, asked.passes)
    watch.lap("measured")
    answer(watch, ("mintage", "tink"), **found)


if __name__ == "__main__":
    main()
