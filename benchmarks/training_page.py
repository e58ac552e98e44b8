"""What the page says of training: comparisons in words, and their tables."""

from __future__ import annotations

from benchmarks import tables
from benchmarks.sections import Chapter, Section

_SECTIONS = {
    "same-network": Section(
        "The same network, as many epochs",
        "The textbook's network at 28 px, Adam, batches of 32, 10 epochs. Keras: a script that "
        "loads 4,000 files with Pillow, trains on all of them and evaluates on 1,000 held out. "
        "Mintage: one process that collects the same files into a signed dataset, trains, "
        "exports, calibrates, signs and evaluates on the same 1,000, without a report; a tenth of "
        "its files are kept aside to choose and to test by, and not trained on. Wall-clock is the "
        "whole process's. Imports are libraries; what Mintage's verbs load when they are first "
        "used counts among them.",
        tables.same_network,
    ),
    "time-to-accuracy": Section(
        "Time to the Keras script's accuracy",
        "That Keras script, beside Mintage's trainer by the clock: a process that reads the "
        "same files, trains the network that the time calls for, for so many seconds, and "
        "evaluates on the same held-out files; no dataset, export or signature. Whole processes, "
        "imports and evaluation included on both sides.",
        tables.time_to_accuracy,
    ),
    "equal-time": Section(
        "Accuracy in the Keras script's own time",
        "Mintage's trainer, from files to evaluated network, in the very seconds that the Keras "
        "script had taken just before; and `mintage train --time` with as many seconds, to a "
        "signed bundle, its dataset collected before.",
        tables.equal_time,
    ),
    "five-minutes": Section(
        "Five minutes, from scratch",
        "Each has five minutes from the start of its process. Mintage ends with a signed "
        "bundle, evaluated on its own test split, and is then evaluated on the 1,000 held-out "
        "files; the peers' five minutes end with that evaluation. ResNet-18: He et al. at 128 "
        "px in plain PyTorch, float32, SGD with one cycle, random resized crops and flips. "
        "Xception: the small one of Keras' example at 180 px with its augmentation, batches of "
        "128, Adam 3e-4; on this processor five minutes are a fraction of its published 25 "
        "epochs.",
        lambda kept: tables.by_clock(kept, 0.93),
    ),
    "twenty-minutes": Section(
        "Twenty minutes, from scratch",
        "As above, `--time 20m`.",
        lambda kept: tables.by_clock(kept, None),
    ),
    "loading": Section(
        "From JPEG to tensors, one core",
        "Processes pinned to one core, files in memory. Mintage and Pillow take turns in one "
        "process, 256 pictures each, and end with `float32[32, 3, side, side]`; Pillow decodes "
        "at full size, converts and resizes with the same bilinear filter. Keras' "
        "`image_dataset_from_directory` has batches of 32 and no shuffling, and runs just "
        "after.",
        tables.loading,
    ),
    "growth": Section(
        "Growing numbers of pictures",
        "Pictures made from `pets`: 1 to 8 pixels cropped off each edge, one of the eight "
        "symmetries, encoded anew, so that none is a near duplicate of another. A process for "
        "each step, after a first small unmeasured set; training goes through as many pictures for "
        "all numbers, after a first epoch. "
        "Anonymous memory is what no file stands behind; resident memory counts pages of the "
        "memory-mapped pixels too, which the system takes back when it wants them. The limit is "
        "the index: what a process takes more that does nothing but load the dataset.",
        tables.growth,
    ),
    "suspects": Section(
        "Labels that are wrong",
        "5 % of the labels of `pets` flipped at random before collecting.",
        tables.suspects,
    ),
}

CHAPTER = Chapter(
    "What follows is written by `make bench-train`: sides by turns in one run, on the same "
    "files, with as many threads; accuracy is on `pets-valid`, which chose nothing.",
    _SECTIONS,
)
