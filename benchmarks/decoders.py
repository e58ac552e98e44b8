"""What it costs to decode in processes of their own: pictures a second, here and apart.

python -m benchmarks.decoders
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from benchmarks.common import cores
from mintage.core.registry import modalities
from mintage.core.types import InputSpec
from mintage.modalities.apart import Decoders

PICTURES, REPEATS, SIDE = 400, 5, 96


def photographs(count: int) -> list[bytes]:
    """JPEGs of 500 x 375 drawn by a seed, as large as photographs of that size are."""
    made = []
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        stream = io.BytesIO()
        image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        image.save(stream, "JPEG", quality=85)
        made.append(stream.getvalue())
    return made


def rate(decode: Callable[[bytes], object], data: list[bytes], threads: int) -> float:
    """Pictures a second by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, data[: 2 * threads]))  # processes and tables are there
        began = time.perf_counter()
        for __ in pool.map(decode, data):
            pass
        return len(data) / (time.perf_counter() - began)


def main() -> None:
    """Print a table."""
    data, spec, threads = photographs(PICTURES), InputSpec("image", SIDE), cores()
    here, apart = modalities().get("image"), Decoders(threads)
    ways: dict[str, Callable[[bytes], object]] = {
        "in the server's threads": lambda each: here.decode(each, spec),
        "in processes of their own": lambda each: apart.decode("image", each, spec),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for __ in range(REPEATS):
        for name, decode in ways.items():
            found[name].append(rate(decode, data, threads))
    apart.close()
    size = round(statistics.mean(map(len, data)) / 1000)
    print(f"{PICTURES} JPEGs of 500x375 ({size} kB) to {SIDE} px, {threads} threads, n={REPEATS}")
    for name, rates in found.items():
        low, high = min(rates), max(rates)
        print(f"{name:28} {statistics.median(rates):7.0f}/s  ({low:.0f} to {high:.0f})")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
