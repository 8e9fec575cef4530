"""Targets of the fabric's own forms: NATS, envelopes, names, JSON and JSON-RPC. See `targets`."""

import json
from collections.abc import Callable, Iterable

from fabric_codecs.core import jsonrpc as rpc
from fabric_codecs.core.jsonscan import check, compose, kind_of, scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import (
    channel_name,
    channel_to_kafka_topic,
    channel_to_topic,
    decode_level,
    encode_level,
    filter_to_pattern,
    is_pattern,
    kafka_topic_to_channel,
    pattern_matches,
    pattern_name,
    shard_of,
    topic_to_channel,
)
from fabric_codecs.nats import headers
from fabric_codecs.nats.wire import Parser, Writer
from fuzz.promise import MayRefuse, bytewise, inside, must, received_of

# ---- NATS ------------------------------------------------------------------------------------------------


def nats(data: bytes) -> None:
    """The parser of the client protocol."""
    messages, lines, refused = _listen([data])
    slowly, lines_slowly, refused_slowly = _listen(bytewise(data))
    assert (slowly, lines_slowly, refused_slowly) == (messages, lines, refused)
    for message in messages:
        writer = Writer()
        with MayRefuse(0):  # a subject that the server's own limit on control lines would refuse
            writer.publish(*message)
            verb, subject, rest = writer.take().split(b" ", 2)
            line = verb.replace(b"PUB", b"MSG") + b" " + subject + b" 1 " + rest
            assert _listen([line]) == ([message], [], None)


def _listen(
    pieces: Iterable[bytes],
) -> tuple[list[tuple[bytes, bytes, bytes, bytes]], list[bytes], str | None]:
    messages: list[tuple[bytes, bytes, bytes, bytes]] = []
    lines: list[bytes] = []
    parser = Parser({1: lambda *message: messages.append(message), 2: _fail}, lambda sid, error: None)
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            lines += parser.feed(piece)
        parser.feed(b"")
    except CodecError as error:
        inside(error, fed)
        return messages, lines, error.what
    return messages, lines, None


def _fail(*message: bytes) -> None:
    raise RuntimeError("a handler that fails")


def nats_headers(data: bytes) -> None:
    """The questions that are asked of a header block, a subject or an acknowledgement without parsing it."""
    name, _, rest = data.partition(b"\n")
    for block in (data, rest):
        assert headers.status_of(block) >= 0
        assert min(headers.positions(block)) >= -1
        assert headers.number_in(block, name) >= -1
        assert headers.value_in(block, name) in block
        assert headers.server_value_in(block, name) in block
        process, number = headers.mark_of(block)
        assert process in block
        assert number >= -1
        assert headers.ticket_of(block) >= -1
        headers.stored_at(block)
        assert headers.source_agrees(name, block) in (True, False)


def envelope(data: bytes) -> None:
    """A received envelope: a header block as any NATS client may send it, and the data behind it."""
    received = received_of(data)
    attributes = received.attributes()
    for name, value in attributes.items():
        assert received.get(name) == value
    repr(received)
    assert received.sequence >= 0
    for name in ("Nats-Stream", "Nats-Subject", "Nats-Time-Stamp"):
        received.header(name)
    for question in ("native", "source_name", "stream", "kind", "time"):
        with MayRefuse(0):
            getattr(received, question)
    with MayRefuse(0):
        received.json()
    with MayRefuse(0):
        assert must(Envelope.from_nats, b"", received.nats_header(), received.data) == received
    with MayRefuse(0):
        copy = received.replace()
        assert Envelope.from_nats(b"", must(copy.nats_header), copy.data) == copy == received


# ---- names -----------------------------------------------------------------------------------------------

INVERSES: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (encode_level, decode_level),
    (decode_level, encode_level),
    (topic_to_channel, channel_to_topic),
    (kafka_topic_to_channel, channel_to_kafka_topic),
)


def names(data: bytes) -> None:
    """Levels, channels, patterns, topics, in every direction; what is not UTF-8 becomes lone surrogates."""
    text = data.decode("utf-8", "surrogateescape")
    for there, back in INVERSES:
        with MayRefuse(0):
            assert must(back, there(text)) == text
    with MayRefuse(0):
        _channel(channel_name(text))
    read: Callable[[str], str]
    for read in (topic_to_channel, kafka_topic_to_channel):
        with MayRefuse(0):
            _channel(read(text))
    for read in (pattern_name, filter_to_pattern):
        with MayRefuse(0):
            assert must(pattern_name, pattern := read(text)) == pattern


def _channel(channel: str) -> None:
    assert must(channel_name, channel) == must(pattern_name, channel) == channel
    assert not is_pattern(channel)
    assert pattern_matches(channel, channel)
    assert 0 <= shard_of(channel, 16) < 16
    with MayRefuse(0):
        assert must(topic_to_channel, channel_to_topic(channel)) == channel
    with MayRefuse(0):
        assert must(kafka_topic_to_channel, channel_to_kafka_topic(channel)) == channel


# ---- JSON ------------------------------------------------------------------------------------------------


def jsonscan(data: bytes) -> None:
    """The scanner. What it takes, the standard library takes too (digits stay text: they may be many)."""
    with MayRefuse(len(data)):
        kind = check(data)
        assert kind == kind_of(data.strip(b" \t\r\n"))
        json.loads(data, parse_int=str, parse_float=str)
    with MayRefuse(len(data)):
        found = scan(data)
        members = [(name, found.get(name) or b"") for name in found.names()]
        again = must(scan, compose(members))
        assert [(name, again.get(name)) for name in again.names()] == members
        for name, value in members:
            must(check, value)
            assert found.splice(name, value) == found.raw
            assert must(scan, found.splice(name, b"0")).get(name) == b"0"
            assert data[found.offset(name) :].startswith(value)
            with MayRefuse(len(data)):
                found.text(name)
            with MayRefuse(len(data)):
                found.object(name)


def jsonrpc(data: bytes) -> None:
    """JSON-RPC messages, and ids on their way through an attribute."""
    rpc.peek_id(data)
    with MayRefuse(len(data)):
        message = rpc.read_rpc(data)
        if message.id is not None:
            known = must(rpc.id_of_corr, rpc.corr_of_id(message.id))
            assert json.loads(known, parse_int=str) == json.loads(message.id, parse_int=str)
        if message.method is not None:
            written = rpc.write_request(message.id, message.method, message.params)
        elif message.result is not None:
            assert message.id is not None
            written = rpc.write_result(message.id, message.result)
        else:
            written = rpc.write_error(message.id, -32603, "no", message.error)
        again = must(rpc.read_rpc, written)
        assert (again.kind, again.id, again.method) == (message.kind, message.id, message.method)
        assert (again.params, again.result) == (message.params, message.result)
    with MayRefuse(len(data)):
        must(rpc.corr_of_id, rpc.id_of_corr(data.decode("latin-1")))
