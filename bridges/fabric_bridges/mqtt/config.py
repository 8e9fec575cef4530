"""The MQTT edge's settings: `[edges.mqtt]` of fabric.toml, each default with its reason."""

from typing import Annotated, Literal

import msgspec

from fabric_codecs.bounds import MQTT_PACKET_BYTES_MAX

__all__ = ["MqttEdgeSettings"]

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Window = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class MqttEdgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the edge listens and how much it takes on."""

    host: str = "127.0.0.1"  # not reachable from outside unless somebody says so
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 1883  # MQTT's registered port; 0: any free one

    # QoS 0 promises at most once, as a live message does; "durable" keeps it in the log all the same.
    qos0_delivery: Literal["live", "durable"] = "live"

    connections_max: Count = 10_000  # a descriptor and about 6 KiB each (measured) while idle
    connect_timeout_s: Positive = 10.0  # from the socket to a whole CONNECT; EMQX waits 15 s
    keep_alive_max_s: Window = 3600  # told to a client of version 5 that asks for more, or for none
    backlog: Count = 1024  # a whole fleet may come back at once; asyncio's 100 overflows

    packet_bytes_max: Count = MQTT_PACKET_BYTES_MAX
    receive_maximum: Window = 256  # a device's QoS 1 messages without a PUBACK; EMQX grants 32, Mosquitto 20
    send_window_max: Window = 64  # our QoS 1 messages without a PUBACK, when the client allows as many
    subscriptions_max: Count = 256  # of one connection; each is a member of a channel

    write_buffer_bytes: Count = 64 << 10  # towards one client; a fuller one stops its subscriptions alone
    stall_timeout_s: Positive = 60.0  # for a client that reads nothing at all; at 1 KiB/s it takes a buffer
    linger_s: Positive = 1.0  # for a client to take our last words before the socket is cut
    reply_memory_s: Positive = 300.0  # how long a command's answer is recognised when nothing expires sooner
    replies_max: Count = 65_536  # commands whose answers are recognised, of all devices together
