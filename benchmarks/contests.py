"""The cells of ``make bench-train``: who is measured beside whom, with what, how often."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from benchmarks import cells, more_pictures
from benchmarks.common import DATA, KERAS_PYTHON, Result, mintage, part_of, say, script, trained


@dataclass(frozen=True)
class Scale:
    """How much of everything; ``--smoke`` has the smallest that still runs every line."""

    files: int = 0  # of the training folder, and a quarter as many held out; 0 means all
    epochs: int = 10
    clock_seconds: tuple[float, ...] = (3, 4, 5, 6, 8)
    five_minutes: float = 300
    twenty_minutes: float = 1200
    pictures: tuple[int, ...] = (1000, 4000, 16_000)
    warm_up: int = 200
    loaded: int = 1000
    passes: int = 3


SMOKE = Scale(
    files=240,
    epochs=1,
    clock_seconds=(1, 2),
    five_minutes=20,
    twenty_minutes=20,
    pictures=(60, 120, 240),
    warm_up=60,
    loaded=40,
    passes=1,
)


class Lab:
    """The files that all sides get, and a workspace in which they were collected once."""

    def __init__(self, scratch: Path, scale: Scale) -> None:
        self.scratch, self.scale = scratch, scale

    @cached_property
    def train(self) -> Path:
        """The folder to train on."""
        return self._part(DATA / "pets", self.scale.files)

    @cached_property
    def held_out(self) -> Path:
        """The folder that is measured on, at the end of each repetition and never before."""
        return self._part(DATA / "pets-valid", self.scale.files // 4)

    def _part(self, folder: Path, files: int) -> Path:
        return part_of(folder, files, self.scratch / folder.name) if files else folder

    @cached_property
    def collected(self) -> tuple[Path, float]:
        """A workspace with the dataset ``pets``, and the seconds that collecting it took."""
        home = self.scratch / "workspace"
        began = time.monotonic()
        mintage(home, "collect", self.train, "--name", "pets")
        return home, round(time.monotonic() - began, 3)

    @cached_property
    def more(self) -> more_pictures.Folders:
        """Pictures for growth, made when they are first wanted."""
        say(f"  making {max(self.scale.pictures):,} pictures")
        scale = self.scale
        return more_pictures.make(self.train, self.scratch / "more", scale.pictures, scale.warm_up)

    def new_folder(self) -> Path:
        """An empty folder on the same disk as everything else, for one repetition.

        It stays until all is measured: an ext4 without a journal passes over the places of files
        deleted within the last minutes, and makes each new one in 0.35 ms instead of 0.01.
        """
        return Path(tempfile.mkdtemp(dir=self.scratch))


Turn: TypeAlias = cells.Turn[Lab]
Side: TypeAlias = cells.Side[Lab]
Cell: TypeAlias = cells.Cell[Lab]


def keras_seed(turn: Turn) -> Result:
    """The seed network as a textbook trains it with Keras."""
    lab = turn.lab
    return script(
        "peers.keras_seed",
        python=KERAS_PYTHON,
        train=lab.train,
        held_out=lab.held_out,
        seed=turn.seed,
        epochs=lab.scale.epochs,
    )


def our_seed(turn: Turn) -> Result:
    """The seed network by Mintage's Python face: files, dataset, signed bundle, evaluation."""
    lab = turn.lab
    folder = lab.new_folder()
    return script(
        "ours.seed",
        train=lab.train,
        held_out=lab.held_out,
        home=folder / "workspace",
        seed=turn.seed,
        epochs=lab.scale.epochs,
    )


def clocked(turn: Turn, *, fit_seconds: float = 0.0, total_seconds: float = 0.0) -> Result:
    """Mintage's trainer from files to evaluated network, for so long."""
    lab = turn.lab
    folder = lab.new_folder()
    return script(
        "ours.clocked",
        train=lab.train,
        held_out=lab.held_out,
        scratch=folder,
        seed=turn.seed,
        fit_seconds=float(fit_seconds),
        total_seconds=float(total_seconds),
    )


def in_keras_time(turn: Turn) -> Result:
    """Mintage's trainer in the very seconds that the Keras script took just before."""
    return clocked(turn, total_seconds=turn.earlier["keras"]["wall"])


def product_in_keras_time(turn: Turn) -> Result:
    """``mintage train --time`` with the seconds that the Keras script took, if that is allowed."""
    from mintage.create.trials import SHORTEST_SECONDS

    seconds = turn.earlier["keras"]["wall"]
    if seconds < SHORTEST_SECONDS:
        return {"skipped": f"{seconds:.1f} s is less than --time takes ({SHORTEST_SECONDS:.0f} s)"}
    return by_time(turn, seconds=seconds)


