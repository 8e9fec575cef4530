"""Targets of MCP and A2A: messages of every kind, their bindings and streams, to envelopes and from them. See
`targets`."""

from collections.abc import Callable
from typing import Any

from fabric_codecs.a2a import messages as a2a
from fabric_codecs.a2a.lift import lift as lift_from_a2a
from fabric_codecs.a2a.lower import lower as lower_to_a2a
from fabric_codecs.a2a.rest import read_error, read_request, write_request
from fabric_codecs.a2a.spelling import to_new, to_old
from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX
from fabric_codecs.core.jsonscan import check, elements
from fabric_codecs.core.sse import Event, EventReader, write_event
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp import messages as mcp
from fabric_codecs.mcp.lift import lift as lift_from_mcp
from fabric_codecs.mcp.lower import lower as lower_to_mcp
from fabric_codecs.mcp.methods import REVISIONS
from fuzz.promise import MayRefuse, bytewise, inside, must, received_of, survives_nats

NOW_US = 1_795_233_600_000_000
DEPTH_MAX = JSON_DEPTH_MAX + 8  # what came stands inside what goes
Lift = Callable[..., Any]


def sse(data: bytes) -> None:
    """An event stream: at once as byte by byte, and events that were read can be written."""
    whole, refused = _events([data])
    pieces, refused_too = _events(bytewise(data))
    assert refused == refused_too
    assert refused or whole == pieces
    for event in whole:
        again = must(EventReader().feed, must(write_event, event.data, event=event.event, id=event.id))
        assert [one.data for one in again] == [event.data]


def _events(pieces: list[bytes]) -> tuple[list[Event], bool]:
    reader = EventReader(event_bytes_max=100)
    events: list[Event] = []
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            events += reader.feed(piece)
    except CodecError as error:
        inside(error, fed)
        return events, True
    return events, False


def mcp_messages(data: bytes) -> None:
    """What either side may say in each revision, alone and in batches; a hop's own members are added."""
    for revision in REVISIONS:
        for speaker in ("client", "server"):
            with MayRefuse(len(data)):
                for one in mcp.read_batch(data, revision=revision, speaker=speaker):
                    assert mcp.write_message(one) in data
                    assert one.about is None or one.rpc.kind == "request"
                    must(mcp.read_message, one.raw, revision=revision, speaker=speaker)
    with MayRefuse(len(data)):
        changed = mcp.with_meta(data, {"traceparent": b'"t"'})
        must(check, changed, depth_max=DEPTH_MAX)


def mcp_lift(data: bytes) -> None:
    """Any message to an envelope, and that to both protocols; what leaves comes back as the same data."""
    _translated(data, lift_from_mcp, lower_to_mcp)


def a2a_lift(data: bytes) -> None:
    """The same for A2A."""
    _translated(data, lift_from_a2a, _lower_to_own_a2a)


def _lower_to_own_a2a(envelope: Envelope) -> Any:
    return lower_to_a2a(envelope, version="0.3" if envelope.get("fabver") == "0.3" else "1.0")


def _translated(data: bytes, lift: Lift, lower_home: Lift) -> None:
    with MayRefuse(len(data)):
        lifted = lift(data, source="/x/y", fresh_id="f-1", now_us=NOW_US).message
        survives_nats(lifted)
        for lower in (lower_to_mcp, lower_to_a2a):
            with MayRefuse(len(data)):
                must(check, lower(lifted).message, depth_max=DEPTH_MAX, bytes_max=2 * JSON_BYTES_MAX)
        with MayRefuse(len(data)):
            home = lower_home(lifted)
            with MayRefuse(len(home.message)):  # it may be deeper, larger or fuller than what came
                again = lift(home.message, source="/x/y", fresh_id="f-1", now_us=NOW_US).message
                # Space around a JSON value is none of it.
                assert home.losses or again.data.strip(b" \t\r\n") == lifted.data.strip(b" \t\r\n")


def json_lower(data: bytes) -> None:
    """Any header block and data to MCP and A2A, in each version; what leaves is a message of its protocol."""
    received = received_of(data)
    for revision in ("2026-07-28", "2025-11-25"):
        _lowered(received, lower_to_mcp, lift_from_mcp, revision=revision)
    for version in ("1.0", "0.3"):
        _lowered(received, lower_to_a2a, lift_from_a2a, version=version, task_id="t")


def _lowered(received: Envelope, lower: Lift, lift: Lift, **named: str) -> None:
    with MayRefuse(len(received.data)):
        message = lower(received, **named).message
        must(check, message, depth_max=DEPTH_MAX)
        with MayRefuse(len(message)):  # a header block may hold more than a message's members may
            lift(message, source="/x/y", fresh_id="f-1", now_us=NOW_US)


def a2a_messages(data: bytes) -> None:
    """What may be said over JSON-RPC, items of streams, and both spellings."""
    with MayRefuse(len(data)):
        assert a2a.write_message(a2a.read_message(data)) == data
    with MayRefuse(len(data)):
        a2a.read_item(data)
    with MayRefuse(len(data)):
        must(check, a2a.with_metadata(data, {"k": b"1"}), depth_max=DEPTH_MAX)
    with MayRefuse(len(data)):
        check(data)  # the spellings take what a scanner has taken
        for respell, back in ((to_old, to_new), (to_new, to_old)):
            with MayRefuse(0):
                other = respell(data)
                must(check, other, depth_max=DEPTH_MAX)
                with MayRefuse(
                    0
                ):  # a part of neither version is one of the other's, and no longer of its own
                    must(check, back(other), depth_max=DEPTH_MAX)


def a2a_rest(data: bytes) -> None:
    """`verb target` in the first line, then the body: a request that was read can be sent."""
    line, _, body = data.partition(b"\n")
    verb, _, target = line.decode("latin-1").partition(" ")
    with MayRefuse(len(data)):
        call = read_request(verb, target, body)
        with MayRefuse(len(call.params)):  # a GET with members that have no place in a query
            sent = write_request(call)
            again = must(read_request, sent.verb, sent.target, sent.body)
            assert (again.operation, again.tenant) == (call.operation, call.tenant)
    with MayRefuse(len(body)):
        read_error(body)


def json_elements(data: bytes) -> None:
    """An array's elements are those of the array, raw."""
    with MayRefuse(len(data)):
        found = elements(data, count_max=100)
        assert must(elements, b"[" + b",".join(found) + b"]") == found
