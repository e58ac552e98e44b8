"""From a trained network to one ONNX file that begins at pixels, and the proof that they agree."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

from mintage.bundle.graph import Graph
from mintage.core.errors import DataError
from mintage.core.files import write_atomic
from mintage.core.messages import _
from mintage.create.losses import probabilities
from mintage.create.recipe import Candidate
from mintage.modalities.image.networks import PictureNetwork, ServingGraph

OPSET = 18
# The largest difference of a probability between the network and its export.
TOLERANCE = 1e-4


def export_onnx(network: PictureNetwork, candidate: Candidate, path: Path) -> bytes:
    """Write the network as one ONNX file and return its bytes.

    The input is ``pixels``, ``uint8[N, S, S, 3]`` with any N; the outputs are ``logits``
    ``float32[N, 1 or k]`` and ``features`` ``float32[N, D]``.

    Raises:
        DataError: the file would need a second one beside it, or holds numbers that are none.
    """
    data = onnx_bytes(network, candidate)
    _check(onnx.load_model_from_string(data))
    write_atomic(path, data)
    return data


def onnx_bytes(network: PictureNetwork, candidate: Candidate) -> bytes:
    """The graph by PyTorch's TorchScript exporter.

    Cold it takes 0.5 s where the default exporter takes 4.9 s (2.0 s and 16.9 s on a busy
    machine), of a budget that may be 20 s. It is deprecated, and says so and more in warnings
    that are silenced here alone: what it makes is compared with the network before it is signed.
    When it goes, ``dynamo=True`` with ``external_data=False`` gives the same outputs to 4e-6.
    """
    graph = ServingGraph(network, candidate.mean, candidate.deviation).eval()
    side = candidate.input_size
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (example,),
            buffer,  # type: ignore[arg-type]  # a file-like is taken, though not declared
            dynamo=False,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["logits", "features"],
            dynamic_axes={name: {0: "batch"} for name in ("pixels", "logits", "features")},
        )
    return buffer.getvalue()


def _check(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise DataError(_("The exported model keeps {name} in another file.", name=tensor.name))
        if not np.isfinite(onnx.numpy_helper.to_array(tensor)).all():
            raise DataError(
                _("The trained weights of {name} are not all finite numbers.", name=tensor.name),
                remedy=_("Lower the learning rate of the recipe."),
            )


@torch.no_grad()
def check_parity(
    onnx_model: bytes,
    network: PictureNetwork,
    candidate: Candidate,
    images: npt.NDArray[np.uint8],
    *,
    batch: int = 64,
) -> float:
    """The largest difference of a probability between network and export, over real pictures.

    ``images`` are ``uint8[N, S, S, 3]``.

    Raises:
        DataError: it is 1e-4 or more, or not a number.
    """
    served_graph = Graph(onnx_model, threads=torch.get_num_threads())
    graph = ServingGraph(network, candidate.mean, candidate.deviation).eval()
    largest = 0.0
    for start in range(0, len(images), batch):
        pixels = np.ascontiguousarray(images[start : start + batch])
        served, __ = served_graph.run(pixels)
        trained, __ = graph(torch.from_numpy(pixels))
        difference = probabilities(torch.from_numpy(served)) - probabilities(trained)
        # A comparison with NaN is false, so that max() would pass it by.
        largest = max(largest, float(difference.abs().nan_to_num(nan=torch.inf).max()))
    if not largest < TOLERANCE:
        raise DataError(
            _(
                "The exported model differs from the trained one by {largest:.1e} in a "
                "probability; {tolerance:.0e} is the limit.",
                largest=largest,
                tolerance=TOLERANCE,
            ),
            remedy=_("Train again, or report this with the recipe."),
        )
    return largest