def by_time(turn: Turn, *, seconds: float) -> Result:
    """``mintage train --time``, a whole process, then ``mintage evaluate`` on held-out data."""
    home, collecting = turn.lab.collected
    options = ("--time", f"{seconds:.1f}s", "--seed", turn.seed)
    found = trained(home, "pets", turn.lab.held_out, *options)
    return {**found, "wall": found["seconds"], "promised": seconds, "collecting": collecting}


def by_clock(turn: Turn, *, module: str, python: Path | str = sys.executable) -> Result:
    """A peer's training, stopped so that it is evaluated when its five minutes end."""
    lab = turn.lab
    return script(
        module,
        python=python,
        train=lab.train,
        held_out=lab.held_out,
        seed=turn.seed,
        seconds=float(lab.scale.five_minutes),
    )


def loading(turn: Turn, *, module: str, python: Path | str = sys.executable) -> Result:
    """Pictures a second from files to tensors, pinned to one core."""
    scale = turn.lab.scale
    return script(
        module,
        python=python,
        threads=1,
        cores=1,
        train=turn.lab.train,
        pictures=scale.loaded,
        passes=scale.passes,
    )


def growth(turn: Turn, *, pictures: int) -> Result:
    """Collect, prepare and train on so many pictures: a process each, watched for its memory."""
    more = turn.lab.more
    found = {}
    folder = turn.lab.new_folder()
    for step in ("collect", "prepare", "train", "index"):
        found[step] = script(
            "ours.growth",
            watch_memory=True,
            step=step,
            pictures=more.folders[pictures],
            warm_up=more.warm_up,
            seen=max(turn.lab.scale.pictures),
            home=folder / "workspace",
            seed=turn.seed,
        )
    return found


def suspects(turn: Turn) -> Result:
    """Labels flipped at random, and how many of them the suspect list has at its top."""
    found: Result = import_module("benchmarks.suspects").measure(turn.lab.train, turn.seed)
    return found


def _no_suspects() -> str:
    return "" if find_spec("benchmarks.suspects") else "benchmarks/suspects.py is not there"


def _same_network(__: Lab) -> list[Side]:
    return [Side("mintage", our_seed, 15), Side("keras", keras_seed, 25)]


def _time_to_accuracy(lab: Lab) -> list[Side]:
    ours = [
        Side(f"mintage {seconds:g} s", partial(clocked, fit_seconds=seconds), seconds + 5)
        for seconds in lab.scale.clock_seconds
    ]
    return [*ours, Side("keras", keras_seed, 25)]


def _equal_time(__: Lab) -> list[Side]:
    return [
        Side("keras", keras_seed, 25),
        Side("mintage", in_keras_time, 25),
        Side("mintage train --time", product_in_keras_time, 30),
    ]


def _five_minutes(lab: Lab) -> list[Side]:
    seconds = lab.scale.five_minutes
    return [
        Side("mintage", partial(by_time, seconds=seconds), seconds + 10),
        Side("resnet18", partial(by_clock, module="peers.resnet18"), seconds),
        Side(
            "keras xception",
            partial(by_clock, module="peers.keras_xception", python=KERAS_PYTHON),
            seconds,
        ),
    ]


def _twenty_minutes(lab: Lab) -> list[Side]:
    seconds = lab.scale.twenty_minutes
    return [Side("mintage", partial(by_time, seconds=seconds), seconds + 10)]


def _loading(__: Lab) -> list[Side]:
    keras = partial(loading, module="peers.keras_loading", python=KERAS_PYTHON)
    return [
        Side("mintage and pillow", partial(loading, module="ours.loading"), 25),
        Side("keras", keras, 25),
    ]


def _growth(lab: Lab) -> list[Side]:
    return [
        Side(str(count), partial(growth, pictures=count), 20 + count / 150)
        for count in lab.scale.pictures
    ]


def _suspects(__: Lab) -> list[Side]:
    return [Side("mintage", suspects, 300)]


CELLS = (
    Cell("same-network", "the seed network, as many epochs, beside Keras", _same_network),
    Cell("time-to-accuracy", "the time to the Keras script's accuracy", _time_to_accuracy),
    Cell("equal-time", "accuracy in the Keras script's own time", _equal_time),
    Cell("loading", "from JPEG to tensors on one core, beside Pillow and Keras", _loading),
    Cell("growth", "time and memory at growing numbers of pictures", _growth),
    Cell("suspects", "flipped labels found", _suspects, _no_suspects),
    Cell("five-minutes", "--time 5m, beside ResNet-18 and Keras' Xception", _five_minutes),
    Cell("twenty-minutes", "--time 20m", _twenty_minutes),
)
