"""Static quantisation: the layers between the first and the last compute in 8-bit integers.

Weights have 7 bits and a scale a channel: two products with activations of 8 bits fit in 16, so
that processors without VNNI instructions, which add them there, compute the very same. Activations
are unsigned: signed ones take longer than float does. Measured on one Xeon core (AVX-512 VNNI) with
compact at 112 px: 0.55 of the float graph's time, 0.73 with the first layer in 8 bits too, and then
logits are 1.5 times as far off; so they are with ranges by percentile (99.99) in place of the least
and the greatest value, and with 64 pictures they are no further off than with 640.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
from numpy.typing import NDArray

from mintage.bundle.graph import INPUT, LOGITS, open_session
from mintage.core.errors import DataError
from mintage.core.messages import _

PICTURES = 256
"""How many training pictures are enough to calibrate with."""
_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
_BATCH = 32

Pixels = NDArray[np.uint8]
Ranges = Mapping[str, tuple[np.float32, np.float32]]


def int8(model: bytes, calibration: Pixels, *, threads: int) -> bytes:
    """The same graph with integer layers, as one file of standard operators (QDQ).

    Same graph, pictures and thread count, same bytes. Input and outputs, batch size included, stay
    as they are; so does, in float, what leads to the features alone.

    Args:
        model: an exported graph, ``pixels`` to ``logits`` and ``features``.
        calibration: ``uint8[N, S, S, 3]``, training pictures; ``PICTURES`` of them are enough.
        threads: for running the float graph over them.

    Raises:
        DataError: there are no layers to quantise, or they cannot be.
    """
    # Not above: bundle.graph has to load the runtime first, to have it report nothing.
    from onnxruntime.quantization import (  # noqa: PLC0415
        CalibrationMethod,
        QDQQuantizer,
        QuantType,
        TensorsData,
    )

    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"node_{number}"
    chosen = _chosen(graph.graph)
    if not chosen:
        raise DataError(_("The graph has no layers between its first and its last."))
    ranges = _ranges(graph, _around(chosen), calibration, threads)
    with _unlogged():
        try:
            quantiser = QDQQuantizer(
                graph,
                per_channel=True,
                reduce_range=True,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=TensorsData(CalibrationMethod.MinMax, dict(ranges)),
                nodes_to_quantize=[node.name for node in chosen],
                nodes_to_exclude=[],
                op_types_to_quantize=sorted({node.op_type for node in chosen}),
                extra_options={},
            )
            quantiser.quantize_model()
            quantiser.model.topological_sort()
            return _finished(quantiser.model.model)
        except Exception as error:  # ONNX Runtime's errors have no common parent
            raise DataError(
                _("The graph cannot be quantised: {reason}", reason=str(error).splitlines()[0]),
                remedy=_("Train without --int8, or report this with the recipe."),
            ) from error


def calibration_of(images: Pixels, train: NDArray[np.int64]) -> Pixels:
    """``PICTURES`` of the training examples, spread over all of them."""
    step = max(1, len(train) // PICTURES)
    return np.ascontiguousarray(images[train[::step][:PICTURES]])


def _chosen(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Layers on the way to the logits but the first and the last, and their ReLUs, in order."""
    producers = {output: node for node in graph.node for output in node.output}
    constant = {each.name for each in graph.initializer}
    before = _Before(producers, constant)
    last = before.nearest_layers(LOGITS)
    chosen = {
        node.name
        for node in before.nodes(LOGITS)
        if before.is_layer(node)
        and node.name not in last
        and any(before.is_layer(each) for each in before.nodes(node.input[0]))
    }
    for node in before.nodes(LOGITS):
        follows = producers.get(node.input[0]) if node.op_type == "Relu" else None
        if follows is not None and follows.name in chosen and before.is_layer(follows):
            chosen.add(node.name)
    return [node for node in graph.node if node.name in chosen]


class _Before:
    """What is computed before a tensor."""

    def __init__(self, producers: Mapping[str, onnx.NodeProto], constant: set[str]) -> None:
        self._producers = producers
        self._constant = constant

    def is_layer(self, node: onnx.NodeProto) -> bool:
        """Whether it has weights that were trained; a product of activations has none."""
        return node.op_type in _LAYERS and node.input[1] in self._constant

    def nodes(self, tensor: str) -> list[onnx.NodeProto]:
        """All that lead to the tensor, each once."""
        return list(self._walk(tensor, through_layers=True))

    def nearest_layers(self, tensor: str) -> set[str]:
        """Names of the layers with no other between them and the tensor."""
        found = self._walk(tensor, through_layers=False)
        return {node.name for node in found if self.is_layer(node)}

    def _walk(self, tensor: str, *, through_layers: bool) -> Iterator[onnx.NodeProto]:
        seen: set[str] = set()
        left = [tensor]
        while left:
            node = self._producers.get(left.pop())
            if node is None or node.name in seen:
                continue
            seen.add(node.name)
            yield node
            if through_layers or not self.is_layer(node):
                left.extend(node.input)


def _around(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """The tensors that go into layers and come out of them, each once."""
    return list(dict.fromkeys(name for node in nodes for name in (node.input[0], node.output[0])))


def _ranges(
    model: onnx.ModelProto, tensors: Sequence[str], pictures: Pixels, threads: int
) -> Ranges:
    """The least and the greatest value of each tensor over all pictures."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = []
    for tensor in tensors:
        for kind in ("ReduceMin", "ReduceMax"):
            name = f"{tensor}/{kind}"
            watched.graph.node.append(onnx.helper.make_node(kind, [tensor], [name], keepdims=0))
            outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []))
    del watched.graph.output[:]
    watched.graph.output.extend(outputs)
    session = open_session(watched.SerializeToString(), threads)
    seen = np.array(
        [
            session.run(None, {INPUT: np.ascontiguousarray(pictures[start : start + _BATCH])})
            for start in range(0, len(pictures), _BATCH)
        ],
        dtype=np.float32,
    ).reshape(-1, len(tensors), 2)
    if not len(seen) or not np.isfinite(seen).all():
        raise DataError(
            _("The graph's layers give no finite numbers for the pictures of training."),
            remedy=_("Lower the learning rate of the recipe."),
        )
    least, greatest = seen[:, :, 0].min(axis=0), seen[:, :, 1].max(axis=0)
    return dict(zip(tensors, zip(least, greatest, strict=True), strict=True))


def _finished(model: onnx.ModelProto) -> bytes:
    """Without notes of how it was made, and with no operators but the standard's."""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    used = {node.domain for node in model.graph.node}
    domains = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(domains)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _unlogged() -> Iterator[None]:
    """The quantiser logs to the root logger, which would make that print from then on."""
    root, nowhere = logging.getLogger(), logging.NullHandler()
    root.addHandler(nowhere)
    try:
        yield
    finally:
        root.removeHandler(nowhere)
