"""NATS lines: what the parser takes and refuses, in any pieces, and what the writer makes of limits.

The oracle for writing is nats-py's own parser; for times it is `datetime`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import nats.protocol.parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fabric_codecs.bounds import NATS_CONTROL_LINE_MAX
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.nats.wire import Parser, Template, Writer, timestamp

Message = tuple[bytes, bytes, bytes, bytes]

TALK = (
    b'INFO {"server_id":"x"}\r\n'
    b"MSG a.b 1 5\r\nhello\r\n"
    b"PING\r\n"
    b"MSG a 2 _INBOX.x.1 0\r\n\r\n"
    b"HMSG a.b 1 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"
    b"HMSG a 1 _INBOX.x.2 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    b"+OK\r\n"
    b"MSG  a   1  12 \r\nMSG b 1 1\r\nx\r\n"
    b"MSG gone 9 2\r\n\r\n\r\n"
    b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n"
    b"PONG\r\n"
)
MESSAGES: list[Message] = [
    (b"a.b", b"", b"", b"hello"),
    (b"a", b"_INBOX.x.1", b"", b""),
    (b"a.b", b"", b"NATS/1.0\r\n\r\n", b"hello"),
    (b"a", b"_INBOX.x.2", b"NATS/1.0 503\r\n\r\n", b""),
    (b"a", b"", b"", b"MSG b 1 1\r\nx"),
]
LINES = [
    b'INFO {"server_id":"x"}\r\n',
    b"PING\r\n",
    b"+OK\r\n",
    b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n",
    b"PONG\r\n",
]


class Listening:
    """A parser with two subscriptions, and what came of them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.errors: list[tuple[int, Exception]] = []
        self.lines: list[bytes] = []
        keep = lambda *message: self.messages.append(message)  # noqa: E731
        self.parser = Parser({1: keep, 2: keep}, lambda sid, error: self.errors.append((sid, error)))

    def feed(self, *pieces: bytes) -> "Listening":
        for piece in pieces:
            self.lines += self.parser.feed(piece)
        return self


def test_a_talk_fed_at_once_gives_its_messages_and_lines() -> None:
    heard = Listening().feed(TALK)
    assert heard.messages == MESSAGES
    assert heard.lines == LINES
    assert (heard.parser.messages, heard.parser.unclaimed) == (6, 1)


def test_a_talk_fed_byte_by_byte_gives_the_same() -> None:
    heard = Listening().feed(*(TALK[at : at + 1] for at in range(len(TALK))))
    assert (heard.messages, heard.lines, heard.parser.unclaimed) == (MESSAGES, LINES, 1)


@given(st.lists(st.integers(0, len(TALK)), max_size=8))
def test_a_talk_cut_anywhere_gives_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TALK)]
    heard = Listening().feed(*(TALK[a:b] for a, b in pairwise(edges)))
    assert (heard.messages, heard.lines) == (MESSAGES, LINES)


@pytest.mark.parametrize(
    "wrong",
    [
        *(b"\n", b"PING\n", b"\r\r\n\n", b"MSG a 1 5\nhello\r\n"),
        *(b"MSG a 1\r\n", b"MSG a 1 r 5 5\r\n", b"MSG a 1 r 5 5 5\r\n", b"HMSG a 1 12\r\n", b"MSG   \r\n"),
        *(b"HMSG a 1 r 12 12 1\r\n", b"HMSG a b c d e f g\r\n"),
        *(
            b"MSG a 1 x\r\n",
            b"MSG a x 1\r\n",
            b"MSG a 1 -1\r\n",
            b"MSG a -1 1\r\n",
            b"MSG a 1 +1\r\n",
            b"MSG a 1 0x1\r\n",
        ),
        *(b"MSG a 1 1.0\r\n", b"MSG a 1 99999999999999999999\r\n", b"MSG a 99999999999999999999 1\r\n"),
        *(b"MSG a 1 67108865\r\n", b"HMSG a 1 5 4\r\n", b"HMSG a 1 x 4\r\n"),
        *(
            b"MSG a 1 5\r\nhello!!",
            b"MSG a 1 5\r\nhello\n\n",
            b"MSG a 1 5\r\nhello\rX",
            b"HMSG a 1 2 4\r\nabcdX\n",
        ),
    ],
)
def test_what_is_not_the_protocol_is_refused(wrong: bytes) -> None:
    with pytest.raises(CodecError):
        Listening().feed(wrong, b"")
    with pytest.raises(CodecError):
        Listening().feed(*(wrong[at : at + 1] for at in range(len(wrong))))


