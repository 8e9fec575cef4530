"""MQTT control packets as values, for 3.1.1 and 5, and the reason codes that each may carry (2.4).

In 3.1.1 `properties` are empty and `code` is a return code (CONNACK) or absent from the wire. Values are not
checked here: `wire` checks what it reads, `encode` what it writes. PUBLISH has a room of its own, `publish`.

MQTT 5 lets a sender leave out what says nothing: a Reason Code 0 and an empty Property Length at the end of
an acknowledgement. `spelled` counts what of that was written out all the same (0, 1 or 2 of them), so that a
packet read and written again is the same bytes.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from fabric_codecs.mqtt.properties import NONE, Properties
from fabric_codecs.mqtt.publish import Publish

__all__ = [
    "REASONS",
    "Auth",
    "Connack",
    "Connect",
    "Disconnect",
    "Packet",
    "Pingreq",
    "Pingresp",
    "Puback",
    "Pubcomp",
    "Publish",
    "Pubrec",
    "Pubrel",
    "Reason",
    "Suback",
    "Subscribe",
    "Subscription",
    "Unsuback",
    "Unsubscribe",
    "Will",
]


class Puback(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.4. The answer to a QoS 1 PUBLISH; below 0x80 the message was taken."""

    packet_id: int
    code: int = 0
    properties: Properties = NONE
    spelled: int = 0


class Pubrec(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.5. The first answer to a QoS 2 PUBLISH; from 0x80 on it is the last one too."""

    packet_id: int
    code: int = 0
    properties: Properties = NONE
    spelled: int = 0


class Pubrel(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.6. The sender of a QoS 2 message lets it go."""

    packet_id: int
    code: int = 0
    properties: Properties = NONE
    spelled: int = 0


class Pubcomp(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.7. The end of a QoS 2 exchange."""

    packet_id: int
    code: int = 0
    properties: Properties = NONE
    spelled: int = 0


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
    spelled: int = 0


class Auth(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """3.15. One step of an enhanced authentication; MQTT 5 alone has it."""

    code: int = 0
    properties: Properties = NONE


Packet: TypeAlias = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)


class Reason(IntEnum):
    """Reason codes of MQTT 5 (2.4, table 2-6). 0 to 2 are also the QoS that a SUBACK grants."""

    SUCCESS = 0x00
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
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
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


_TAKEN: Final = frozenset((0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
_RELEASED: Final = frozenset((0, 0x92))

# Which reason codes each packet may carry in MQTT 5: tables 3-1 to 3-10, one a packet.
REASONS: Final[dict[type, frozenset[int]]] = {
    Connack: frozenset((0, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F)),
    Puback: _TAKEN,
    Pubrec: _TAKEN,
    Pubrel: _RELEASED,
    Pubcomp: _RELEASED,
    Suback: frozenset((0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)),
    Unsuback: frozenset((0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)),
    Disconnect: frozenset(
        (0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, *range(0x8C, 0x91), *range(0x93, 0xA3))
    ),
    Auth: frozenset((0, 0x18, 0x19)),
}
