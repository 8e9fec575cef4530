"""Targets of the peers' protocols, MQTT, MCP and A2A: to envelopes and from them. See `targets`."""

from collections.abc import Iterable

from fabric_codecs.a2a.call import lift_call
from fabric_codecs.a2a.card import version_is_served
from fabric_codecs.a2a.events import lower_events
from fabric_codecs.a2a.lift import lift as lift_from_a2a
from fabric_codecs.a2a.params import read_parts, read_send, read_task_query
from fabric_codecs.a2a.spelling import to_old
from fabric_codecs.a2a.task import is_artifact, state_of, write_task
from fabric_codecs.bounds import JSON_DEPTH_MAX
from fabric_codecs.core import jsonrpc as rpc
from fabric_codecs.core.jsonscan import check
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp import wire as mcp_wire
from fabric_codecs.mcp.tools import split_tool_name, tool_name
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.lift import lift as lift_from_mqtt
from fabric_codecs.mqtt.lower import lower as lower_to_mqtt
from fabric_codecs.mqtt.packets import Packet, Publish, Reason
from fabric_codecs.mqtt.wire import Decoder, decode
from fuzz.promise import MayRefuse, bytewise, inside, must, received_of, survives_nats

NOW_US = 1_795_233_600_000_000


# ---- MQTT ------------------------------------------------------------------------------------------------


def mqtt_server(data: bytes) -> None:
    """What a listener reads: CONNECT first, of either version."""
    _mqtt(data, 0)


def mqtt_3_1_1(data: bytes) -> None:
    """The middle of a connection of MQTT 3.1.1."""
    _mqtt(data, 4)


def mqtt_5(data: bytes) -> None:
    """The middle of a connection of MQTT 5."""
    _mqtt(data, 5)


def _mqtt(data: bytes, version: int) -> None:
    packets, fault, version_said = _packets([data], version)
    assert (packets, fault, version_said) == _packets(bytewise(data), version)
    written = b"".join(must(encode, packet, version_said) for packet in packets)
    assert data.startswith(written)
    if len(packets) == 1 and written == data:
        assert must(decode, data, version) == packets[0]
    else:
        with MayRefuse(len(data)):
            raise AssertionError(f"{decode(data, version)} is not what a stream has: {packets}")


def _packets(pieces: Iterable[bytes], version: int) -> tuple[list[Packet], tuple[object, ...] | None, int]:
    decoder = Decoder(version)
    packets: list[Packet] = []
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            packets += decoder.feed(piece)
        decoder.feed(b"")
    except CodecError as error:
        inside(error, fed)
        return packets, (error.what, error.offset, error.clause, error.reason), decoder.version
    return packets, None, decoder.version


def mqtt_lift(data: bytes) -> None:
    """PUBLISH packets of both versions to envelopes, and those back to packets."""
    for version in (4, 5):
        for packet in _packets([data], version)[0]:
            if isinstance(packet, Publish):
                with MayRefuse(len(data)):
                    _there_and_back(packet, version)


def _there_and_back(packet: Publish, version: int) -> None:
    def lift(publish: Publish) -> Envelope:
        return lift_from_mqtt(
            publish, version=version, fresh_id="e-1", source="/mqtt/d", now_us=NOW_US
        ).message

    lifted = lift(packet)
    survives_nats(lifted)
    channel = lifted.subject or ""
    lowered = must(lower_to_mqtt, lifted, channel, version=version, qos=0, now_us=NOW_US).message
    assert (lowered.topic, lowered.payload) == (packet.topic, packet.payload)
    assert must(lift, lowered).data == lifted.data
    must(encode, lowered, version)


def mqtt_lower(data: bytes) -> None:
    """Any header block to PUBLISH packets, which a decoder takes unless they have too many properties."""
    received = received_of(data)
    for version in (4, 5):
        with MayRefuse(0):
            lowered = lower_to_mqtt(received, "a.b", version=version, qos=1, now_us=NOW_US, packet_id=7)
            packets, fault, _ = _packets([encode(lowered.message, version)], version)
            assert packets == [lowered.message] or (fault and fault[3] == Reason.QUOTA_EXCEEDED)


# ---- MCP and A2A -----------------------------------------------------------------------------------------


def mcp(data: bytes) -> None:
    """What the MCP edge looks at in what a client asks."""
    with MayRefuse(len(data)):
        message = rpc.read_rpc(data)
        readers = (mcp_wire.stated_version, mcp_wire.read_cursor, mcp_wire.read_offered_version)
        for read in (*readers, mcp_wire.read_cancelled):
            with MayRefuse(len(data)):
                read(message)
        call = mcp_wire.read_tool_call(message)
        with MayRefuse(0):
            assert must(tool_name, *split_tool_name(call.name)) == call.name
        assert call.arguments in data or call.arguments == b"{}"


def a2a(data: bytes) -> None:
    """What an A2A client may ask, and a message as an envelope."""
    version_is_served(data.decode("latin-1"))
    with MayRefuse(len(data)):
        message = rpc.read_rpc(data)
        with MayRefuse(len(data)):
            read_task_query(message.params)
        with MayRefuse(len(data)):
            read_parts(message.params)
        sent = read_send(message.params)
        if message.method not in ("SendMessage", "SendStreamingMessage"):
            return
        lifted = lift_call(message, sent, target="a.b", source="/a2a/x", context_id="c-1", now_us=NOW_US)
        must(check, lifted.message.data)
        survives_nats(lifted.message)


def a2a_events(data: bytes) -> None:
    """Any header block and data to the events of a task, which are JSON, and to the task; the first event is
    read as what it was."""
    received = received_of(data)
    for kind in ("progress", "status", "artifact", "response", "error"):
        with MayRefuse(len(data)):
            sent = received.replace(None, fabkind=kind)
            told = lower_events(sent, task_id="t", context_id="c").message
            status = next((event for event in told if not is_artifact(event)), None)
            for event in told:
                must(check, event, depth_max=JSON_DEPTH_MAX + 8)  # the result stands inside an event
            if status is not None:
                artifacts = [event for event in told if is_artifact(event)]
                must(write_task, status, artifacts, (), task_id="t", context_id="c")
                must(state_of, status)
            message = rpc.write_result(b"7", told[0])
            must(to_old, message)
            with MayRefuse(len(message)):  # a conversation without a text, and what else an agent could say
                again = lift_from_a2a(message, source="/a2a/x", fresh_id="f", now_us=NOW_US).message
                assert again.kind == kind or sent.get("datacontenttype") == "application/a2a+json"