@pytest.mark.parametrize("line", [b"MSGX a 1 2\r\n", b"Mallory\r\n", b"HM\r\n", b"MSG\r\n", b"HMSG\r\n"])
def test_a_line_that_only_looks_like_a_message_is_somebody_elses(line: bytes) -> None:
    assert Listening().feed(line).lines == [line]


@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_a_control_line_without_an_end_is_refused_at_a_mebibyte(ending: bytes) -> None:
    with pytest.raises(CodecError, match="control line"):
        Listening().feed(b"INFO " + b"x" * (1 << 20) + ending)


@given(st.binary(max_size=200))
@example(b"MSG a 1 1\r\n")
def test_any_bytes_are_messages_lines_or_one_error(noise: bytes) -> None:
    try:
        heard = Listening().feed(noise)
    except CodecError:
        return
    assert all(line.endswith(b"\r\n") for line in heard.lines)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_what_came_before_broken_bytes_is_handed_out_first(step: int) -> None:
    heard = Listening()
    stream = TALK + b"MSG a 1 x\r\n" + TALK
    with pytest.raises(CodecError) as caught:
        heard.feed(*(stream[at : at + step] for at in range(0, len(stream), step)), b"")
    assert (heard.messages, heard.lines) == (MESSAGES, LINES)
    assert caught.value.offset == len(TALK)
    with pytest.raises(CodecError) as again:
        heard.feed(TALK)
    assert again.value is heard.parser.fault is caught.value


def test_a_handler_that_raises_is_told_of_and_the_stream_goes_on() -> None:
    heard = Listening()

    def fail(*_: bytes) -> None:
        raise RuntimeError("mine")

    heard.parser.handlers[2] = fail
    heard.feed(TALK)
    assert len(heard.messages) == len(MESSAGES) - 1
    assert [(sid, str(error)) for sid, error in heard.errors] == [(2, "mine")]
    assert heard.lines == LINES


def test_a_handler_may_unsubscribe_itself_and_others() -> None:
    heard = Listening()
    heard.parser.handlers[1] = lambda *_: heard.parser.handlers.clear()
    heard.feed(TALK)
    assert heard.messages == []
    assert heard.parser.unclaimed == 5


# The writer


def read_back(commands: bytes) -> list[Message]:
    """What nats-py would make of our PUB and HPUB: the layout of MSG and HMSG, without the sid."""
    got: list[Message] = []

    async def keep(sid: int, subject: bytes, reply: bytes, data: bytes, header: bytes | None) -> None:
        got.append((bytes(subject), bytes(reply or b""), bytes(header or b""), bytes(data)))

    lines = []
    rest = commands
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        verb, subject, *others = line.split(b" ")
        size = int(others[-1])
        lines += [
            b" ".join((b"HMSG" if verb == b"HPUB" else b"MSG", subject, b"1", *others)),
            b"\r\n",
            rest[: size + 2],
        ]
        rest = rest[size + 2 :]
    client: Any = SimpleNamespace(_process_msg=keep)
    asyncio.run(nats.protocol.parser.Parser(client).parse(b"".join(lines)))
    return got


HEADER = b"NATS/1.0\r\nce-id: 1\r\n\r\n"


def test_what_is_written_is_read_by_nats_py() -> None:
    writer = Writer()
    writer.publish(b"a.b", b"", b"", b"hello")
    writer.publish(b"a.b", b"r.", b"", b"", 0)
    writer.publish(b"a.b", b"r.", HEADER, b"hello\r\n", 12345678901)
    writer.publish(b"a.b", b"r", HEADER, b"")
    assert read_back(writer.take()) == [
        (b"a.b", b"", b"", b"hello"),
        (b"a.b", b"r.0", b"", b""),
        (b"a.b", b"r.12345678901", HEADER, b"hello\r\n"),
        (b"a.b", b"r", HEADER, b""),
    ]
    assert len(writer) == 0
    assert writer.take() == b""


