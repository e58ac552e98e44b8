"""An ONNX graph, looked at before ONNX Runtime loads it, and without the package ``onnx``.

A bundle's signature says who made a graph, not that it is harmless. So it is one plain graph: the
standard's operators that compute numbers from numbers, all of its weights inside, each exactly as
many bytes as it announces. What is refused: weights in other files (a path of the author's choice),
operators and domains that are not known, functions, loops and branches (graphs within graphs,
without end), operators that read files or make chance, sparse tensors, and constants that would
have a few bytes become gigabytes.

Source of the field numbers: onnx.proto of ONNX 1.17, https://github.com/onnx/onnx.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from mintage.bundle.wire import BYTES, Field, Malformed, fields
from mintage.core.errors import DataError
from mintage.core.messages import _

MOST_BYTES = 2_000_000_000
"""What a graph in one file may have: protocol buffers end at 2 GiB."""
MOST_NODES = 100_000
MOST_MADE = 1 << 28
"""Numbers that a constant may have an operator make: 1 GB of them; no picture's network makes a
hundredth."""

_NAMES = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat
Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos CumSum DepthToSpace DequantizeLinear
Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul
MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not OneHot Or PRelu
Pad Pow QLinearConv QLinearMatMul QuantizeLinear RNN Range Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax
Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK
Transpose Trilu Unsqueeze Where Xor
"""
OPERATORS = frozenset(_NAMES.split())
"""The standard's operators of numbers. Left out: control flow, sequences, optionals, strings,
chance, training, and ``ImageDecoder``, whose decoders no allow-list of ours holds."""

_DOMAINS = ("", "ai.onnx")
# Bytes of a number by TensorProto.DataType; strings (8), complex and sub-byte kinds are not taken.
_WIDTHS: Mapping[int, int] = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8} | {
    12: 4,
    13: 8,
    16: 2,
}
_INT64 = 7
_MOST_DIMENSIONS = 16
_LONGEST_SHAPE = 16
# Which input says how much an operator makes: by its numbers' product, or by its only number.
_MAKERS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "OneHot": 1, "Pad": 1, "Resize": 3}

_OPSET_DOMAIN = 1
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 8, 20, 25
_GRAPH_NODE, _GRAPH_INITIALISER, _GRAPH_SPARSE = 1, 5, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_INTEGERS = (3, 8)  # one, and several
_ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE, _ATTRIBUTE_REFERENCE = (6, 11), (22, 23), 21
_TENSOR_DIMENSIONS, _TENSOR_KIND, _TENSOR_SEGMENT, _TENSOR_NAME = 1, 2, 3, 8
_TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 9, 13, 14
# The fields that hold numbers otherwise than raw, and the bytes of one; None for varints.
_TYPED: Mapping[int, int | None] = {4: 4, 5: None, 7: None, 10: 8, 11: None}


@dataclass(frozen=True)
class GraphFacts:
    """What a graph that may be opened is made of; ``weights`` counts the numbers in it."""

    size_bytes: int
    weights: int
    operators: Mapping[str, int]
    """How often each is in it, by name."""


