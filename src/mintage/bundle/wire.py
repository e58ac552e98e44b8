"""Protocol buffers read one level at a time: enough to look at a message before a library loads it.

Nothing is copied and nothing nested is entered, so that looking costs what the message has fields,
whatever it announces. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MOST_VARINT_BYTES = 10
_MOST_FIELDS = 1_000_000  # of one message; of the largest graphs' a thousandth are there
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
_FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
_SIGN, _WRAP = 1 << 63, 1 << 64


class Malformed(ValueError):
    """These bytes are no message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, how it is written, its number or its bytes."""

    number: int
    kind: int
    value: int
    data: memoryview

    def text(self) -> str:
        """The string that it is.

        Raises:
            Malformed: it is none.
        """
        if self.kind != BYTES:
            raise Malformed("a string that is a number")
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError as error:
            raise Malformed("a string that is not UTF-8") from error

    def message(self) -> memoryview:
        """The bytes of the message that it is.

        Raises:
            Malformed: it is a number.
        """
        if self.kind != BYTES:
            raise Malformed("a message that is a number")
        return self.data

    def integers(self) -> Iterator[int]:
        """The int64 that it is, or those that are packed in it."""
        if self.kind == VARINT:
            yield _signed(self.value)
            return
        position, data = 0, self.message()
        while position < len(data):
            value, position = _varint(data, position)
            yield _signed(value)


def fields(data: memoryview) -> Iterator[Field]:
    """Every field of a message, in order.

    Raises:
        Malformed: it is cut short, or written as no message is.
    """
    position = count = 0
    while position < len(data):
        count += 1
        if count > _MOST_FIELDS:
            raise Malformed("a message of too many fields")
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if not number:
            raise Malformed("a field without a number")
        if kind == VARINT:
            value, position = _varint(data, position)
            yield Field(number, kind, value, data[:0])
            continue
        if kind == BYTES:
            size, position = _varint(data, position)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise Malformed(f"a field of kind {kind}")
        if size > len(data) - position:
            raise Malformed("it ends too early")
        yield Field(number, kind, 0, data[position : position + size])
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for number in range(_MOST_VARINT_BYTES):
        if position >= len(data):
            raise Malformed("it ends too early")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            if value >= _WRAP:
                break
            return value, position
    raise Malformed("a number of too many bytes")


def _signed(value: int) -> int:
    return value - _WRAP if value >= _SIGN else value
