"""What all servers share: the pictures that are posted, and a workspace with what is sold."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.common import DATA, Failed, mintage, part_of, say
from benchmarks.stopwatch import class_files

PRODUCTS = ("seed-cnn", "compact")
"""Products, named after the network that answers: the first measures the server, the second is
what customers get. Each has two versions, of which the first is published."""
SIDE = {"seed-cnn": 28, "compact": 96}
"""The pictures that they judge, in pixels."""
SIZE_BYTES = range(45_000, 49_001)
"""The files that are posted: 47 kB, give or take two."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; ``--smoke`` has the smallest that still runs every line."""

    pictures: int = 32
    examples: int = 1000
    epochs: int = 3
    warm_up_seconds: float = 3
    seconds: float = 10
    connections: int = 16
    saturating: tuple[int, ...] = (16, 32)
    crowd: int = 10_000
    cycles: int = 200
    slices: int = 10
    slice_seconds: float = 60


QUICK = Scale(cycles=20, slice_seconds=6)
SMOKE = Scale(
    pictures=4,
    examples=300,
    epochs=1,
    warm_up_seconds=1,
    seconds=1,
    crowd=400,
    cycles=2,
    slices=3,
    slice_seconds=2,
)


@dataclass(frozen=True)
class Shop:
    """A workspace of its own with both products, and a customer's key."""

    home: Path
    key: str

    def bundle(self, product: str, version: int = 1) -> Path:
        """The folder of a version's bundle."""
        return self.home / "models" / product / str(version)


class Lab:
    """Makes pictures and models when they are first wanted, and a copy of them for each server."""

    def __init__(self, scratch: Path, scale: Scale) -> None:
        self.scratch, self.scale = scratch, scale

    @cached_property
    def pictures(self) -> list[bytes]:
        """Photographs of ``pets`` that have the size by themselves, evenly chosen.

        Raises:
            Failed: there are too few of them.
        """
        paths = [path for path, __ in class_files(DATA / "pets")]
        fit = [path for path in paths if path.stat().st_size in SIZE_BYTES]
        if len(fit) < self.scale.pictures:
            raise Failed(f"Only {len(fit)} files of {DATA / 'pets'} have 45 to 49 kB.")
        return [path.read_bytes() for path in fit[:: len(fit) // self.scale.pictures]][
            : self.scale.pictures
        ]

    @cached_property
    def picture_folder(self) -> Path:
        """The same as files."""
        folder = self.scratch / "pictures"
        folder.mkdir()
        for number, data in enumerate(self.pictures):
            (folder / f"{number:02}.jpg").write_bytes(data)
        return folder

    @cached_property
    def _made(self) -> Shop:
        """Both networks, trained twice for a few epochs: it is their cost that matters."""
        home = self.scratch / "shop"
        say("  training the models that are served, about two minutes")
        source = part_of(DATA / "pets", self.scale.examples, self.scratch / "examples")
        about = ("--licence", "CC0", "--consent", "given", "--origin", "a benchmark")
        mintage(home, "collect", source, "--name", "pets", *about)
        for product in PRODUCTS:
            options = ("--recipe", self._recipe(home, product), "--name", product, "--no-report")
            for seed in range(2):
                mintage(home, "train", "pets", *options, "--seed", seed)
            mintage(home, "publish", f"{product}@1", "--product", product)
        return Shop(home, mintage(home, "customer", "add", "A customer")["key"])

    def _recipe(self, home: Path, product: str) -> Path:
        """The network's own recipe, with the side that is wanted here."""
        path = self.scratch / f"{product}.toml"
        options = ("--recipe", product, "--epochs", self.scale.epochs)
        mintage(home, "recipe", "pets", *options, "--output", path)
        text = path.read_text(encoding="utf-8")
        side = f"input_size = {SIDE[product]}"
        path.write_text(re.sub(r"(?m)^input_size = \d+", side, text), encoding="utf-8")
        return path

    @contextmanager
    def shop(self) -> Iterator[Shop]:
        """A workspace in which nothing was sold yet; it is gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            home = Path(name) / "shop"
            shutil.copytree(self._made.home, home)
            yield Shop(home, self._made.key)
