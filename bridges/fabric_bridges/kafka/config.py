"""The Kafka edge's settings: `[edges.kafka]` of fabric.toml, each default with its reason."""

from typing import Annotated

import msgspec

__all__ = ["KafkaEdgeSettings"]

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class KafkaEdgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the edge listens, what it tells clients to connect to, and how much it takes on."""

    host: str = "127.0.0.1"  # not reachable from outside unless somebody says so
    port: Port = 9092  # Kafka's own; 0: any free one

    # Clients connect again, to what Metadata tells them. Empty and 0: the address and port they came in by,
    # which is right unless something translates addresses in between.
    advertised_host: str = ""
    advertised_port: Port = 0

    connections_max: Count = 1024  # half of the 2,048 descriptors many systems allow a process
    # A Fetch of 500 partitions takes 140 KiB; a producer's request of 1 MiB is to be refused in words.
    request_bytes_max: Count = 2 << 20
    login_bytes_max: Count = 16 << 10  # before a token was seen nobody needs more
    login_timeout_s: Positive = 10.0  # from connecting to a valid token
    idle_timeout_s: Positive = 600.0  # Kafka's connections.max.idle.ms
    request_timeout_s: Positive = 60.0  # for one answer, beside the time that a Fetch asks to wait
    stall_timeout_s: Positive = 60.0  # for a peer to read its answer: 8 MiB at 140 KB/s

    fetch_bytes_max: Count = 8 << 20  # in one answer, held in memory; clients ask for 50 MiB and take less
    fetch_wait_max_s: Positive = 30.0  # the longest default of a stock client is 5 s
