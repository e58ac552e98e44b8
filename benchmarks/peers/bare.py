"""A bare predict, as the servers measured beside ours are given one: Pillow, NumPy, ONNX Runtime.

It opens the graph of one of our bundles, with one thread that does not spin, and decodes with
Pillow in draft mode: a JPEG at the smallest scale that is large enough. It knows no strangers,
no thresholds, no receipts.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from benchmarks.peers.settings import BUNDLE


class Model:
    """Bytes in, a label with its probability out."""

    def __init__(self, folder: Path) -> None:
        """Open a bundle's graph without asking whether it is what was signed."""
        manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        self._labels: list[str] = manifest["labels"]
        self._side: int = manifest["input"]["side"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            (folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    @classmethod
    def given(cls) -> Model:
        """The one that the environment names."""
        return cls(Path(os.environ[BUNDLE]))

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """uint8[side, side, 3] of a picture's bytes."""
        with Image.open(io.BytesIO(data)) as image:
            return self.pixels(image)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """uint8[side, side, 3] of a picture that is opened and not loaded."""
        size = (self._side, self._side)
        image.draft("RGB", size)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))

    def infer(self, inputs: Sequence[NDArray[np.uint8]]) -> list[dict[str, Any]]:
        """An answer for each of some decoded pictures."""
        (logits,) = self._session.run(["logits"], {"pixels": np.stack(inputs)})
        if logits.shape[1] == 1:  # one logit for two classes: that of the second
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        rows = raised / raised.sum(axis=1, keepdims=True)
        best = rows.argmax(axis=1)
        return [
            {"label": self._labels[place], "probability": round(float(row[place]), 6)}
            for row, place in zip(rows, best, strict=True)
        ]
