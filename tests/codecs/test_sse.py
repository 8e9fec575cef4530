"""Server-sent events: fed at once or byte by byte, with any line ends, within bounds."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_codecs.core.sse import Event, EventReader, write_comment, write_event
from fabric_codecs.errors import CodecError


def read(data: bytes, size: int = 0) -> list[Event]:
    reader = EventReader()
    pieces = [data] if size == 0 else [data[at : at + size] for at in range(0, len(data), size)]
    return [event for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize("size", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: x\n\n", [Event(b"x")]),
        (b"data:x\r\rdata:  y\r\r\n", [Event(b"x"), Event(b" y")]),
        (b"data: x\r\n\r\n", [Event(b"x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event(b"x")]),
        (b": quiet\n\ndata: x\ndata: y\n\n", [Event(b"x\ny")]),
        (
            b"event: done\nid: 7\nretry: 50\ndata\n\ndata: x\n\n",
            [Event(b"", "done", "7", 50), Event(b"x", "message", "7")],
        ),
        (b"event: lost\n\ndata: x\n\n", [Event(b"x")]),
        (b"id: a\0b\nretry: x\nodd: 1\ndata: x\n\n", [Event(b"x")]),
        (b"data: cut", []),
    ],
)
def test_events_are_read_as_the_standard_has_it(data: bytes, events: list[Event], size: int) -> None:
    assert read(data, size) == events


@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_may_be_as_long_as_an_event_however_it_comes(end: bytes, size: int) -> None:
    reader, longest = EventReader(event_bytes_max=64), b":" + b"x" * 63 + end + b"\n"
    for at in range(0, len(longest), size or len(longest)):
        assert reader.feed(longest[at : at + (size or len(longest))]) == []


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_what_is_written_is_read_again(payloads: list[bytes], size: int) -> None:
    data = b"".join(write_comment("k") + write_event(payload, event="e", id="1") for payload in payloads)
    lines = [payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for payload in payloads]
    assert read(data, size) == [Event(payload, "e", "1") for payload in lines]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"data: " + b"x" * 100, "a line of more than 64 bytes"),
        (b":" + b"x" * 100 + b"\n", "a line of more than 64 bytes"),
        (b"data: x\n" * 40, "an event of more than 64 bytes"),
        (b"id: \xff\n", "not UTF-8"),
        (b"event: \xc0\n", "not UTF-8"),
    ],
)
def test_a_malformed_stream_is_refused_with_the_place_and_takes_nothing_more(data: bytes, said: str) -> None:
    reader = EventReader(event_bytes_max=64)
    with pytest.raises(CodecError, match=said) as refused:
        reader.feed(data)
    assert 0 <= refused.value.offset <= len(data)
    with pytest.raises(CodecError, match="refused before"):
        reader.feed(b"data: x\n\n")


def test_time_grows_with_the_bytes_alone_not_with_their_square() -> None:
    def seconds(lines: int) -> float:
        reader, start_s = EventReader(), time.thread_time()
        reader.feed(b"id: x\n" * lines)
        return time.thread_time() - start_s

    assert seconds(200_000) < 40 * min(seconds(20_000) for _ in range(3))


def test_a_field_cannot_smuggle_a_line() -> None:
    for said in ("a\nb", "a\rb"):
        with pytest.raises(CodecError):
            write_event(b"x", event=said)
    for said in ("a\nb", "a\rb", "a\0b"):
        with pytest.raises(CodecError):
            write_event(b"x", id=said)


def test_a_reader_remembers_where_a_client_may_go_on() -> None:
    reader = EventReader()
    reader.feed(b"id: 7\ndata: x\n\nid: 8\n")
    assert reader.last_id == "8"
