"""MQTT 5 properties: which there are, of what type, and in which packets (2.2.2.2, table 2-4).

Below: nothing. Above: `properties`, which compiles `TABLE` into arrays.
"""

from typing import Final, NamedTuple

__all__ = ["TABLE", "Kind", "Property"]


class Kind:
    """Data types of property values (2.2.2.2). `FLAG` is a byte that may only be 0 or 1."""

    FLAG, U16, U32, VARINT, TEXT, BINARY, PAIR = range(1, 8)


# Where a property may stand: a bit per packet type, and bit 0 for the will inside a CONNECT.
WILL: Final = 1 << 0
CONNECT: Final = 1 << 1
CONNACK: Final = 1 << 2
PUBLISH: Final = 1 << 3
PUBACK: Final = 1 << 4
PUBREC: Final = 1 << 5
PUBREL: Final = 1 << 6
PUBCOMP: Final = 1 << 7
SUBSCRIBE: Final = 1 << 8
SUBACK: Final = 1 << 9
UNSUBSCRIBE: Final = 1 << 10
UNSUBACK: Final = 1 << 11
DISCONNECT: Final = 1 << 14
AUTH: Final = 1 << 15
ACKS: Final = CONNACK | PUBACK | PUBREC | PUBREL | PUBCOMP | SUBACK | UNSUBACK | DISCONNECT | AUTH
EVERYWHERE: Final = WILL | CONNECT | PUBLISH | SUBSCRIBE | UNSUBSCRIBE | ACKS


class Property(NamedTuple):
    """`many`: packets in which it may stand more than once. `positive`: zero is a Protocol Error."""

    code: int
    field: str
    kind: int
    packets: int
    clause: str
    positive: bool = False
    many: int = 0


TABLE: Final = (
    Property(0x01, "payload_format", Kind.FLAG, PUBLISH | WILL, "3.3.2.3.2"),
    Property(0x02, "message_expiry_s", Kind.U32, PUBLISH | WILL, "3.3.2.3.3"),
    Property(0x03, "content_type", Kind.TEXT, PUBLISH | WILL, "3.3.2.3.9"),
    Property(0x08, "response_topic", Kind.TEXT, PUBLISH | WILL, "3.3.2.3.5"),
    Property(0x09, "correlation_data", Kind.BINARY, PUBLISH | WILL, "3.3.2.3.6"),
    Property(
        0x0B, "subscription_ids", Kind.VARINT, PUBLISH | SUBSCRIBE, "3.8.2.1.2", positive=True, many=PUBLISH
    ),
    Property(0x11, "session_expiry_s", Kind.U32, CONNECT | CONNACK | DISCONNECT, "3.1.2.11.2"),
    Property(0x12, "assigned_client_id", Kind.TEXT, CONNACK, "3.2.2.3.7"),
    Property(0x13, "server_keep_alive_s", Kind.U16, CONNACK, "3.2.2.3.14"),
    Property(0x15, "authentication_method", Kind.TEXT, CONNECT | CONNACK | AUTH, "3.1.2.11.9"),
    Property(0x16, "authentication_data", Kind.BINARY, CONNECT | CONNACK | AUTH, "3.1.2.11.10"),
    Property(0x17, "request_problem_information", Kind.FLAG, CONNECT, "3.1.2.11.7"),
    Property(0x18, "will_delay_s", Kind.U32, WILL, "3.1.3.2.2"),
    Property(0x19, "request_response_information", Kind.FLAG, CONNECT, "3.1.2.11.6"),
    Property(0x1A, "response_information", Kind.TEXT, CONNACK, "3.2.2.3.15"),
    Property(0x1C, "server_reference", Kind.TEXT, CONNACK | DISCONNECT, "3.2.2.3.16"),
    Property(0x1F, "reason_string", Kind.TEXT, ACKS, "3.2.2.3.9"),
    Property(0x21, "receive_maximum", Kind.U16, CONNECT | CONNACK, "3.1.2.11.3", positive=True),
    Property(0x22, "topic_alias_maximum", Kind.U16, CONNECT | CONNACK, "3.1.2.11.5"),
    Property(0x23, "topic_alias", Kind.U16, PUBLISH, "3.3.2.3.4", positive=True),
    Property(0x24, "maximum_qos", Kind.FLAG, CONNACK, "3.2.2.3.4"),
    Property(0x25, "retain_available", Kind.FLAG, CONNACK, "3.2.2.3.5"),
    Property(0x26, "user", Kind.PAIR, EVERYWHERE, "2.2.2.2", many=EVERYWHERE),
    Property(0x27, "maximum_packet_bytes", Kind.U32, CONNECT | CONNACK, "3.1.2.11.4", positive=True),
    Property(0x28, "wildcard_subscription_available", Kind.FLAG, CONNACK, "3.2.2.3.11"),
    Property(0x29, "subscription_ids_available", Kind.FLAG, CONNACK, "3.2.2.3.12"),
    Property(0x2A, "shared_subscription_available", Kind.FLAG, CONNACK, "3.2.2.3.13"),
)