@pytest.mark.parametrize("count", [0, 9, 10, 99, 100, 10**17])
def test_an_event_is_a_template_with_its_own_id_and_time(count: int) -> None:
    template = Template(
        Envelope(b"", id="-", source="/nats/me", type="t").nats_header().replace(b"ce-id: -\r\n", b"")
    )
    writer = Writer()
    writer.publish_event(
        b"s", b"r.", 7, template, b"ce-subject: x\r\n", b"p-", count, 1_795_233_393_459_455, b"data"
    )
    [(subject, reply, header, data)] = read_back(writer.take())
    assert (subject, reply, data) == (b"s", b"r.7", b"data")
    assert Envelope.from_nats(subject, header, data).attributes() == {
        "id": f"p-{count}",
        "source": "/nats/me",
        "type": "t",
        "subject": "x",
        "time": "2026-11-21T03:56:33.459455Z",
    }


def write(writer: Writer, subject: bytes, reply: bytes, payload: bytes, how: str) -> None:
    if how == "publish":
        writer.publish(subject, reply, HEADER, payload)
    else:
        writer.publish_event(subject, reply, -1, Template(HEADER), b"", b"", 1, 0, payload)


OVERHEAD = {"publish": len(HEADER), "publish_event": 70}


@pytest.mark.parametrize("how", ["publish", "publish_event"])
def test_headers_and_payload_over_the_servers_limit_are_refused_and_nothing_is_written(how: str) -> None:
    fits = 1000 - OVERHEAD[how]
    writer = Writer(payload_max=1000)
    write(writer, b"s", b"", b"x" * fits, how)
    written = len(writer)
    with pytest.raises(CodecError, match="1001 bytes"):
        write(writer, b"s", b"", b"x" * (fits + 1), how)
    assert len(writer) == written
    assert len(read_back(writer.take())) == 1


@pytest.mark.parametrize("how", ["publish", "publish_event"])
@pytest.mark.parametrize(
    ("subject", "reply"),
    [(b"", b""), (b"", b"r"), (b"s" * NATS_CONTROL_LINE_MAX, b""), (b"s", b"r" * NATS_CONTROL_LINE_MAX)],
)
def test_a_line_the_server_would_close_for_is_refused_and_nothing_is_written(
    how: str, subject: bytes, reply: bytes
) -> None:
    writer = Writer()
    with pytest.raises(CodecError):
        write(writer, subject, reply, b"", how)
    assert writer.take() == b""


@pytest.mark.parametrize("block", [b"", b"NATS/1.0\r\n", b"ce-id: 1\r\n\r\n", b"NATS/1.0\r\nce-id: 1\r\n"])
def test_a_template_is_a_whole_header_block(block: bytes) -> None:
    with pytest.raises(CodecError):
        Template(block)


def test_a_large_burst_does_not_keep_its_memory() -> None:
    writer = Writer()
    for _ in range(6):
        writer.publish(b"s", b"", b"", b"x" * 1_000_000)
    assert len(writer.take()) > 6_000_000
    writer.command(b"PING")
    assert writer.take() == b"PING\r\n"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59, 999999)))
@example(datetime(1970, 1, 1))
@example(datetime(1969, 12, 31, 23, 59, 59, 999999))
@example(datetime(2000, 2, 29))
@example(datetime(1900, 2, 28, 23, 59, 59))
@example(datetime(2100, 3, 1))
@example(datetime(1600, 2, 29, 12))
@example(datetime(1, 1, 1))
@example(datetime(9999, 12, 31, 23, 59, 59, 999999))
def test_a_timestamp_is_what_datetime_says(moment: datetime) -> None:
    time_us = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    expected = moment.isoformat(timespec="microseconds") + "Z"
    assert timestamp(time_us) == expected
    writer = Writer()
    writer.publish_event(b"s", b"", -1, Template(HEADER), b"", b"", 1, time_us, b"")
    assert f"ce-time: {expected}\r\n".encode() in writer.take()


def test_the_kept_second_is_not_used_for_another_one() -> None:
    writer = Writer()
    for time_us in (0, 999_999, 1_000_000, 0):
        writer.publish_event(b"s", b"", -1, Template(HEADER), b"", b"", 1, time_us, b"")
    times = [line[-28:-1] for line in writer.take().split(b"\n") if line.startswith(b"ce-time")]
    assert [time[17:26] for time in times] == [b"00.000000", b"00.999999", b"01.000000", b"00.000000"]
