"""Targets of what stands between protocols: CloudEvents, NATS operations, and all pairs. See `targets`."""

from collections.abc import Iterable
from typing import Any

from fabric_codecs.cloudevents.bindings import BINDINGS, Message, Name, read, read_many, write
from fabric_codecs.cloudevents.structured import read_batch, read_event, write_batch, write_event
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, Translation
from fabric_codecs.nats.operations import Operation, encode, read_headers, write_headers
from fabric_codecs.nats.stream import Decoder
from fabric_codecs.translate.lift import PROTOCOLS, Protocol, lift
from fabric_codecs.translate.lower import lower
from fabric_codecs.translate.message import LossRefused, translate
from fabric_codecs.translate.passing import pass_on
from fabric_codecs.translate.routes import explain
from fabric_codecs.translate.several import split
from fuzz.promise import MayRefuse, bytewise, inside, must

TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
NAMES: tuple[Name, ...] = ("nats", "http", "kafka", "mqtt")


def nats_operations(data: bytes) -> None:
    """A stream of either side, and a header block."""
    found, fault = _operations([data])
    assert _operations(bytewise(data)) == (found, fault)
    for operation in found:
        with MayRefuse(0):  # a word that no line of ours would have
            again = encode(operation)
            assert _operations([again]) == ([operation], None)
    with MayRefuse(len(data)):
        headers = read_headers(data)
        assert must(read_headers, must(write_headers, headers)) == headers


def _operations(pieces: Iterable[bytes]) -> tuple[list[Operation], str | None]:
    decoder = Decoder()
    found: list[Operation] = []
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            found += decoder.feed(piece)
        decoder.feed(b"")
    except CodecError as error:
        inside(error, fed)
        return found, error.what
    return found, None


def cloudevents(data: bytes) -> None:
    """JSON events and batches, and every binding's headers: `name: value` lines, an empty one, the body."""
    with MayRefuse(len(data)):
        event = read_event(data)
        _is_the_same(must(read_event, write_event(event)), event)
    with MayRefuse(len(data)):
        events = read_batch(data)
        for again, event in zip(must(read_batch, write_batch(events)), events, strict=True):
            _is_the_same(again, event)
    head, _, body = data.partition(b"\n\n")
    lines = (line.partition(b": ") for line in head.split(b"\n"))
    headers = [(name.decode("latin-1"), value if said else None) for name, said, value in lines]
    for name in NAMES:
        with MayRefuse(len(data)):
            several = read_many(Message(headers, None, body), name)
        with MayRefuse(len(data)):
            event = read(Message(headers, None, body), name)
            assert several == [event]
            for structured in (False, True):
                with MayRefuse(0):  # native entries that cannot be read
                    sent = write(event, name, structured=structured)
                    assert BINDINGS[name].content_type is None or isinstance(sent.headers, list)
                    _is_the_same(must(read, sent, name), event)


def _is_the_same(again: Envelope, event: Envelope) -> None:
    """A JSON document in a JSON event is said to be one (CloudEvents JSON 1.0.2, 3.1.2)."""
    if event.get("datacontenttype") is None:
        event = event.replace(datacontenttype=again.get("datacontenttype"))
        assert event.get("datacontenttype") in (None, "application/json")
    assert again == event


def translations(data: bytes) -> None:
    """The first byte is the pair, the rest the message: it arrives with its data, at what its route says."""
    if not data:
        return
    source, target = PROTOCOLS[data[0] % 5], PROTOCOLS[data[0] // 5 % 5]
    known = {"origin": "/nats/f", "now_us": 1_795_233_600_000_000, "fresh_id": "e-1", "topic": "a.b"}
    with MayRefuse(len(data)):
        split(data[1:], source)
    with MayRefuse(len(data)):
        message = data[1:]
        said = translate(message, source, target, **known)
        assert {loss.code for loss in said.losses} <= {loss.code for loss in explain(source, target)}
        assert _losses_that_strict_refuses(message, source, target, known) == said.losses
        if source != target:
            _arrives(message, said, source, target, known)
    with MayRefuse(len(data)):
        passed = pass_on(message, source, traceparent=TRACE, waited_s=1)
        with MayRefuse(len(passed)):  # the hop's trace may be one header, property or byte too many
            assert pass_on(passed, source, traceparent=TRACE) == passed
            there, here = (lift(one, source, **known).message for one in (passed, message))
            assert there.data == here.data or source == "mcp"  # a trace stands within what is opaque


def _losses_that_strict_refuses(
    message: bytes, source: Protocol, target: Protocol, known: Any
) -> tuple[Loss, ...]:
    try:
        translate(message, source, target, "strict", **known)
    except LossRefused as refused:
        return refused.losses
    return ()


def _arrives(
    message: bytes, said: Translation[bytes], source: Protocol, target: Protocol, known: Any
) -> None:
    """The same as by way of an Envelope, and read with the same data at the other end."""
    if {source, target} == {"mqtt5", "mqtt311"}:
        return  # from packet to packet
    between = must(lift, message, source, **known)
    assert must(lower, between.message, target, now_us=known["now_us"]).message == said.message
    assert must(lift, said.message, target, **known).message.data == between.message.data
