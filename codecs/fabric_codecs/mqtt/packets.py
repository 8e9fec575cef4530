"""MQTT control packets as values, for 3.1.1 and 5, and the reason codes that each may carry (2.4).

In 3.1.1 `properties` are empty and `code` is a return code (CONNACK) or absent from the wire. Values are not
checked here: `wire` checks what it reads, `encode` what it writes. PUBREC, PUBREL, PUBCOMP and AUTH are
missing: where Maximum QoS is 1 and nobody offers enhanced authentication, no correct exchange has them.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from fabric_codecs.mqtt.properties import NONE, Properties

__all__ = [
    "REASONS",
    "Connack",
    "Connect",
    "Disconnect",
    "Packet",
    "Pingreq",
    "Pingresp",
    "Puback",
    "Publish",
    "Reason",
    "Suback",
    "Subscribe",
    "Subscription",
    "Unsuback",
    "Unsubscribe",
    "Will",
]


class Publish(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.3. `packet_id` is 0 exactly when `qos` is 0. The topic is empty only beside a Topic Alias."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties = NONE


class Puback(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.4. The answer to a QoS 1 PUBLISH; below 0x80 the message was taken."""

    packet_id: int
    code: int = 0
    properties: Properties = NONE


class Will(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.1.3.2. What the server shall publish when the client is lost."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: Properties = NONE


class Connect(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.1. `version` is the protocol level, 4 or 5. `clean` is Clean Session in 3.1.1, Clean Start in 5."""

    client_id: str
    version: int = 5
    clean: bool = True
    keep_alive_s: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = NONE

    def __repr__(self) -> str:  # a password is a token: it never reaches a log
        return f"Connect({self.client_id!r}, version={self.version}, username={self.username!r})"


class Connack(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.2. `code` is a reason code, in 3.1.1 a return code from 0 to 5."""

    session_present: bool = False
    code: int = 0
    properties: Properties = NONE


class Subscription(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """One filter of a SUBSCRIBE. The last three are MQTT 5's options (3.8.3.1)."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.8."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = NONE


class Suback(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.9. One code a filter, in order: the QoS granted, or why not."""

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = NONE


class Unsubscribe(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.10."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = NONE


class Unsuback(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """`codes` are MQTT 5's, one a filter; empty in 3.1.1."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = NONE


class Pingreq(Struct, frozen=True, gc=False):
    """3.12."""


class Pingresp(Struct, frozen=True, gc=False):
    """3.13."""


class Disconnect(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.14. In 3.1.1 only a client sends it, and it says nothing."""

    code: int = 0
    properties: Properties = NONE


Packet: TypeAlias = (
    Connect
    | Connack
    | Publish
    | Puback
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
)


class Reason(IntEnum):
    """Reason codes of MQTT 5 (2.4, table 2-6) that this fabric sends or has to tell apart."""

    SUCCESS = 0x00
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E


# Which reason codes each packet may carry in MQTT 5: tables 3-1 (CONNACK), 3-4 (PUBACK), 3-8, 3-9 and 3-10.
REASONS: Final[dict[type, frozenset[int]]] = {
    Connack: frozenset((0, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F)),
    Puback: frozenset((0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)),
    Suback: frozenset((0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)),
    Unsuback: frozenset((0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)),
    Disconnect: frozenset(
        (0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, *range(0x8C, 0x91), *range(0x93, 0xA3))
    ),
}
