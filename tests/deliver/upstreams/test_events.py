"""A stream is taken apart alike, wherever it was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.errors import DataError
from mintage.deliver.upstreams.events import Events, event

STREAMS = [
    b': hello\n\ndata: {"a": 1}\n\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\n',
    b': hello\r\n\r\ndata: {"a": 1}\r\n\r\nevent: x\r\ndata:{"b":2}\r\n\r\ndata: [DONE]\r\n\r\n',
    b': hello\r\rdata: {"a": 1}\r\revent: x\rdata:{"b":2}\r\rdata: [DONE]\r\r',
]


@pytest.mark.parametrize("stream", STREAMS)
@given(st.data())
def test_wherever_a_stream_is_cut_its_events_are_the_same(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    events, found = Events(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += events.feed(stream[begin:end])
    found += events.feed(b"\n") if stream.endswith(b"\r") else []
    assert found == [b'{"a": 1}', b'{"b":2}', b"[DONE]"]


def test_an_event_without_end_is_refused() -> None:
    events = Events()
    events.feed(b"data: " + b"x" * 7_000_000)
    with pytest.raises(DataError):
        events.feed(b"x" * 2_000_000)


def test_what_is_sent_is_read_again() -> None:
    assert Events().feed(event(b'{"a":1}')) == [b'{"a":1}']
