"""From a folder of pictures to an evaluated network within so many seconds: Mintage's trainer.

The library beneath ``mintage train``, without what makes a product of it (dataset, export,
signature), since ``--time`` refuses less than about 20 s. Either ``--fit-seconds`` is given, or
``--total-seconds`` for everything from the start of the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments, class_files

VALIDATION_SHARE = 20  # one in so many examples chooses the best epoch
SURE_SECONDS = 0.4
"""For the process to end, and for what was not foreseen."""


def load(files: Sequence[tuple[Path, int]], side: int, threads: int) -> Any:
    """uint8[N, side, side, 3], by the decoder of training and serving."""
    import numpy as np

    from mintage.core.files import read_whole
    from mintage.modalities.image.reading import decode_square

    pixels = np.empty((len(files), side, side, 3), np.uint8)

    def one(position: int) -> None:
        pixels[position] = decode_square(read_whole(files[position][0]), side)

    with ThreadPoolExecutor(threads) as workers:
        list(workers.map(one, range(len(files))))
    return pixels


def main() -> None:
    asked = arguments(
        __doc__, "train", "held_out", "scratch", fit_seconds=0.0, total_seconds=0.0, side=0
    )
    watch = Stopwatch(asked.started)
    import numpy as np
    import torch

    from mintage.create import forward
    from mintage.create.design import compact, network_for_time, seed_cnn
    from mintage.create.train import fit

    watch.lap("import")
    files, held_out = class_files(asked.train), class_files(asked.held_out)
    labels = np.array([label for __, label in files])
    # Reading and evaluating take about a sixth of a total.
    seconds = asked.fit_seconds or (asked.total_seconds - watch.elapsed) * 5 / 6
    if network_for_time(len(files), seconds) == "seed-cnn":
        candidate = seed_cnn(seconds)
    else:  # photographs are larger than any side
        candidate = compact(examples=len(files), typical_side=10_000, seconds=seconds)
    if asked.side and candidate.network == "compact":
        candidate = replace(candidate, input_size=asked.side, training_sides=())
    images = load(files, candidate.input_size, asked.threads)
    watch.lap("load")
    # Evaluating a picture takes about as long as reading it.
    kept_back = 2.5 * len(held_out) * watch.laps["load"] / len(files) + SURE_SECONDS
    seconds = asked.fit_seconds or asked.total_seconds - watch.elapsed - kept_back
    shuffled = np.random.default_rng(asked.seed).permutation(len(files))
    chooses = max(1, len(files) // VALIDATION_SHARE)
    fitted = fit(
        candidate,
        images,
        labels,
        np.sort(shuffled[chooses:]),
        np.sort(shuffled[:chooses]),
        seconds=seconds,
        seed=asked.seed,
        threads=asked.threads,
        checkpoint_folder=asked.scratch,
    )
    watch.lap("fit")
    trained = watch.elapsed
    images = load(held_out, candidate.input_size, asked.threads)
    watch.lap("load held-out")
    logits = forward.answers(fitted.network, candidate, images, np.arange(len(images)))
    accuracy = forward.accuracy(logits, torch.tensor([label for __, label in held_out]))
    watch.lap("evaluate")
    answer(
        watch,
        ("mintage", "torch"),
        accuracy=accuracy,
        validation=fitted.validation_accuracy,
        trained=round(trained, 4),
        side=candidate.input_size,
        epochs=fitted.epochs,
        fit_seconds=round(seconds, 3),
    )


if __name__ == "__main__":
    main()
