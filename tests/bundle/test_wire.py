"""Protocol buffers of one level: against their own library."""

from __future__ import annotations

import random

import pytest
from onnx import helper
from tests.bundle.conftest import graph

from mintage.bundle.wire import Malformed, fields


def test_the_fields_of_a_message_are_those_that_its_library_wrote() -> None:
    tensor = helper.make_tensor("w", 1, [2, 3], [0.5] * 6)
    found = list(fields(memoryview(tensor.SerializeToString())))
    assert [each.number for each in found if each.number == 8] == [8]
    assert next(each.text() for each in found if each.number == 8) == "w"
    sizes = [size for each in found if each.number == 1 for size in each.integers()]
    assert sizes == [2, 3]


def test_a_negative_number_is_one() -> None:
    attribute = helper.make_attribute("axis", -1)
    (number,) = [
        each for each in fields(memoryview(attribute.SerializeToString())) if each.number == 3
    ]
    assert list(number.integers()) == [-1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "ends too early"),
        (b"\x0a\x05ab", "ends too early"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends too early"),
        (b"\x08" + b"\xff" * 10, "too many bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "too many bytes"),
        (b"\x00\x01", "without a number"),
        (b"\x0b\x0c", "a field of kind 3"),
        (b"\x0d\0\0", "ends too early"),
        (b"\x09\0\0", "ends too early"),
    ],
)
def test_what_is_written_as_no_message_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        list(fields(memoryview(data)))


def test_a_field_of_another_kind_than_it_should_be_is_refused() -> None:
    (number,) = fields(memoryview(b"\x08\x01"))
    with pytest.raises(Malformed):
        number.text()
    with pytest.raises(Malformed):
        number.message()
    (text,) = fields(memoryview(b"\x0a\x01\xff"))
    with pytest.raises(Malformed, match="not UTF-8"):
        text.text()


def test_a_message_of_very_many_fields_is_refused_before_it_is_read_through() -> None:
    with pytest.raises(Malformed, match="too many fields"):
        for __ in fields(memoryview(b"\x08\x01" * 1_000_001)):
            pass


def test_any_bytes_are_read_or_refused() -> None:
    chance, whole = random.Random(1), graph()
    for __ in range(500):
        data = bytearray(whole)
        data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            for each in fields(memoryview(bytes(data))):
                assert each.number > 0
        except Malformed:
            pass
