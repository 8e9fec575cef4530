"""NATS operations of both sides and header blocks, against vectors and the fast parser and writer.

The judge of headers is the parser that nats-py takes: the standard library's, for mail.
"""

from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.errors import CodecError
from fabric_codecs.nats import operations as nats
from fabric_codecs.nats.operations import Headers, encode, read_headers, write_headers
from fabric_codecs.nats.stream import Decoder
from fabric_codecs.nats.wire import Parser, Writer
from helpers.golden import golden

VECTORS = golden("nats")
WORDS = st.from_regex(rb"[!-~]{1,12}", fullmatch=True)
BLOCKS = st.just(b"") | st.just(b"NATS/1.0\r\na: 1\r\na: 2\r\n\r\n")
OPERATIONS = st.one_of(
    st.builds(nats.Publish, WORDS, st.binary(max_size=30), st.just(b"") | WORDS, BLOCKS),
    st.builds(
        nats.Message, WORDS, st.integers(0, 10**9), st.binary(max_size=30), st.just(b"") | WORDS, BLOCKS
    ),
    st.builds(nats.Subscribe, WORDS, st.integers(0, 10**9), st.just(b"") | WORDS),
    st.builds(nats.Unsubscribe, st.integers(0, 10**9), st.integers(0, 9)),
    st.sampled_from([nats.Ping(), nats.Pong(), nats.Ok(), nats.Err("Stale Connection"), nats.Info(b"{}")]),
)


def operation_of(row: dict[str, Any]) -> nats.Operation:
    fields = {name: value for name, value in row.items() if name != "type"}
    as_text = ("what",)
    typed = {
        name: value.encode() if isinstance(value, str) and name not in as_text else value
        for name, value in fields.items()
    }
    operation: nats.Operation = getattr(nats, row["type"])(**typed)
    return operation


def fed(pieces: list[bytes]) -> None:
    decoder = Decoder()
    for piece in pieces:
        decoder.feed(piece)


@pytest.mark.parametrize("row", VECTORS["operations"], ids=lambda row: row["text"][:30])
def test_an_operation_of_the_protocol_is_read_and_written(row: dict[str, Any]) -> None:
    data, operation = row["text"].encode(), operation_of(row["operation"])
    assert Decoder().feed(data) == [operation]
    if row.get("written", True):
        assert encode(operation) == data
    for cut in range(len(data)):
        decoder = Decoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == [operation]


@pytest.mark.parametrize(
    "row", [row for row in VECTORS["malformed"] if row["read"] == "operations"], ids=lambda row: row["what"]
)
def test_what_is_no_operation_is_refused_alike_in_pieces(row: dict[str, Any]) -> None:
    data = row["text"].encode()
    with pytest.raises(CodecError) as caught:
        fed([*(data[at : at + 1] for at in range(len(data))), b""])
    assert (caught.value.what, caught.value.offset) == (row["says"], row["offset"])


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATIONS, max_size=6), st.integers(1, 40))
def test_a_stream_in_any_pieces_gives_the_same(operations: list[nats.Operation], step: int) -> None:
    stream = b"".join(encode(operation) for operation in operations)
    decoder = Decoder()
    found: list[nats.Operation] = []
    for at in range(0, len(stream), step):
        found += decoder.feed(stream[at : at + step])
    assert found == operations


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.builds(nats.Message, WORDS, st.just(1), st.binary(max_size=30), st.just(b"") | WORDS, BLOCKS))
)
def test_what_the_server_side_writes_is_read_by_the_fast_parser(messages: list[nats.Message]) -> None:
    heard: list[nats.Message] = []
    parser = Parser(
        {1: lambda subject, reply, header, data: heard.append(nats.Message(subject, 1, data, reply, header))},
        lambda sid, error: None,
    )
    parser.feed(b"".join(encode(message) for message in messages))
    assert heard == messages


def test_what_the_fast_writer_writes_is_read_by_the_server_side() -> None:
    writer = Writer()
    writer.command(b"SUB a.b 1")
    writer.publish(b"a.b", b"r.", b"NATS/1.0\r\nx: y\r\n\r\n", b"hello\r\n", 7)
    writer.publish(b"a.b", b"", b"", b"")
    assert Decoder().feed(writer.take()) == [
        nats.Subscribe(b"a.b", 1),
        nats.Publish(b"a.b", b"hello\r\n", b"r.7", b"NATS/1.0\r\nx: y\r\n\r\n"),
        nats.Publish(b"a.b"),
    ]


def test_operations_before_broken_bytes_are_returned_first() -> None:
    decoder = Decoder()
    assert decoder.feed(b"PING\r\nPUB a x\r\nPING\r\n") == [nats.Ping()]
    for _ in range(2):
        with pytest.raises(CodecError) as caught:
            decoder.feed(b"PING\r\n")
        assert caught.value.offset == 6
        assert caught.value is decoder.fault


def test_a_control_line_is_bounded() -> None:
    with pytest.raises(CodecError):
        Decoder(control_line_max=20).feed(b"SUB " + b"x" * 20)
    assert Decoder(control_line_max=20).feed(b"INFO {" + b"x" * 40 + b"}\r\n")


@pytest.mark.parametrize(
    "operation",
    [
        nats.Publish(b""),
        nats.Publish(b"a b"),
        nats.Publish(b"a", reply=b"x\r\ny"),
        nats.Subscribe(b"a", 1, b"q q"),
        nats.Err("a\r\nb"),
        nats.Info(b"{\n}"),
    ],
)
def test_what_no_line_can_carry_is_not_written(operation: nats.Operation) -> None:
    with pytest.raises(CodecError):
        encode(operation)


# ---- headers ----


@pytest.mark.parametrize("row", VECTORS["headers"], ids=lambda row: row["text"][:40])
def test_a_header_block_is_its_lines_to_us_and_to_nats_py(row: dict[str, Any]) -> None:
    headers = Headers(
        tuple((name, value) for name, value in row["entries"]), row["status"], row["description"]
    )
    block = row["text"].encode()
    assert read_headers(block) == headers
    if row.get("written", True):
        assert write_headers(headers) == block
    theirs = BytesParser().parsebytes(block.partition(b"\r\n")[2])
    assert tuple(theirs.items()) == headers.entries


@pytest.mark.parametrize("entry", [("a b", "1"), ("a", "1\r\nb: 2"), ("a", " 1"), ("", "1"), ("a:", "1")])
def test_a_header_that_a_reader_would_see_otherwise_is_not_written(entry: tuple[str, str]) -> None:
    with pytest.raises(CodecError):
        write_headers(Headers((entry,)))
