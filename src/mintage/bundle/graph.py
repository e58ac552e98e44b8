"""The ONNX graph of a bundle: numbers in, logits and features out; no training framework."""

from __future__ import annotations

import os

# Read once, when the library is loaded: it would keep a device id and call its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mintage.bundle.graph_check import check_graph
from mintage.core.errors import DataError
from mintage.core.messages import _

INPUT = "pixels"
LOGITS = "logits"
FEATURES = "features"
_BATCH = 64


class Graph:
    """One session for all threads of a process."""

    def __init__(self, model: bytes, *, threads: int) -> None:
        """Open the graph from its bytes.

        Raises:
            DataError: it does not open, or has not the inputs and outputs of a bundle's.
        """
        self._session = open_session(model, threads)
        inputs = [node.name for node in self._session.get_inputs()]
        outputs = [node.name for node in self._session.get_outputs()]
        if inputs != [INPUT] or outputs != [LOGITS, FEATURES]:
            raise DataError(
                _(
                    "The graph takes {inputs} and gives "
                    "{outputs}; a bundle's takes {input} and gives "
                    "{logits}, {features}.",
                    inputs=", ".join(inputs) or "nothing",
                    outputs=", ".join(outputs) or "nothing",
                    input=INPUT,
                    logits=LOGITS,
                    features=FEATURES,
                ),
                remedy=_("Train it again with this version of Mintage."),
            )

    def run(self, inputs: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits float32[N, 1 or k] and features float32[N, D] of uint8[N, side, side, 3]."""
        parts = [
            self._session.run(
                [LOGITS, FEATURES], {INPUT: np.ascontiguousarray(inputs[start : start + _BATCH])}
            )
            for start in range(0, len(inputs), _BATCH)
        ]
        logits, features = (np.concatenate(part) for part in zip(*parts, strict=True))
        return logits, features


def open_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """One session over a graph's bytes, without a file beside it and without spinning threads.

    Raises:
        DataError: it does not open, or is none that may be opened (``check_graph``).
    """
    check_graph(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, so it need not be printed too
    # Spinning threads burn the cores that decoding and the other workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # A graph may name files to read weights from; a bundle's is one file, so no such path exists.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common parent
        raise DataError(
            _("The model does not open: {reason}", reason=str(error).splitlines()[0]),
            remedy=_("Train it again with this version of Mintage."),
        ) from error