def check_graph(model: bytes) -> GraphFacts:
    """Refuse a graph that a bundle may not have, before anything of it is loaded.

    Raises:
        DataError: it is none, or one of those above; the message says what was found.
    """
    if len(model) > MOST_BYTES:
        raise _refused(_("it is larger than {most_gb} GB", most_gb=MOST_BYTES // 10**9))
    try:
        graph = _check_model(memoryview(model))
    except Malformed as error:
        raise _refused(_("it is no ONNX file: {error}", error=str(error))) from error
    operators = Counter(operator for operator, __ in graph.nodes)
    return GraphFacts(len(model), graph.weights, dict(sorted(operators.items())))


def _check_model(model: memoryview) -> _Graph:
    graphs: list[memoryview] = []
    for each in fields(model):
        if each.number == _MODEL_GRAPH:
            graphs.append(each.message())
        elif each.number == _MODEL_OPSETS:
            _check_domain(
                "".join(part.text() for part in fields(each.message()) if part.number == 1)
            )
        elif each.number == _MODEL_FUNCTIONS:
            raise _refused(_("it defines functions of its own"))
        elif each.number == _MODEL_TRAINING:
            raise _refused(_("it holds how to train it"))
    # Of two, protocol buffers make one, member by member: nobody writes that.
    if len(graphs) != 1:
        raise _refused(_("it holds {count} graphs, not one", count=len(graphs)))
    graph = _Graph()
    graph.check(graphs[0])
    return graph


@dataclass
class _Graph:
    """What is known of a graph while its fields are read."""

    nodes: list[tuple[str, list[str]]] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The numbers of short constants of integers, by the name of the tensor."""
    weights: int = 0

    def check(self, graph: memoryview) -> None:
        for each in fields(graph):
            if each.number == _GRAPH_NODE:
                self._node(each.message())
            elif each.number == _GRAPH_INITIALISER:
                name, count, numbers = _tensor(each.message())
                self.weights += count
                if numbers is not None:
                    self.shapes[name] = numbers
            elif each.number == _GRAPH_SPARSE:
                raise _sparse()
        for operator, inputs in self.nodes:
            self._check_made(operator, inputs)

    def _node(self, node: memoryview) -> None:
        said: dict[int, list[Field]] = {}
        for each in fields(node):
            said.setdefault(each.number, []).append(each)

        def texts(number: int) -> list[str]:
            return [each.text() for each in said.get(number, [])]

        operator, outputs = "".join(texts(_NODE_OPERATOR)), texts(_NODE_OUTPUT)
        _check_domain("".join(texts(_NODE_DOMAIN)))
        if operator not in OPERATORS:
            raise _refused(_("its operator {operator!r} is not run here", operator=operator[:80]))
        if len(self.nodes) == MOST_NODES:
            raise _refused(_("it has more than {most:,} nodes", most=MOST_NODES))
        self.nodes.append((operator, texts(_NODE_INPUT)))
        for attribute in said.get(_NODE_ATTRIBUTE, []):
            numbers = _attribute(operator, attribute.message())
            if operator == "Constant" and numbers is not None and outputs:
                self.shapes[outputs[0]] = numbers

    def _check_made(self, operator: str, inputs: list[str]) -> None:
        if operator == "Range":
            said = [self.shapes.get(each, ()) for each in inputs]
            numbers = tuple(each[0] for each in said if len(each) == 1)
            made = _length_of_range(numbers) if len(numbers) == 3 else 0
        else:
            place = _MAKERS.get(operator, len(inputs))
            numbers = self.shapes.get(inputs[place], ()) if place < len(inputs) else ()
            made = math.prod(max(1, each) for each in numbers)
        if made > MOST_MADE:
            raise _refused(
                _("{operator} would make {made:,} numbers at once", operator=operator, made=made)
            )


def _length_of_range(numbers: tuple[int, ...]) -> int:
    start, limit, step = numbers
    return max(0, -(-(limit - start) // step)) if step else MOST_MADE + 1


def _attribute(operator: str, attribute: memoryview) -> tuple[int, ...] | None:
    """What a constant holds, as a tensor or as integers, if these are few."""
    numbers, written = None, list[int]()
    for each in fields(attribute):
        if each.number in _ATTRIBUTE_GRAPHS:
            raise _refused(_("{operator} holds a graph of its own", operator=operator))
        if each.number in _ATTRIBUTE_SPARSE:
            raise _sparse()
        if each.number == _ATTRIBUTE_REFERENCE:
            raise _refused(_("it refers to a function's attribute"))
        if each.number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            numbers = _tensor(each.message())[2]
        if each.number in _ATTRIBUTE_INTEGERS:
            written += islice(each.integers(), _LONGEST_SHAPE + 1)
    if written and len(written) <= _LONGEST_SHAPE:
        return tuple(written)
    return numbers


def _tensor(tensor: memoryview) -> tuple[str, int, tuple[int, ...] | None]:
    """Check a tensor; its name, how many numbers it has, and these if they are few integers."""
    said: dict[int, list[Field]] = {}
    for each in fields(tensor):
        said.setdefault(each.number, []).append(each)
    name = "".join(each.text() for each in said.get(_TENSOR_NAME, []))
    outside = any(each.value for each in said.get(_TENSOR_LOCATION, []))
    if outside or _TENSOR_EXTERNAL in said:
        raise _refused(_("it reads {name} from another file", name=_shown(name)))
    if _TENSOR_SEGMENT in said:
        raise _refused(_("{name} is only a part of a tensor", name=_shown(name)))
    kind = sum(each.value for each in said.get(_TENSOR_KIND, []))
    if kind not in _WIDTHS:
        raise _refused(
            _("{name} is of kind {kind}, which is not read", name=_shown(name), kind=kind)
        )
    count = math.prod(_dimensions(name, said.get(_TENSOR_DIMENSIONS, [])))
    raw = [each.message() for each in said.get(_TENSOR_RAW, [])]
    typed = [each for number in _TYPED for each in said.get(number, [])]
    there = len(raw[0]) / _WIDTHS[kind] if raw else sum(map(_count, typed))
    if there != count or len(raw) > 1 or (raw and typed):
        raise _refused(_("{name} has not as many numbers as its shape says", name=_shown(name)))
    return name, count, _integers(kind, count, raw[0] if raw else None, typed)


def _dimensions(name: str, said: list[Field]) -> list[int]:
    """Each size of a tensor, no more of them than a tensor has."""
    found = [*islice((size for each in said for size in each.integers()), _MOST_DIMENSIONS + 1)]
    if len(found) > _MOST_DIMENSIONS or any(size < 0 for size in found):
        raise _refused(_("the shape of {name} is none", name=_shown(name)))
    return found


def _integers(
    kind: int, count: int, raw: memoryview | None, typed: list[Field]
) -> tuple[int, ...] | None:
    if kind != _INT64 or count > _LONGEST_SHAPE:
        return None
    if raw is not None:
        return struct.unpack(f"<{count}q", raw)
    return tuple(number for each in typed for number in each.integers())


def _count(numbers: Field) -> int:
    """How many numbers a field has, one alone or packed."""
    width = _TYPED[numbers.number]
    if numbers.kind != BYTES:
        return 1
    if width is not None:
        whole, rest = divmod(len(numbers.data), width)
        return whole if not rest else -1
    # Each varint ends with the one byte that has no high bit.
    return len(bytes(numbers.data).translate(None, _HIGH))


_HIGH = bytes(range(0x80, 0x100))


def _check_domain(domain: str) -> None:
    if domain not in _DOMAINS:
        raise _refused(_("its operators of {domain!r} are not the standard's", domain=domain[:80]))


def _sparse() -> DataError:
    return _refused(_("it holds sparse tensors"))


def _shown(name: str) -> str:
    return repr(name[:80]) if name else _("a tensor")


def _refused(reason: str) -> DataError:
    return DataError(
        _("The model's graph is not opened: {reason}.", reason=reason),
        remedy=_("Train it again with this version of Mintage, or ask its maker for another."),
    )
