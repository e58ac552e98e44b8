"""Keras' published recipe for cats and dogs, a small Xception at 180 px, for so many seconds.

Architecture, augmentation, batch size, optimiser and rate are those of keras.io's example "Image
classification from scratch"; written from that description. Training ends at the batch after
which there would be no time left to evaluate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments, class_files

SIDE = 180
BATCH = 128
FORWARD_SHARE = 0.45
"""Of a step's time: to evaluate a batch; a step goes forward once and back, which is twice."""


def network() -> Any:
    """Separable convolutions with residuals: 256, 512, 728 and 1024 channels."""
    import keras
    from keras import layers

    def normalised(maps: Any) -> Any:
        return layers.BatchNormalization()(maps)

    inputs = keras.Input((SIDE, SIDE, 3))
    maps = layers.Rescaling(1.0 / 255)(inputs)
    maps = normalised(layers.Conv2D(128, 3, strides=2, padding="same")(maps))
    maps = passed_on = layers.Activation("relu")(maps)
    for channels in (256, 512, 728):
        for __ in range(2):
            maps = layers.Activation("relu")(maps)
            maps = normalised(layers.SeparableConv2D(channels, 3, padding="same")(maps))
        maps = layers.MaxPooling2D(3, strides=2, padding="same")(maps)
        shortcut = layers.Conv2D(channels, 1, strides=2, padding="same")(passed_on)
        maps = passed_on = layers.add([maps, shortcut])
    maps = normalised(layers.SeparableConv2D(1024, 3, padding="same")(maps))
    pooled = layers.GlobalAveragePooling2D()(layers.Activation("relu")(maps))
    model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.25)(pooled)))
    model.compile(
        optimizer=keras.optimizers.Adam(3e-4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
    )
    return model


def directory(folder: Path, seed: int, *, shuffle: bool) -> Any:
    """Batches of pictures with their labels, as Keras loads a folder of class folders."""
    import keras

    return keras.utils.image_dataset_from_directory(
        folder,
        label_mode="binary",
        image_size=(SIDE, SIDE),
        batch_size=BATCH,
        shuffle=shuffle,
        seed=seed,
        verbose=False,
    )


def main() -> None:
    asked = arguments(__doc__, "train", "held_out", seconds=300.0)
    watch = Stopwatch(asked.started)
    import keras
    import tensorflow as tf
    from keras import layers

    tf.config.threading.set_intra_op_parallelism_threads(asked.threads)
    tf.config.threading.set_inter_op_parallelism_threads(asked.threads)
    keras.utils.set_random_seed(asked.seed)
    watch.lap("import")
    changes = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
    plain = directory(asked.train, asked.seed, shuffle=True)
    pictures = plain.map(
        lambda batch, labels: (changes(batch, training=True), labels),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
    model = network()
    held_out_batches = -(-len(class_files(asked.held_out)) // BATCH)
    watch.lap("prepare")
    steps: list[float] = [watch.elapsed]

    def stop_in_time(batch: int, logs: object) -> None:  # noqa: ARG001 - Keras names them
        steps.append(watch.elapsed)
        a_step = steps[-1] - steps[-2]
        if steps[-1] + a_step * (1 + FORWARD_SHARE * held_out_batches) + 2.0 > asked.seconds:
            model.stop_training = True

    watcher = keras.callbacks.LambdaCallback(on_train_batch_end=stop_in_time)
    model.fit(pictures, epochs=10_000, callbacks=[watcher], verbose=0)
    watch.lap("fit")
    held_out = directory(asked.held_out, asked.seed, shuffle=False)
    __, accuracy = model.evaluate(held_out, verbose=0)
    watch.lap("evaluate")
    answer(
        watch,
        ("keras", "tensorflow-cpu"),
        accuracy=float(accuracy),
        steps=len(steps) - 1,
        epochs=round((len(steps) - 1) / -(-len(class_files(asked.train)) // BATCH), 2),
    )


if __name__ == "__main__":
    main()
