"""Messages to translate: one of each protocol that says much, and strategies for any.

In: nothing, or what hypothesis draws. Out: bytes as `translate.lift` takes them.
"""

import json
from typing import Any

from hypothesis import strategies as st

from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.records import Record
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.translate.lift import Protocol

NOW_US = 1_790_000_000_000_000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KNOWN: dict[str, Any] = {
    "origin": "/nats/t1",
    "now_us": NOW_US,
    "fresh_id": "e-1",
    "topic": "greenhouse.heat",
}

NAMES = st.from_regex(r"[A-Za-z][A-Za-z-]{0,12}", fullmatch=True)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | LINES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LINES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(LINES, JSON, max_size=4).map(lambda value: json.dumps(value).encode())
PAYLOADS = OBJECTS | st.binary(max_size=60) | LINES.map(str.encode)
MEDIA_TYPES = st.sampled_from(["application/json", "text/plain", "application/octet-stream", "image/png"])


def mcp_call(
    arguments: bytes, conversation: str = "talk-1", rpc_id: bytes = b"7", meta: bytes = b""
) -> bytes:
    """A `tools/call`; `meta` is more of its `_meta`, with a comma before each member."""
    return (
        b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"name":"greenhouse.heat","arguments":%b,"_meta":{'
        b'"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
        b'"traceparent":"%b","io.agentfabric/conversation":%b%b}}}'
    ) % (rpc_id, arguments, TRACE.encode(), json.dumps(conversation).encode(), meta)


def a2a_send(data: bytes, conversation: str = "talk-1", message_id: str = "m-1", part: bytes = b"") -> bytes:
    """A SendMessage with one part: `data`, or what `part` says."""
    part = part or b'{"data":%b,"mediaType":"application/json"}' % data
    return (
        b'{"jsonrpc":"2.0","id":"r-7","method":"SendMessage","params":{"message":{"messageId":%b,"role":"ROLE_USER",'
        b'"contextId":%b,"parts":[%b],"metadata":{"io.agentfabric/subject":"greenhouse.heat"}}}}'
    ) % (json.dumps(message_id).encode(), json.dumps(conversation).encode(), part)


def mqtt_publish(
    payload: bytes, version: int = 5, topic: str = "greenhouse/heat", **properties: Any
) -> bytes:
    """A PUBLISH at QoS 0."""
    return encode(Publish(topic, payload, properties=Properties(**properties)), version)


def kafka_batch(value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]) -> bytes:
    """A batch of one record."""
    batch = BatchBuilder(0)
    batch.add(Record(0, NOW_US // 1000, key, value, headers))
    return batch.build()


ARGUMENTS = b'{"zone":"north","set":21.50,"big":90071992547409930}'
USER = (
    ("type", "com.example.reading"),
    ("time", "2026-11-21T04:00:00Z"),
    ("correlationid", "talk-1"),
    ("traceparent", TRACE),
    ("X-Site", "north wing"),
    ("X-Site", "north wing"),
)
SPECIMENS: dict[Protocol, bytes] = {
    "mcp": mcp_call(ARGUMENTS),
    "a2a": a2a_send(ARGUMENTS),
    "mqtt5": mqtt_publish(ARGUMENTS, content_type="application/json", user=USER),
    "mqtt311": mqtt_publish(ARGUMENTS, 4),
    "kafka": kafka_batch(
        ARGUMENTS,
        b"north",
        [
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_type", b"com.example.reading"),
            ("ce_correlationid", b"talk-1"),
            ("traceparent", TRACE.encode()),
            ("X-Site", b"\xff\x00"),
            ("X-Site", None),
        ],
    ),
}

MESSAGES: dict[Protocol, st.SearchStrategy[bytes]] = {
    "mcp": st.builds(
        mcp_call, OBJECTS, LINES.filter(bool), st.sampled_from([b"7", b'"7"', b"-1", b'"\\u00fc"'])
    ),
    "a2a": st.builds(
        a2a_send, OBJECTS, LINES.filter(bool), st.from_regex(r"[a-zA-Z0-9-]{1,64}", fullmatch=True)
    ),
    "mqtt5": st.builds(
        mqtt_publish,
        PAYLOADS,
        content_type=st.none() | MEDIA_TYPES,
        message_expiry_s=st.none() | st.integers(1, 1000),
        correlation_data=st.none() | st.binary(max_size=20),
        response_topic=st.sampled_from([None, "replies/1", "a b/c"]),
        user=st.lists(st.tuples(NAMES, LINES), max_size=4).map(tuple),
    ),
    "mqtt311": st.builds(mqtt_publish, PAYLOADS, st.just(4)),
    "kafka": st.builds(
        kafka_batch,
        PAYLOADS,
        st.none() | st.binary(max_size=10),
        st.lists(
            st.tuples(NAMES, st.none() | st.binary(max_size=20) | LINES.map(str.encode)), max_size=4
        ).map(lambda headers: [("content-type", b"application/json"), ("ce_specversion", b"1.0"), *headers]),
    ),
}
