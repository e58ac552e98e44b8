"""From JPEG files to float tensors: Mintage's decoder beside Pillow at full size, by turns.

Both read the file, make a square of the same side with the same filter, and end with batches of
``float32[32, 3, side, side]``; whichever is first in a block is second in the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments, class_files

SIDES = (28, 96)
BATCH = 32
BLOCK = 8 * BATCH


def ours(paths: Sequence[Path], side: int) -> Any:
    """The decoder of training and serving, into the array that training keeps."""
    import numpy as np

    from mintage.core.files import read_whole
    from mintage.modalities.image.reading import decode_square

    pixels = np.empty((len(paths), side, side, 3), np.uint8)
    for position, path in enumerate(paths):
        pixels[position] = decode_square(read_whole(path), side)
    return batch_of(pixels)


def pillow(paths: Sequence[Path], side: int) -> Any:
    """What is written everywhere: open, convert, resize."""
    import numpy as np
    from PIL import Image

    found = []
    for path in paths:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            found.append(np.asarray(small))
    return batch_of(np.stack(found))


def batch_of(pixels: Any) -> Any:
    """``float32[N, 3, side, side]`` from 0 to 1, of ``uint8[N, side, side, 3]``."""
    import torch

    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255).contiguous()


def turns(paths: Sequence[Path], side: int, passes: int) -> tuple[dict[str, float], ...]:
    """Pictures a second of either: by the clock, and by the processor's time."""
    loaders: list[Callable[[Sequence[Path], int], Any]] = [ours, pillow]
    seconds, busy = {"mintage": 0.0, "pillow": 0.0}, {"mintage": 0.0, "pillow": 0.0}
    for loader in loaders:  # files into memory, libraries into the process
        loader(paths[:BATCH], side)
    for number in range(passes):
        for start in range(0, len(paths), BLOCK):
            order = loaders if (number + start // BLOCK) % 2 else loaders[::-1]
            for loader in order:
                began, used = time.perf_counter(), time.process_time()
                for first in range(start, min(start + BLOCK, len(paths)), BATCH):
                    loader(paths[first : min(first + BATCH, start + BLOCK)], side)
                name = "mintage" if loader is ours else "pillow"
                seconds[name] += time.perf_counter() - began
                busy[name] += time.process_time() - used
    return tuple(
        {name: passes * len(paths) / taken for name, taken in each.items()}
        for each in (seconds, busy)
    )


def main() -> None:
    asked = arguments(__doc__, "train", pictures=1000, passes=3)
    watch = Stopwatch(asked.started)
    import torch

    torch.set_num_threads(asked.threads)
    paths = [path for path, __ in class_files(asked.train, asked.pictures)]
    for path in paths:
        path.read_bytes()
    rates, busy = {}, {}
    for side in SIDES:
        rates[str(side)], busy[str(side)] = turns(paths, side, asked.passes)
    answer(watch, ("mintage", "pillow", "torch"), rates=rates, processor_rates=busy)


if __name__ == "__main__":
    main()
