"""The best weights of a training, on disk as safetensors and JSON: no pickle anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import nn

from mintage.core.errors import DataError
from mintage.core.files import write_atomic
from mintage.core.messages import _


class Checkpoint:
    """Keeps whatever was best on validation data: accuracy first, ties by the lower loss.

    ``best.safetensors`` holds the weights, ``best.json`` the epoch's record. Each is there
    wholly or not at all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epoch = 0
        self._score: tuple[float, float] | None = None

    def offer(self, network: nn.Module, record: dict[str, Any]) -> bool:
        """Keep these weights if they are the best so far; say whether they were."""
        if record["validation_loss"] is None:  # not a number: no weights to keep
            return False
        score = (record["validation_accuracy"], -record["validation_loss"])
        if self._score is not None and score <= self._score:
            return False
        self._score, self.epoch = score, record["epoch"]
        # Weights in channels-last order are not contiguous, which safetensors demands.
        state = {name: value.contiguous() for name, value in network.state_dict().items()}
        write_atomic(self.folder / "best.safetensors", save(state), durable=False)
        document = json.dumps(record, indent=1, sort_keys=True).encode() + b"\n"
        write_atomic(self.folder / "best.json", document, durable=False)
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
        network.load_state_dict(load((self.folder / "best.safetensors").read_bytes()))
