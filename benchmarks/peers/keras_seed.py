"""The seed network as a textbook trains it: Pillow, NumPy and Keras, from files to accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments, class_files

SIDE = 28


def load(folder: Path) -> tuple[Any, Any]:
    """``float32[N, 28, 28, 3]`` from 0 to 1, and labels."""
    import numpy as np
    from PIL import Image

    pictures, labels = [], []
    for path, label in class_files(folder):
        image = Image.open(path).convert("RGB").resize((SIDE, SIDE))
        pictures.append(np.array(image))
        labels.append(label)
    return np.array(pictures, dtype="float32") / 255.0, np.array(labels)


def network() -> Any:
    """One convolution and one hidden layer, compiled."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    optimizer = keras.optimizers.Adam(learning_rate=1e-3)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    asked = arguments(__doc__, "train", "held_out", epochs=10)
    watch = Stopwatch(asked.started)
    import keras
    import numpy as np  # noqa: F401 - so that it counts as imports
    import tensorflow as tf
    from PIL import Image  # noqa: F401

    tf.config.threading.set_intra_op_parallelism_threads(asked.threads)
    tf.config.threading.set_inter_op_parallelism_threads(asked.threads)
    keras.utils.set_random_seed(asked.seed)
    watch.lap("import")
    pictures, labels = load(asked.train)
    watch.lap("load")
    model = network()
    model.fit(pictures, labels, batch_size=32, epochs=asked.epochs, verbose=0)
    watch.lap("fit")
    held_out, truth = load(asked.held_out)
    watch.lap("load held-out")
    __, accuracy = model.evaluate(held_out, truth, verbose=0)
    watch.lap("evaluate")
    answer(watch, ("keras", "tensorflow-cpu", "pillow"), accuracy=float(accuracy))


if __name__ == "__main__":
    main()
