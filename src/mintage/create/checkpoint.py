"""What a training leaves on disk: its best weights and all that a resume needs, in one file.

It is safetensors, no pickle: numbers as tensors, all else as JSON in the file's own metadata. It
is there wholly or not at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mintage.core.errors import DataError
from mintage.core.files import read_whole, write_atomic
from mintage.core.messages import _
from mintage.modalities.safe_tensors import check, check_file

FILE = "state.safetensors"
_DOCUMENT = "mintage"
_FORMAT = 3
_UNREADABLE = (OSError, SafetensorError, DataError, KeyError, ValueError)
# Saving may take this share of the training's time.
_SAVING_SHARE = 0.03


class Checkpoint:
    """Keeps the weights that were best on validation data, and writes them with the last state.

    Best by ``choose_by`` (``accuracy`` or ``balanced_accuracy``), ties by the lower loss; the
    last, where ``restore_best`` is false.
    """

    def __init__(
        self, folder: Path, choose_by: str = "accuracy", *, restore_best: bool = True
    ) -> None:
        self.path, self.choose_by, self.restore_best = folder / FILE, choose_by, restore_best
        self.epoch = self.best_epoch = 0
        self._best: dict[str, Tensor] = {}
        self._score: tuple[float, float] | None = None
        self._saved_at = time.monotonic()
        self._saving_seconds = 0.0

    def offer(self, network: nn.Module, record: Mapping[str, Any]) -> bool:
        """Keep these weights if they are those to deliver so far; say whether they are.

        ``best_epoch`` is the best so far in any case: patience counts from there.
        """
        if record["validation_loss"] is None:  # not a number: no weights to keep
            return False
        score = (record[f"validation_{self.choose_by}"], -record["validation_loss"])
        if self._score is None or score > self._score:
            self._score, self.best_epoch = score, record["epoch"]
        elif self.restore_best:
            return False
        self.epoch = record["epoch"]
        self._best = {
            name: value.detach().to("cpu", copy=True)
            for name, value in network.state_dict().items()
        }
        return True

    def restore(self, network: nn.Module) -> None:
        """Put the best weights into the network.

        Raises:
            DataError: nothing was kept, because no validation had a finite loss.
        """
        if self._score is None:
            raise DataError(
                _("Training diverged: no epoch had a finite validation loss."),
                remedy=_("Lower the learning rate of the recipe."),
            )
        network.load_state_dict(self._best)

    def is_due(self) -> bool:
        """Whether saving again would take a small share of the time since the last."""
        return self._saving_seconds <= _SAVING_SHARE * (time.monotonic() - self._saved_at)

    def save(self, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        """Write the state that training goes on from, and the best weights.

        Raises:
            MintageError: the disk is full or cannot be written; the last state is still there.
        """
        began = time.monotonic()
        best = {"epoch": self.epoch, "best_epoch": self.best_epoch, "score": self._score}
        text = json.dumps({**document, "best": best, "format": _FORMAT}, sort_keys=True)
        every = {**tensors, **{f"best.{name}": value for name, value in self._best.items()}}
        # Weights in channels-last order are not contiguous, which safetensors demands.
        content = {name: value.detach().cpu().contiguous() for name, value in every.items()}
        write_atomic(self.path, save(content, {_DOCUMENT: text}), durable=False)
        self._saved_at = time.monotonic()
        self._saving_seconds = self._saved_at - began

    def last(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What ``save`` wrote, or None where there is nothing that can be read.

        Power may fail before a file is on disk; a file cut short is no state, nor is one that
        another version wrote.
        """
        try:
            document = _document(self.path)
            data = read_whole(self.path)
            check(data, finite=False)
            tensors = load(data)
        except _UNREADABLE:
            return None
        best = document["best"]
        self.epoch, self.best_epoch = best["epoch"], best["best_epoch"]
        self._score = None if best["score"] is None else (best["score"][0], best["score"][1])
        self._best = part_of(tensors, "best.")
        return tensors, document


def is_lost(folder: Path) -> bool:
    """Whether a state is there that nothing can go on from."""
    path = folder / FILE
    try:
        _document(path)
    except _UNREADABLE:
        return path.exists()
    return False


def _document(path: Path) -> dict[str, Any]:
    """What stands beside the tensors.

    Raises:
        DataError, KeyError, ValueError: it cannot be read, or is another version's.
    """
    # A diverged candidate's numbers are none, and yet a state that training ends from.
    found = check_file(path, finite=False)  # checks that the tensors are all there
    document: dict[str, Any] = json.loads(found.metadata[_DOCUMENT])
    if document["format"] != _FORMAT:
        raise ValueError(document["format"])
    return document


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
