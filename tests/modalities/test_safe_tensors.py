"""Weights in safetensors: what the library takes and we do not, and nothing that it refuses."""

from __future__ import annotations

import io
import json
import os
import pickle  # a hostile file has to come from somewhere; nothing in src may do this
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load, save

from mintage.core.errors import DataError
from mintage.modalities import safe_tensors
from mintage.modalities.safe_tensors import check, check_file

ROUNDS = 200 * int(os.environ.get("MINTAGE_ROUNDS", "10"))
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
EIGHT = b"\0" * 8


def written(header: str | dict[str, Any], data: bytes = EIGHT) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


def said(**more: Any) -> bytes:
    return written({"w": F32 | more})


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        arrays.arrays(
            st.sampled_from([np.float32, np.float64, np.float16, np.uint8, np.int64, np.bool_]),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
            elements=st.integers(0, 1),
        ),
        min_size=1,
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
def test_what_the_library_writes_is_described_as_it_is(
    tensors: dict[str, Any], metadata: dict[str, str]
) -> None:
    data = save(tensors, metadata)
    found = check(data)
    assert {name: each.shape for name, each in found.tensors.items()} == {
        name: each.shape for name, each in tensors.items()
    }
    assert found.metadata == metadata
    assert found.parameters == sum(each.size for each in tensors.values())


SAID = json.dumps(F32)
TWICE = f'{{"w": {SAID}, "w": {SAID}}}'
REFUSED = {
    "two tensors of one name": (written(TWICE), "names 'w' twice"),
    "one member twice": (
        written('{"w": {"dtype": "F32", "dtype": "I8", "shape": [2], "data_offsets": [0, 8]}}'),
        "names 'dtype' twice",
    ),
    "metadata twice": (
        written(f'{{"__metadata__": {{}}, "__metadata__": {{}}, "w": {SAID}}}'),
        "twice",
    ),
    "metadata that is no text": (written({"__metadata__": {"a": 1}, "w": F32}), "not text"),
    "NaN": (written({"w": F32}, np.array([1, np.nan], "<f4").tobytes()), "no finite number"),
    "infinity": (written({"w": F32}, np.array([np.inf, 1], "<f4").tobytes()), "no finite number"),
    "NaN in bfloat16": (
        written({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"\xc0\x7f"),
        "no finite number",
    ),
    "infinity in float16": (
        written({"w": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}, b"\0\xfc"),
        "no finite number",
    ),
    "NaN in eight bits": (
        written({"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"\xff"),
        "no finite number",
    ),
    "a header longer than the file": ((10**6).to_bytes(8, "little") + b"{", "before its header"),
    "a header of exabytes": (b"\xff" * 7 + b"\x0f{" + EIGHT, "larger than 32,000,000 bytes"),
    "a header that is no object": (written("[]"), "does not begin"),
    "a header nested without end": (written('{"a":' * 100_000), "not JSON"),
    "a header that is not UTF-8": (written("{}")[:8] + b"{\xff" + EIGHT, "not JSON"),
    "a number that is none": (written('{"w": NaN}'), "not JSON"),
    "no tensors": (written({}, b""), "holds no tensors"),
    "an overlap": (
        written({"v": F32, "w": F32}),
        "overlaps another tensor",
    ),
    "a hole": (
        written({"v": F32, "w": F32 | {"data_offsets": [9, 17]}}, bytes(17)),
        "leaves a hole",
    ),
    "trailing bytes": (written({"w": F32}, bytes(9)), "more comes after"),
    "missing bytes": (written({"w": F32}, bytes(7)), "ends before its tensors"),
    "a shape of more": (said(shape=[3]), "as many bytes as its shape"),
    "a shape that wraps around": (said(shape=[2**62, 4]), "as many bytes as its shape"),
    "a negative shape": (said(shape=[-1, -2]), "shape of 'w' is none"),
    "a shape of truth": (said(shape=[True, 2]), "shape of 'w' is none"),
    "a shape of fractions": (said(shape=[2.0]), "not JSON"),
    "a shape without end": (said(shape=[1] * 40 + [2]), "shape of 'w' is none"),
    "a place backwards": (said(data_offsets=[8, 0]), "place of 'w' is none"),
    "a place of three": (said(data_offsets=[0, 8, 8]), "place of 'w' is none"),
    "a kind that is unknown": (said(dtype="F128"), "a kind that is not read: 'F128'"),
    "a kind that is no text": (said(dtype=["F32"]), "a kind that is not read"),
    "a member that is unknown": (said(more=1), "does not describe 'w'"),
    "a pickle": (pickle.dumps({"w": [1.0] * 10}), "a pickle"),
    "nothing": (b"", "does not begin"),
    "text": (b"version https://git-lfs.github.com/spec/v1\n", "does not begin"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_as_the_format_says_is_refused_with_its_reason(
    what: str, tmp_path: Path
) -> None:
    data, reason = REFUSED[what]
    with pytest.raises(DataError, match=reason) as refused:
        check(data)
    assert refused.value.remedy
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(DataError, match=reason if data else "an empty file"):
        check_file(path)


def test_weights_as_torch_save_writes_them_are_named_as_what_they_are() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(DataError, match=r"a zip, as torch\.save writes it"):
        check(stream.getvalue())


def test_a_header_may_be_as_long_as_a_pickles_first_bytes() -> None:
    # 0x80 0x04 is a header of 1,152 bytes too.
    text = json.dumps({"w": F32})
    found = check(written(text + " " * (0x0480 - len(text))))
    assert list(found.tensors) == ["w"]


def test_numbers_are_looked_at_only_where_that_is_asked_for() -> None:
    data = written({"w": F32}, np.array([np.nan, 1], "<f4").tobytes())
    assert check(data, finite=False).parameters == 2


def test_the_last_number_of_a_large_tensor_is_looked_at_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(safe_tensors, "_PART", 64)
    numbers = np.zeros(1000, np.float32)
    assert check(save({"w": numbers}))
    numbers[-1] = np.inf
    with pytest.raises(DataError, match="no finite number"):
        check(save({"w": numbers}))


def test_a_file_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        check_file(tmp_path / "model.safetensors")


def test_whatever_we_take_of_a_mutated_file_the_library_takes_alike() -> None:
    chance = random.Random(8)
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.uint8)}
    whole, taken = save(tensors, {"format": "np"}), 0
    for __ in range(ROUNDS):
        data = bytearray(whole)
        for ___ in range(chance.choice((1, 1, 2, 4))):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at] = chance.choice(b'{}[]",:0123456789 \x00\xff')
                case 2:
                    del data[at : at + chance.randrange(1, 8)]
                case _:
                    data[at:at] = data[at : at + chance.randrange(1, 24)]
        try:
            found = check(bytes(data))
        except DataError:
            continue
        taken += 1
        theirs = load(bytes(data))
        assert {name: each.shape for name, each in found.tensors.items()} == {
            name: each.shape for name, each in theirs.items()
        }
    assert taken > ROUNDS // 50


@pytest.mark.parametrize("what", ["two tensors of one name", "NaN"])
def test_what_the_library_takes_and_we_do_not_is_still_so(what: str) -> None:
    # When this fails the library has become stricter, and a line of ours may go.
    try:
        deserialize(REFUSED[what][0])
    except SafetensorError as error:
        pytest.fail(f"safetensors refuses it now: {error}")
