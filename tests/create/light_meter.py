"""A model that knows no more than how much light there is, and data of which all is known.

Half of the pictures are ``light``, the others ``dark``; those of the camera ``old`` are labelled
wrongly three times of ten, the others never.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.pictures import encoded, noise

from mintage.app.root import App
from mintage.bundle.format import Manifest
from mintage.bundle.graph import Graph
from mintage.core import registry
from mintage.core.progress import Silent
from mintage.core.types import InputSpec
from mintage.create.answers import Answers
from mintage.create.dataset import Dataset
from mintage.create.diagnose import in_split
from mintage.create.prepare import decoded

SIDE = 8
SPEC = InputSpec("image", SIDE)


def light_meter(gain: float = 30.0) -> Graph:
    """logit = gain x (mean of all values / 255 - 0.4); features = mean colour / 255 [N, 3]."""
    numbers = {"scale": 1 / 255, "middle": 0.4, "gain": gain}
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["colour", "scale"], ["features"]),
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["mean", "middle"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["logits"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3]),
    ]
    constants = [numpy_helper.from_array(np.float32(v), name) for name, v in numbers.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "light", [pixels], outputs, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return Graph(model.SerializeToString(), threads=1)


def manifest_for(dataset: Dataset, **changes: object) -> Manifest:
    values = {
        "modality": "image",
        "task": "class",
        "labels": ("dark", "light"),
        "input": SPEC,
        "temperature": 2.0,
        "abstain_threshold": None,
        "novelty": None,
        "dataset": {"name": dataset.name, "version": dataset.version},
        "recipe": {},
        "metrics": {},
        "seed": 0,
        "libraries": {},
    }
    return Manifest(**(values | changes))  # type: ignore[arg-type]


def write_table(folder: Path, count: int = 480) -> Path:
    """A table of pictures with the columns ``camera`` and ``hour``."""
    (folder / "photos").mkdir(parents=True)
    chance = np.random.default_rng(5)
    rows = [("path", "label", "camera", "hour")]
    for number in range(count):
        camera = ("old", "new", "phone")[number % 3]
        light = number % 2 == 1
        size = (48, 36) if number % 4 else (36, 48)
        low, high = (105, 185) if light else (10, 75)
        level = chance.uniform(low, high)
        pixels = np.asarray(noise(number, size), np.float64)
        pixels += level - pixels.mean()
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        kind = "PNG" if camera == "new" else "JPEG"
        wrong = camera == "old" and number // 6 % 10 < 3
        path = f"photos/{number:03}.{kind.lower()}"
        (folder / path).write_bytes(encoded(picture, kind))
        hour = str(chance.integers(0, 24))
        rows.append((path, "light" if light != wrong else "dark", camera, hour))
    with (folder / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return folder / "table.csv"


def pixels_of(app: App, dataset: Dataset) -> NDArray[np.uint8]:
    kind = registry.modalities().get("image")
    return decoded(app.workspace, dataset, kind, SPEC, Silent())


def answers_of(app: App, dataset: Dataset, **changes: object) -> Answers:
    return Answers.of(
        light_meter(),
        manifest_for(dataset, **changes),
        dataset,
        pixels_of(app, dataset),
        in_split(dataset, "test"),
    )
