"""Server-sent events, as OpenAI's API streams them: ``data:`` lines, and ``[DONE]``.

Source: WHATWG HTML, 9.2 (parsing an event stream).
"""

from __future__ import annotations

import json
from typing import Any

from mintage.core.errors import DataError
from mintage.core.messages import _

DONE = b"[DONE]"
LARGE_BYTES = 262_144
"""JSON of so much or more is read and spelled by a thread, so that the event loop goes on."""
_LONGEST_BYTES = 8_000_000


class Events:
    """Takes a stream apart; whatever is no data, such as a comment that keeps it alive, is left."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that ended with this part.

        Raises:
            DataError: an event is longer than any of a language model's.
        """
        text = self._rest + data
        if b"\r" in text:
            # A pair of them may be cut in two: its second half waits for the next part.
            held = text.endswith(b"\r")
            text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            text += b"\r" if held else b""
        *whole, self._rest = text.split(b"\n\n")
        if len(self._rest) > _LONGEST_BYTES:
            raise DataError(_("An event of the stream does not end."))
        return [found for found in map(_data, whole) if found]


def event(data: bytes) -> bytes:
    """The event as it is sent; ``data`` has no line end in it."""
    return b"data: %b\n\n" % data


def spelled(document: Any) -> bytes:
    """As JSON in UTF-8; half of a surrogate pair stays escaped."""
    try:
        return _encode(document).encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _data(text: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in text.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
