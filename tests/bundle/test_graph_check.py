"""Graphs of others: refused before the runtime sees a byte of them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.bundle.conftest import graph

from mintage.bundle import graph_check
from mintage.bundle.graph import open_session
from mintage.bundle.graph_check import OPERATORS, check_graph
from mintage.core.errors import DataError

ROUNDS = 100 * int(os.environ.get("MINTAGE_ROUNDS", "10"))


@pytest.fixture
def _no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: Any, **_more: Any) -> None:
        pytest.fail("the runtime was given what had to be refused")

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string(graph())
    change(model)
    return bytes(model.SerializeToString())


def _nodes(*nodes: onnx.NodeProto) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.node.extend(nodes)


def _outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def _outside_in_a_constant(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))


def _function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Relu", ["a"], ["b"])
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("mine", "Twice", ["a"], ["b"], [node], opset))


def _inner() -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["same"])],
        "inner",
        [],
        [helper.make_tensor_value_info("same", TensorProto.UINT8, None)],
    )


def _hidden_graph(model: onnx.ModelProto) -> None:
    """A graph as the attribute of an operator that has none."""
    node = helper.make_node("Relu", ["features"], ["r"])
    node.attribute.append(helper.make_attribute("body", _inner()))
    model.graph.node.append(node)


def _sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, places, [1_000_000_000, 1000])
    )


def _announced(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def _typed(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("typed", TensorProto.INT64, [3], [1, -2, 3])
    tensor.dims[0] = 4
    model.graph.initializer.append(tensor)


def _made(operator: str, *shapes: list[int], before: tuple[str, ...] = ()) -> Any:
    def change(model: onnx.ModelProto) -> None:
        names = [f"shape{number}" for number in range(len(shapes))]
        for name, numbers in zip(names, shapes, strict=True):
            array = np.array(numbers if operator != "Range" else numbers[0], np.int64)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        model.graph.node.append(helper.make_node(operator, [*before, *names], ["made"]))

    return change


def _made_by_a_constant(model: onnx.ModelProto) -> None:
    value = helper.make_tensor("v", TensorProto.INT64, [2], [1 << 20, 1 << 20])
    model.graph.node.append(helper.make_node("Constant", [], ["s"], value=value))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["made"]))


def _made_by_integers(model: onnx.ModelProto) -> None:
    """The shape is written into the node, and not as a tensor."""
    model.graph.node.append(helper.make_node("Constant", [], ["s"], value_ints=[1 << 20, 1 << 20]))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["x"]))


REFUSED: dict[str, tuple[Any, str]] = {
    "weights in another file": (_outside, "reads 'weight' from another file"),
    "a constant in another file": (_outside_in_a_constant, "reads 'w' from another file"),
    "an operator that is unknown": (
        _nodes(helper.make_node("LoadLibrary", ["features"], ["x"])),
        "'LoadLibrary' is not run here",
    ),
    "an operator that decodes pictures": (
        _nodes(helper.make_node("ImageDecoder", ["pixels"], ["x"])),
        "'ImageDecoder' is not run here",
    ),
    "an operator of chance": (
        _nodes(helper.make_node("RandomNormal", [], ["x"], shape=[1])),
        "'RandomNormal' is not run here",
    ),
    "a domain that is unknown": (
        _nodes(helper.make_node("Relu", ["features"], ["x"], domain="evil.example")),
        "'evil.example' are not the standard's",
    ),
    "a domain that is only announced": (
        lambda model: model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3)),
        "'ai.onnx.ml' are not the standard's",
    ),
    "Microsoft's own operators": (
        _nodes(helper.make_node("FusedMatMul", ["a"], ["x"], domain="com.microsoft")),
        "'com.microsoft' are not the standard's",
    ),
    "functions": (_function, "functions of its own"),
    "training": (lambda model: model.training_info.add(), "how to train it"),
    "a branch": (
        _nodes(helper.make_node("If", ["c"], ["x"], then_branch=_inner(), else_branch=_inner())),
        "'If' is not run here",
    ),
    "a loop": (
        _nodes(helper.make_node("Loop", ["", ""], ["x"], body=_inner())),
        "'Loop' is not run here",
    ),
    "a graph in an operator that has none": (_hidden_graph, "Relu holds a graph of its own"),
    "sparse tensors": (_sparse, "sparse tensors"),
    "a tensor of more than its bytes": (_announced, "not as many numbers as its shape"),
    "a tensor of more than its numbers": (_typed, "not as many numbers as its shape"),
    "strings": (
        lambda model: model.graph.initializer.append(
            helper.make_tensor("s", TensorProto.STRING, [1], [b"x"])
        ),
        "kind 8, which is not read",
    ),
    "terabytes of one constant": (
        _made("ConstantOfShape", [1 << 20, 1 << 20]),
        "ConstantOfShape would make 1,099,511,627,776 numbers",
    ),
    "terabytes of a constant's integers": (_made_by_integers, "ConstantOfShape would make"),
    "terabytes of a constant's node": (_made_by_a_constant, "ConstantOfShape would make"),
    "terabytes by expanding": (
        _made("Expand", [1 << 40], before=("features",)),
        "Expand would make",
    ),
    "terabytes by repeating": (
        _made("Tile", [1 << 30, 1 << 10], before=("features",)),
        "Tile would make",
    ),
    "terabytes by counting": (_made("Range", [0], [1 << 40], [1]), "Range would make"),
    "counting without a step": (_made("Range", [0], [1], [0]), "Range would make"),
}


@pytest.mark.usefixtures("_no_runtime")
@pytest.mark.parametrize("what", REFUSED)
def test_a_graph_that_is_more_than_plain_operators_is_refused_before_it_is_loaded(
    what: str,
) -> None:
    change, reason = REFUSED[what]
    with pytest.raises(DataError, match=reason) as refused:
        open_session(changed(change), 1)
    assert refused.value.remedy


@pytest.mark.usefixtures("_no_runtime")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"", "holds 0 graphs, not one"),
        (graph() + graph(), "holds 2 graphs, not one"),
        (graph()[:-3], "no ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no ONNX file|holds 0 graphs"),
        (b"<html>", "no ONNX file|holds 0 graphs"),
    ],
)
def test_what_is_no_graph_is_refused(model: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        open_session(model, 1)


@pytest.mark.usefixtures("_no_runtime")
def test_a_file_that_is_too_large_is_refused_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_check, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="larger than"):
        open_session(graph(), 1)


@pytest.mark.usefixtures("_no_runtime")
def test_nodes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_check, "MOST_NODES", 3)
    with pytest.raises(DataError, match="more than 3 nodes"):
        open_session(graph(), 1)


def test_a_plain_graph_is_opened() -> None:
    assert open_session(graph(), 1).get_inputs()[0].name == "pixels"


def test_constants_that_make_little_are_let_be() -> None:
    check_graph(changed(_made("ConstantOfShape", [64, 3, 224, 224])))
    check_graph(changed(_made("Expand", [-1, 1, 1000], before=("features",))))
    check_graph(changed(_made("Range", [0], [1000], [1])))
    check_graph(changed(_made("Range", [1000], [0], [1])))
    # What ends a slice is as large as there are numbers.
    check_graph(changed(_made("Slice", [0], [(1 << 63) - 1], before=("features",))))


def test_every_operator_that_is_run_is_the_standards() -> None:
    assert {each.name for each in onnx.defs.get_all_schemas() if not each.domain} >= OPERATORS


def test_a_mutated_graph_is_opened_or_refused_and_never_more() -> None:
    chance, whole = random.Random(8), graph()
    opened = 0
    for __ in range(ROUNDS):
        data = bytearray(whole)
        for ___ in range(chance.choice((1, 1, 2, 4))):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    del data[at : at + chance.randrange(1, 8)]
                case _:
                    data[at:at] = data[at : at + chance.randrange(1, 24)]
        with suppress(DataError):
            open_session(bytes(data), 1)
            opened += 1
    assert opened
