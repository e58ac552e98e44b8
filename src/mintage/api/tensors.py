"""Tensors on the wire of the Open Inference Protocol: as JSON, or as bytes behind the JSON.

The binary tensor data extension is what ``tritonclient`` speaks unless told otherwise: a header
says how long the JSON is, and what follows are the tensors, in the order in which it names them. A
BYTES element is preceded by its length, 4 bytes, the lowest first.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.responses import Response

from mintage.api.models import InferRequest
from mintage.api.problems import malformed
from mintage.api.uploads import decode_base64, json_object
from mintage.core.canonical import canonical_json
from mintage.core.errors import RequestError
from mintage.core.messages import _

HEADER = "Inference-Header-Content-Length"
OUTPUTS = {
    "label": "BYTES",
    "probability": "FP64",
    "probabilities": "FP64",
    "unusual": "BOOL",
    "message": "BYTES",
}
"""What an answer of the task ``class`` may hold, with its datatype."""

_LENGTH = struct.Struct("<I")
_FORMATS = {"FP64": "d", "INT64": "q", "BOOL": "?"}


@dataclass(frozen=True)
class Asked:
    """A request: its id, the one encoded picture, and which outputs it wants how.

    ``outputs`` has the names that were asked for with whether each is wanted as bytes; where it is
    empty all are wanted, as bytes if ``binary``.
    """

    id: str
    picture: bytes
    outputs: Mapping[str, bool]
    binary: bool

    @classmethod
    def read(cls, body: bytes, json_bytes: int | None) -> Asked:
        """Read a body, of which the first ``json_bytes`` are JSON (None: all of it).

        Raises:
            RequestError: it is none, asks about anything but one picture, or for outputs that
                there are not (400).
        """
        head, rest = (body, b"") if json_bytes is None else (body[:json_bytes], body[json_bytes:])
        if json_bytes is not None and json_bytes > len(body):
            raise _malformed_header()
        request = _parsed(json_object(head))
        everything = bool(request.parameters.get("binary_data_output", False))
        wanted = {
            str(output.get("name")): bool(
                (output.get("parameters") or {}).get("binary_data", everything)
            )
            for output in request.outputs
        }
        for name in wanted.keys() - OUTPUTS.keys():
            raise RequestError(
                _("There is no output {name!r}.", name=name[:80]),
                remedy=_("There are: {names}.", names=", ".join(OUTPUTS)),
            )
        return cls(request.id or "", _picture(request, rest), wanted, everything)


def header_bytes(text: str | None) -> int | None:
    """How long the JSON of a body is, by its header.

    Raises:
        RequestError: the header is no length (400).
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise _malformed_header()
    return int(text)


def response_of(asked: Asked, document: dict[str, Any], output: Mapping[str, Any]) -> Response:
    """The answer's tensors, those that were asked for, in the document's ``outputs``.

    One whose value the model withheld is not among them.
    """
    tensors = {name: _tensor(name, value) for name, value in output.items() if value is not None}
    chosen = [tensors[name] for name in asked.outputs or tensors if name in tensors]
    parts = []
    for tensor in chosen:
        if asked.outputs.get(tensor["name"], asked.binary):
            packed = _packed(tensor["datatype"], tensor.pop("data"))
            tensor["parameters"] = {"binary_data_size": len(packed)}
            parts.append(packed)
    whole = {**document, "outputs": chosen}
    if not parts:
        return JSONResponse(whole)
    head = json.dumps(whole, allow_nan=False).encode()
    return Response(
        b"".join((head, *parts)),
        media_type="application/octet-stream",
        headers={HEADER: str(len(head))},
    )


def _parsed(document: dict[str, Any]) -> InferRequest:
    try:
        return InferRequest.model_validate(document)
    except ValidationError as error:
        raise malformed(error.errors(include_input=False, include_url=False)[0]) from error


def _picture(request: InferRequest, binary: bytes) -> bytes:
    """The one encoded picture of a request."""
    if len(request.inputs) != 1 or request.inputs[0].datatype != "BYTES":
        raise RequestError(
            _("The request has to have one input of datatype BYTES."),
            remedy=_("Send one encoded picture in base64 as its data."),
        )
    tensor = request.inputs[0]
    size = tensor.parameters.get("binary_data_size")
    if size is not None:
        elements = _elements(binary, size)
        return elements[0] if len(elements) == 1 else _not_one(len(elements))
    items = [tensor.data] if isinstance(tensor.data, str) else (tensor.data or [])
    while len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    return decode_base64(items[0], "data") if len(items) == 1 else _not_one(len(items))


def _elements(binary: bytes, size: object) -> list[bytes]:
    """The elements of a BYTES tensor."""
    if size != len(binary) or isinstance(size, bool):
        raise _malformed_header()
    found, start = [], 0
    while start < len(binary):
        if start + _LENGTH.size > len(binary):
            raise _malformed_header()
        (length,) = _LENGTH.unpack_from(binary, start)
        start += _LENGTH.size
        if start + length > len(binary):
            raise _malformed_header()
        found.append(binary[start : start + length])
        start += length
    return found


def _not_one(count: int) -> bytes:
    raise RequestError(
        _("The input holds {count} pictures, not one.", count=count),
        remedy=_("Send one picture a call."),
    )


def _malformed_header() -> RequestError:
    return RequestError(
        _("The lengths of the binary tensor data do not agree with what came."),
        remedy=_("Let a library write the request, such as tritonclient."),
    )


def _tensor(name: str, value: Any) -> dict[str, Any]:
    """A value of an answer as a tensor; probabilities by label lie in the labels' order."""
    data: list[Any]
    match value:
        case bool():
            kind, data = "BOOL", [value]
        case int():
            kind, data = "INT64", [value]
        case float():
            kind, data = "FP64", [value]
        case str():
            kind, data = "BYTES", [value]
        case dict() if all(item is None or isinstance(item, float) for item in value.values()):
            # A tensor has no null: what the plan keeps back is 0.
            kind, data = "FP64", [item or 0.0 for item in value.values()]
        case _:
            kind, data = "BYTES", [canonical_json(value).decode()]
    return {"name": name, "datatype": kind, "shape": [len(data)], "data": data}


def _packed(kind: str, data: Sequence[Any]) -> bytes:
    if kind == "BYTES":
        encoded = [each.encode() for each in data]
        return b"".join(_LENGTH.pack(len(each)) + each for each in encoded)
    return struct.pack(f"<{len(data)}{_FORMATS[kind]}", *data)
