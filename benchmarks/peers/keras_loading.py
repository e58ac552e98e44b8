"""From JPEG files to float tensors by Keras' directory loader, pinned to one core."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.stopwatch import Stopwatch, answer, arguments, class_files

SIDES = (28, 96)
BATCH = 32


def main() -> None:
    asked = arguments(__doc__, "train", pictures=1000, passes=3)
    watch = Stopwatch(asked.started)
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(asked.threads)
    tf.config.threading.set_inter_op_parallelism_threads(asked.threads)
    rates, busy = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = class_files(asked.train, asked.pictures)
        for path, __ in files:
            (folder / path.parent.name).mkdir(exist_ok=True)
            (folder / path.parent.name / path.name).write_bytes(path.read_bytes())
        for side in SIDES:
            pictures = keras.utils.image_dataset_from_directory(
                folder, image_size=(side, side), batch_size=BATCH, shuffle=False, verbose=False
            )
            for __, __labels in pictures.take(2):
                pass
            began, used = time.perf_counter(), time.process_time()
            for __ in range(asked.passes):
                for __batch, __labels in pictures:
                    pass
            taken, used = time.perf_counter() - began, time.process_time() - used
            rates[str(side)] = {"keras": asked.passes * len(files) / taken}
            busy[str(side)] = {"keras": asked.passes * len(files) / used}
    answer(watch, ("keras", "tensorflow-cpu"), rates=rates, processor_rates=busy)


if __name__ == "__main__":
    main()
