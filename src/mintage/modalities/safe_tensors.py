"""A file of weights in safetensors, looked at by us before any library reads it.

safetensors 0.8 refuses a header above 100 MB, holes and overlaps. It takes two tensors of one name
(the last counts, so what was checked need not be what is used), numbers that are none, unknown
members, and files that hold nothing. Whatever opens weights here, a checkpoint, a language model's
bundle or what came from the hub, asks this one function first.

Source: the format's own description, https://github.com/huggingface/safetensors (Format).
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mintage.core.contents import is_pickle
from mintage.core.errors import DataError, said_by
from mintage.core.files import opened_file
from mintage.core.messages import _

MOST_HEADER_BYTES = 32_000_000
"""A model of a thousand billion parameters announces its tensors in less than a megabyte."""
MOST_DIMENSIONS = 16

_LENGTH_BYTES = 8
_MEMBERS = {"dtype", "shape", "data_offsets"}
_METADATA = "__metadata__"
_PART = 1 << 18  # numbers looked at at once: what stays in a cache is looked at four times as fast
_REMEDY = _("Do not use it: fetch it again from its maker, or choose others.")

# Bytes of a number, and of those that can be no number the bits that are then all set.
_KINDS: Mapping[str, tuple[str, int | None]] = {
    "BOOL": ("u1", None),
    "U8": ("u1", None),
    "I8": ("u1", None),
    "F8_E4M3": ("u1", 0x7F),
    "F8_E5M2": ("u1", 0x7C),
    "I16": ("<u2", None),
    "U16": ("<u2", None),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "I32": ("<u4", None),
    "U32": ("<u4", None),
    "F32": ("<u4", 0x7F800000),
    "I64": ("<u8", None),
    "U64": ("<u8", None),
    "F64": ("<u8", 0x7FF0000000000000),
}


@dataclass(frozen=True)
class Tensor:
    """One tensor: its kind of number, its shape, and where its bytes lie behind the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Tensors:
    """What a file holds, by name, and the texts that stand beside them."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @property
    def parameters(self) -> int:
        """How many numbers there are in all."""
        return sum(each.count for each in self.tensors.values())


def check_file(path: Path, *, finite: bool = True) -> Tensors:
    """What a file holds, once nothing is wrong with it; ``finite`` has every number looked at.

    Raises:
        DataError: it is not safe to read; the message is the reason, to stand behind its name.
    """
    try:
        with (
            opened_file(path) as stream,
            mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as data,
        ):
            return check(data, finite=finite)
    except ValueError as error:  # mmap of nothing
        raise _refused(_("an empty file")) from error
    except OSError as error:
        raise _refused(_("cannot be read: {reason}", reason=said_by(error))) from error


def check(data: bytes | mmap.mmap, *, finite: bool = True) -> Tensors:
    """The same for bytes that are in memory, or mapped into it.

    Raises:
        DataError: as ``check_file``.
    """
    size = int.from_bytes(data[:_LENGTH_BYTES], "little")
    begin = _LENGTH_BYTES + size
    # Before the length is believed: of a pickle or a zip it is nonsense, and they have a name.
    if data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        raise _refused(_what_else(data[:_LENGTH_BYTES]))
    if size > MOST_HEADER_BYTES:
        raise _refused(_("its header is larger than {most:,} bytes", most=MOST_HEADER_BYTES))
    if begin > len(data):
        raise _refused(_("it ends before its header does"))
    header = _header(data[_LENGTH_BYTES:begin])
    metadata = header.pop(_METADATA, {})
    if not _is_texts(metadata):
        raise _refused(_("what stands beside its tensors is not text"))
    tensors = {name: _tensor(name, said) for name, said in header.items()}
    if not tensors:
        raise _refused(_("it holds no tensors"))
    _check_places(tensors, len(data) - begin)
    if finite:
        for name, tensor in tensors.items():
            if not _is_finite(data, begin, tensor):
                raise _refused(_("{name} holds what is no finite number", name=_shown(name)))
    return Tensors(tensors, metadata)


def _what_else(head: bytes) -> str:
    if is_pickle(head):
        return _("a pickle; such a file can run whatever code its author put in")
    if head.startswith(b"PK\x03\x04"):
        return _("a zip, as torch.save writes it; such a file can run whatever code is in it")
    return _("it does not begin as safetensors does")


def _header(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(
            text.decode(),
            object_pairs_hook=_once_each,
            parse_constant=_no_number,
            parse_float=_no_number,
        )
    except (ValueError, RecursionError) as error:
        raise _refused(_("its header is not JSON")) from error
    if not isinstance(found, dict):
        raise _refused(_("its header is not JSON"))
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _refused(_("its header names {name} twice", name=_shown(name)))
        found[name] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _is_texts(metadata: object) -> bool:
    return isinstance(metadata, dict) and all(isinstance(each, str) for each in metadata.values())


def _tensor(name: str, said: object) -> Tensor:
    if not isinstance(said, dict) or said.keys() != _MEMBERS:
        raise _refused(_("its header does not describe {name}", name=_shown(name)))
    dtype, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _KINDS:
        raise _refused(
            _("{name} is of a kind that is not read: {dtype!r}", name=_shown(name), dtype=dtype)
        )
    if not (_are_counts(shape) and len(shape) <= MOST_DIMENSIONS):
        raise _refused(_("the shape of {name} is none", name=_shown(name)))
    if not (_are_counts(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise _refused(_("the place of {name} is none", name=_shown(name)))
    tensor = Tensor(dtype, tuple(shape), *offsets)
    if tensor.count * np.dtype(_KINDS[dtype][0]).itemsize != tensor.end - tensor.start:
        raise _refused(_("{name} has not as many bytes as its shape says", name=_shown(name)))
    return tensor


def _are_counts(found: object) -> bool:
    return isinstance(found, list) and all(type(each) is int and each >= 0 for each in found)


def _check_places(tensors: Mapping[str, Tensor], size: int) -> None:
    """Each byte behind the header belongs to exactly one tensor."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda each: (each[1].start, each[1].end)):
        if tensor.start != position:
            raise _refused(_("{name} overlaps another tensor, or leaves a hole", name=_shown(name)))
        position = tensor.end
    if position > size:
        raise _refused(_("it ends before its tensors do"))
    if position < size:
        raise _refused(_("more comes after its tensors"))


def _is_finite(data: bytes | mmap.mmap, begin: int, tensor: Tensor) -> bool:
    kind, mask = _KINDS[tensor.dtype]
    if mask is None:
        return True
    # Of the bits that are looked at, all set is the highest there is.
    return not any((part & mask).max() == mask for part in _parts(data, begin, tensor, kind))


def _parts(
    data: bytes | mmap.mmap, begin: int, tensor: Tensor, kind: str
) -> Iterator[np.ndarray[Any, Any]]:
    width = np.dtype(kind).itemsize
    for first in range(0, tensor.count, _PART):
        count = min(_PART, tensor.count - first)
        # A copy: no view may outlive the file that is mapped.
        place = begin + tensor.start + first * width
        yield np.frombuffer(data[place : place + count * width], kind)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:100]}…")


def _refused(reason: str) -> DataError:
    return DataError(reason, remedy=_REMEDY)
