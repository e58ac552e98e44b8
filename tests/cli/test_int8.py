"""``mintage train --int8``: whole numbers in the bundle, or the reason why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from tests.terminal import Terminal

from mintage.create import int8_check


def trained(mintage: Terminal, home: Path, *options: object) -> tuple[dict[str, Any], Path, bool]:
    """What ``--json`` says, the bundle's folder, and whether its graph is quantised."""
    found = mintage.json(
        "train", "pets", "--recipe", "seed-cnn", "--epochs", 6, *options, "--home", home
    )
    folder = Path(found["bundle"])
    nodes = onnx.load_model_from_string((folder / "model.onnx").read_bytes()).graph.node
    return found, folder, any(node.op_type == "QuantizeLinear" for node in nodes)


def test_the_bundle_computes_in_whole_numbers_and_is_the_same_each_time(
    mintage: Terminal, home: Path, trained_home: Path
) -> None:
    found, folder, quantised = trained(mintage, home, "--int8")
    assert quantised
    assert not found["int8"]["refused"]
    assert found["int8"]["drop_points"] <= 0.3
    assert "int8: " in mintage.err
    card = (folder / "card.md").read_text()
    assert f"{found['int8']['validation_accuracy']:.1%} right on" in card
    assert "millisecond" not in card
    assert json.loads((folder / "evaluation.json").read_text())["accuracy"] > 0.9
    picture = trained_home.parent / "photos/light/003.jpg"
    (answer,) = mintage.json("predict", found["model"], picture, "--home", home)
    assert answer["output"]["label"] == "light"
    __, again, __ = trained(mintage, home, "--int8")
    for name in ("model.onnx", "card.md", "bundle.json", "evaluation.json"):
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_without_it_nothing_is_quantised(mintage: Terminal, home: Path) -> None:
    found, __, quantised = trained(mintage, home)
    assert not quantised
    assert found["int8"] is None


def test_a_refusal_loses_nothing_and_says_why(
    mintage: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_check, "MOST_POINTS_LOST", -200.0)  # nothing could be good enough
    found, folder, quantised = trained(mintage, home, "--int8")
    assert not quantised
    assert found["int8"]["refused"]
    assert "falls from" in found["int8"]["because"]
    assert "int8 was refused, the float graph is kept" in mintage.err
    assert "int8" not in (folder / "card.md").read_text()
    __, plain, __ = trained(mintage, home)
    assert (folder / "model.onnx").read_bytes() == (plain / "model.onnx").read_bytes()
