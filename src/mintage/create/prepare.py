"""Step 2, prepare: decoded pixels in a memory-mapped array, made once and thrown away freely.

Those of a sealed workspace are in memory alone: they are pictures that anybody could look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mintage.core.files import readable_failures, reserve
from mintage.core.ids import new_id
from mintage.core.machine import memory_free_bytes
from mintage.core.messages import _
from mintage.core.parallel import in_order
from mintage.core.ports import Modality
from mintage.core.progress import Progress
from mintage.core.types import InputSpec
from mintage.create.dataset import Dataset
from mintage.store.workspace import Workspace

_DECODER = "v2"
_LEAVES = 4  # an array beside others may take this part of the free memory


@dataclass
class Pictures:
    """A dataset's decoded pictures, asked for again and again: each side is decoded once.

    What is in memory alone would else be decoded anew for every fold, and after a training by the
    clock in time that nobody kept back.
    """

    workspace: Workspace
    dataset: Dataset
    kind: Modality
    progress: Progress
    _held: dict[int, NDArray[np.uint8]] = field(init=False, default_factory=dict)

    def at(self, side: int) -> NDArray[np.uint8]:
        """uint8[N, side, side, 3], as ``decoded`` gives them."""
        if side not in self._held:
            self.make_room(side)
            spec = InputSpec(self.dataset.card["modality"], side)
            self._held[side] = decoded(self.workspace, self.dataset, self.kind, spec, self.progress)
        return self._held[side]

    def make_room(self, side: int) -> int:
        """Bytes of memory that those of this side will take; others go where there is little."""
        if self.workspace.sealing is None or side in self._held:
            return 0
        needed, free = len(self.dataset.examples) * side * side * 3, memory_free_bytes()
        if free is not None and _LEAVES * needed > free:
            self._held.clear()
        return needed


def decoded(
    workspace: Workspace, dataset: Dataset, kind: Modality, spec: InputSpec, progress: Progress
) -> NDArray[np.uint8]:
    """uint8[N, side, side, 3], memory-mapped, in the order of the dataset's manifest.

    The file is complete or absent: it is written aside and renamed, so an interrupted run never
    leaves half a cache that looks whole.
    """
    if workspace.sealing is not None:
        array = np.empty((len(dataset.examples), spec.side, spec.side, 3), dtype=np.uint8)
        _decode_into(array, workspace, dataset, kind, spec, progress)
        return array
    folder = workspace.cache_folder / dataset.version[:32]
    path = folder / f"{spec.modality}-{spec.side}-{_DECODER}.npy"
    if not path.exists():
        with readable_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
            staging = folder / f".{path.name}.{new_id('tmp')}"
            try:
                shape = (len(dataset.examples), spec.side, spec.side, 3)
                made = np.lib.format.open_memmap(staging, mode="w+", dtype=np.uint8, shape=shape)
                reserve(staging)
                _decode_into(made, workspace, dataset, kind, spec, progress)
                made.flush()
                staging.replace(path)
            finally:
                staging.unlink(missing_ok=True)
    mapped: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return mapped


def _decode_into(
    array: NDArray[np.uint8],
    workspace: Workspace,
    dataset: Dataset,
    kind: Modality,
    spec: InputSpec,
    progress: Progress,
) -> None:
    examples, blobs = dataset.examples, workspace.blobs_of(dataset.name)

    def decode(position: int) -> None:
        example = examples[position]
        data = blobs.get(example.sha256)
        array[position] = kind.decode(data, spec, orientation=example.orientation)

    title = _("Decoding at {side} px", side=spec.side)
    for __ in in_order(title, range(len(examples)), decode, progress):
        pass
