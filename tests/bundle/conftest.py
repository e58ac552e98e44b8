"""A tiny bundle: its graph averages the colours, its modality and task are fakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mintage.bundle import predictor
from mintage.bundle.format import Manifest, write_bundle
from mintage.core.errors import DataError
from mintage.core.types import InputSpec
from mintage.trust.keys import KeyRing

SIDE = 2
LABELS = ("red", "green", "blue")


def graph(
    *, logits: int = 3, pixels: str = "pixels", features: bool = True, gain: float = 1.0
) -> bytes:
    """features = mean colour / 255 [N, 3]; logits = gain x the first ``logits`` of them."""
    weight = numpy_helper.from_array(
        np.eye(3, logits, dtype=np.float32) * np.float32(gain), "weight"
    )
    scale = numpy_helper.from_array(np.float32(1 / 255), "scale")
    nodes = [
        helper.make_node("Cast", [pixels], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["features"]),
        helper.make_node("MatMul", ["features", "weight"], ["logits"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", logits])]
    if features:
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3]))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(pixels, TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
            outputs,
            [weight, scale],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class FakeModality:
    """An upload is the twelve bytes of a 2 by 2 picture."""

    def decode(
        self, data: bytes, spec: InputSpec, *, orientation: int | None = None
    ) -> NDArray[np.uint8]:
        if len(data) != spec.side**2 * 3:
            raise DataError("not a picture")
        return np.frombuffer(data, np.uint8).reshape(spec.side, spec.side, 3)


class FakeTask:
    """Softmax, and an output that says what it was given."""

    def probabilities(self, logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
        raised = np.exp(logits.astype(float) / temperature)
        return raised / raised.sum(axis=1, keepdims=True)

    def output(self, probabilities: NDArray[np.float64], labels: Any) -> dict[str, Any]:
        best = int(probabilities.argmax())
        return {
            "label": labels[best],
            "probability": float(probabilities[best]),
            "probabilities": dict(zip(labels, map(float, probabilities), strict=True)),
        }


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "modalities", lambda: {"image": FakeModality()})
    monkeypatch.setattr(predictor, "tasks", lambda: {"class": FakeTask()})


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        modality="image",
        task="class",
        labels=LABELS,
        input=InputSpec("image", SIDE, {"filter": "box"}),
        temperature=1.0,
        abstain_threshold=None,
        novelty=None,
        dataset={"name": "pets", "version": "ab" * 32},
        recipe={"candidate": "seed-cnn", "epochs": 10},
        metrics={"accuracy": 0.75},
        seed=0,
        libraries={"torch": "2.13.0"},
    )


def other_files(model: bytes) -> dict[str, bytes]:
    return {"model.onnx": model, "card.md": b"# Colours\n", "evaluation.json": b"{}"}


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, keys: KeyRing, manifest: Manifest) -> Write:
    """Writes a bundle and gives its folder."""

    def writing(
        name: str = "colours@1",
        manifest: Manifest = manifest,
        model: bytes | None = None,
        **more: bytes,
    ) -> Path:
        folder = tmp_path / "models" / name
        folder.parent.mkdir(exist_ok=True)
        files = {**other_files(graph() if model is None else model), **more}
        write_bundle(folder, manifest, files, keys.signer("bundle"), name)
        return folder

    return writing
