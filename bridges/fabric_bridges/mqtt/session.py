"""Session: the state of one MQTT connection, sans-IO. Packets and outcomes in, actions out.

A connection lives through four states, and no other:

    NEW --CONNECT--> ADMITTING --admitted--> OPEN --DISCONNECT, fault, refusal--> ENDED
     |                   |                                                          ^
     +-----fault---------+------------rejected--------------------------------------+

`RULES` says which packet may come in which state; whatever has no row is a Protocol Error. The session
decides, its connection acts: it publishes what it is told to `Offer` and reports the outcome to `settled`, it
joins what `Subscribed` names and reports to `joined`. Times are not known here: the listener watches
`silence_s`.

What MQTT has and this fabric does not (yet) is refused, never ignored:

    asked for                      version 5                          3.1.1
    a Will                         CONNACK 0x83 (0x9A when retained)  CONNACK 5
    a persistent session           CONNACK Session Expiry 0           CONNACK 5
    enhanced authentication        CONNACK 0x8C                       -
    QoS 2, a retained message      DISCONNECT 0x9B, 0x9A              closed
    a Topic Alias                  DISCONNECT 0x94                    -
    a shared subscription          SUBACK 0x9E                        SUBACK 0x80
    a message the fabric refuses   PUBACK with its reason             closed

QoS 2 subscriptions are granted QoS 1. Retain As Published and Retain Handling are accepted: there is
nothing retained for them to act on. Overlapping subscriptions get one copy each, with each its own
Subscription Identifier (3.3.4).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from fabric.errors import FabricError
from fabric_bridges.mqtt.config import MqttEdgeSettings
from fabric_bridges.refusal import words
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.packets import (
    REASONS,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Reason,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from fabric_codecs.mqtt.properties import NONE, Properties
from fabric_codecs.names import filter_to_pattern

__all__ = ["Action", "Admit", "Close", "Offer", "Send", "Session", "State", "Subscribed", "Unsubscribed"]


class State(Enum):
    """Where a connection stands."""

    NEW = "new"
    ADMITTING = "admitting"
    OPEN = "open"
    ENDED = "ended"


class Send(NamedTuple):
    """Write this packet."""

    packet: Packet


class Admit(NamedTuple):
    """Look at the token, then call `admitted` or `rejected`."""

    connect: Connect


class Offer(NamedTuple):
    """Publish this to the fabric; at QoS 1 call `settled` with the outcome."""

    publish: Publish


class Subscribed(NamedTuple):
    """Join what is wanted (the subscription as granted, its canonical pattern), then call `joined`."""

    subscribe: Subscribe
    wanted: tuple[tuple[Subscription, str], ...]


class Unsubscribed(NamedTuple):
    """Leave these filters."""

    filters: tuple[str, ...]


class Close(NamedTuple):
    """Nothing more will be said: let what was written arrive, then close. `why` is for the log."""

    why: str


Action: TypeAlias = Send | Admit | Offer | Subscribed | Unsubscribed | Close
Actions: TypeAlias = Sequence[Action]

NOTHING: Final[Actions] = ()
PONG: Final[Actions] = (Send(Pingresp()),)
NOT_AUTHORIZED_3: Final = 5
SHARED: Final = "$share/"


class Session:
    """See the module. What returns actions tells its connection what to do, in order."""

    def __init__(self, settings: MqttEdgeSettings) -> None:
        self.state = State.NEW
        self.version = 0
        self.client_id = ""
        self.silence_s = 0.0  # longer silence ends the connection; 0: none does
        self.send_window = settings.send_window_max
        self.packet_bytes_max = 0  # of what we may send; 0: whatever the protocol allows
        self.subscriptions: dict[str, Subscription] = {}
        self.unacknowledged: dict[int, str] = {}  # packet id -> envelope id, of what we sent at QoS 1
        self._settings = settings
        self._unsettled: OrderedDict[int, int | None] = OrderedDict()  # packet id -> reason code, once known
        self._whys: dict[int, str] = {}  # packet id -> sentence of a refusal
        self._answers: list[int] = []  # of the SUBSCRIBE being worked on
        self._wants_reasons = True
        self._next_id = 0

    # Packets

    def receive(self, packet: Packet) -> Actions:
        """What a packet leads to."""
        rule = RULES.get((self.state, type(packet)))
        if rule is None:
            name = type(packet).__name__.upper()
            return self.end(Reason.PROTOCOL_ERROR, f"{name} in state {self.state.value}")
        return rule(self, packet)

    def broken(self, error: CodecError, version: int) -> Actions:
        """The bytes after the last packet are not MQTT; `version` is the form that the client understands,
        if any."""
        reason = error.reason if error.reason is not None else Reason.MALFORMED_PACKET
        if self.state is not State.NEW:
            return self.end(reason, str(error))
        self.version = version
        code_3 = 1 if reason == Reason.UNSUPPORTED_PROTOCOL_VERSION else 0  # 3.1.1, 3.2.2.3
        return self.rejected(reason, code_3, str(error))

    def end(self, reason: int, why: str) -> Actions:
        """Disconnect the client; 3.1.1 has no word for it and is only closed."""
        if self.state is State.ENDED:
            return NOTHING
        opened, self.state = self.state, State.ENDED
        if self.version != 5 or opened is not State.OPEN:
            return (Close(why),)
        code = reason if reason in REASONS[Disconnect] else Reason.IMPLEMENTATION_SPECIFIC
        return Send(Disconnect(code, Properties(reason_string=why))), Close(why)

    # Connecting (3.1, 3.2)

    def _connect(self, connect: Connect) -> Actions:
        self.state = State.ADMITTING
        self.version = connect.version
        if connect.properties.authentication_method is not None:
            return self.rejected(
                Reason.BAD_AUTHENTICATION_METHOD, 0, "enhanced authentication is not offered"
            )
        if connect.will is not None:
            reason = Reason.RETAIN_NOT_SUPPORTED if connect.will.retain else Reason.IMPLEMENTATION_SPECIFIC
            return self.rejected(reason, NOT_AUTHORIZED_3, "a Will is not offered; connect without one")
        if connect.version == 4 and not connect.clean:
            why = "persistent sessions are not offered; connect with Clean Session 1"
            return self.rejected(Reason.IMPLEMENTATION_SPECIFIC, NOT_AUTHORIZED_3, why)
        return (Admit(connect),)

    def admitted(self, connect: Connect, client_id: str) -> Actions:
        """The token is good; `client_id` is the client's own or was made for it."""
        self.state = State.OPEN
        self.client_id = client_id
        asked, settings = connect.properties, self._settings
        self.packet_bytes_max = asked.maximum_packet_bytes or 0
        self.send_window = min(asked.receive_maximum or 65_535, settings.send_window_max)
        self._wants_reasons = asked.request_problem_information != 0
        keep_alive_s = connect.keep_alive_s
        if self.version == 4:
            self.silence_s = 1.5 * keep_alive_s
            return (Send(Connack()),)
        too_long = not 0 < keep_alive_s <= settings.keep_alive_max_s
        self.silence_s = 1.5 * (settings.keep_alive_max_s if too_long else keep_alive_s)
        granted = Properties(
            session_expiry_s=0,
            receive_maximum=settings.receive_maximum,
            maximum_qos=1,
            retain_available=0,
            maximum_packet_bytes=settings.packet_bytes_max,
            assigned_client_id=None if connect.client_id else client_id,
            shared_subscription_available=0,
            server_keep_alive_s=settings.keep_alive_max_s if too_long else None,
        )
        return (Send(Connack(False, 0, granted)),)

    def rejected(self, reason: int, code_3: int, why: str) -> Actions:
        """No session. `reason` is for version 5; `code_3` for 3.1.1, 0 where it has no word (3.2.2-6:
        close)."""
        self.state = State.ENDED
        if self.version == 5:
            return Send(Connack(False, reason, Properties(reason_string=why))), Close(why)
        if self.version == 4 and code_3:
            return Send(Connack(False, code_3)), Close(why)
        return (Close(why),)

    def refused(self, error: FabricError) -> Actions:
        """No session, because of `error`."""
        said = words(error)
        code = said.mqtt5 if said.mqtt5 in REASONS[Connack] else Reason.SERVER_UNAVAILABLE
        return self.rejected(code, said.mqtt311, str(error))

    # Messages of the device (3.3, 3.4)

    @property
    def is_settled(self) -> bool:
        """Whether no message waits for its outcome."""
        return not self._unsettled

    @property
    def is_full(self) -> bool:
        """Whether as many messages wait for their outcome as were granted."""
        return len(self._unsettled) >= self._settings.receive_maximum

    def _publish(self, publish: Publish) -> Actions:
        said = publish.properties
        if publish.qos == 2:
            return self.end(Reason.QOS_NOT_SUPPORTED, "QoS 2 is not offered: Maximum QoS is 1")
        if publish.retain:
            return self.end(Reason.RETAIN_NOT_SUPPORTED, "retained messages are not offered")
        if said is not NONE:
            if said.topic_alias is not None:
                return self.end(Reason.TOPIC_ALIAS_INVALID, "Topic Aliases are not offered: the maximum is 0")
            if said.subscription_ids:
                return self.end(Reason.PROTOCOL_ERROR, "a client sent a Subscription Identifier (3.3.4-6)")
        if publish.qos:
            packet_id = publish.packet_id
            if packet_id in self._unsettled:
                if self.version == 4 and publish.dup:
                    return NOTHING  # sent again before our answer, which will do for both
                return self.end(Reason.PROTOCOL_ERROR, f"Packet Identifier {packet_id} is in use")
            if self.version == 5 and self.is_full:
                return self.end(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more messages than the Receive Maximum")
            self._unsettled[packet_id] = None
        return (Offer(publish),)

    def settled(self, publish: Publish, error: FabricError | CodecError | None) -> Actions:
        """The fabric has the message, or has it not because of `error`.

        Answers go out in the order in which the messages came (4.6.0-2), whatever the order of the outcomes.
        """
        if self.state is not State.OPEN:
            return NOTHING
        code = 0 if error is None else self._code(error)
        if error is not None and (self.version == 4 or (isinstance(error, CodecError) and not publish.qos)):
            return self.end(code, f"{publish.topic}: {error}")
        if not publish.qos:
            return NOTHING  # at most once: a refusal is counted, there is no word for it
        self._unsettled[publish.packet_id] = code
        if error is not None and self._wants_reasons:
            self._whys[publish.packet_id] = str(error)
        return self._acknowledge()

    def _code(self, error: FabricError | CodecError) -> int:
        if isinstance(error, CodecError):
            return error.reason if error.reason is not None else Reason.TOPIC_NAME_INVALID
        return words(error).mqtt5

    def _acknowledge(self) -> Actions:
        ready: list[Action] = []
        while self._unsettled:
            packet_id, code = next(iter(self._unsettled.items()))
            if code is None:
                break
            del self._unsettled[packet_id]
            why = self._whys.pop(packet_id, None)
            legal = code if code in REASONS[Puback] else Reason.IMPLEMENTATION_SPECIFIC
            ready.append(Send(Puback(packet_id, legal, Properties(reason_string=why) if why else NONE)))
        return ready

    # Messages to the device

    def next_packet_id(self, envelope_id: str) -> int:
        """A free Packet Identifier, from now on unacknowledged. The caller keeps to `send_window`."""
        while True:
            self._next_id = self._next_id % 65_535 + 1
            if self._next_id not in self.unacknowledged:
                self.unacknowledged[self._next_id] = envelope_id
                return self._next_id

    def _puback(self, puback: Puback) -> Actions:
        # An unknown one is a late answer: nothing depends on it.
        self.unacknowledged.pop(puback.packet_id, None)
        return NOTHING

    # Subscriptions (3.8 to 3.11)

    def _subscribe(self, subscribe: Subscribe) -> Actions:
        self._answers = []
        wanted: list[tuple[Subscription, str]] = []
        for one in subscribe.subscriptions:
            if one.no_local and one.filter.startswith(SHARED):
                return self.end(Reason.PROTOCOL_ERROR, "No Local on a shared subscription (3.8.3-4)")
            code, pattern = self._judge(one)
            self._answers.append(code)
            if code < Reason.UNSPECIFIED:
                granted = replace(one, qos=code)
                self.subscriptions[one.filter] = granted
                wanted.append((granted, pattern))
        return (Subscribed(subscribe, tuple(wanted)),)

    def _judge(self, one: Subscription) -> tuple[int, str]:
        """The answer to one filter, and its pattern."""
        if one.filter.startswith(SHARED):
            group, _, rest = one.filter.removeprefix(SHARED).partition("/")
            well_formed = group and rest and not set("+#") & set(group)
            reason = Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED if well_formed else Reason.TOPIC_FILTER_INVALID
            return reason, ""
        is_full = len(self.subscriptions) >= self._settings.subscriptions_max
        if is_full and one.filter not in self.subscriptions:
            return Reason.QUOTA_EXCEEDED, ""
        try:
            pattern = filter_to_pattern(one.filter) if one.filter else ""
        except CodecError:
            pattern = ""
        return (min(one.qos, 1), pattern) if pattern else (Reason.TOPIC_FILTER_INVALID, "")

    def joined(self, subscribe: Subscribe, failures: dict[str, FabricError]) -> Actions:
        """The channels are joined, but for the filters in `failures`."""
        if self.state is not State.OPEN:
            return NOTHING
        codes = list(self._answers)
        for at, one in enumerate(subscribe.subscriptions):
            if one.filter in failures and codes[at] < Reason.UNSPECIFIED:
                code = words(failures[one.filter]).mqtt5
                codes[at] = code if code in REASONS[Suback] else Reason.IMPLEMENTATION_SPECIFIC
                self.subscriptions.pop(one.filter, None)
        if self.version == 4:
            codes = [code if code < Reason.UNSPECIFIED else 0x80 for code in codes]
        return (Send(Suback(subscribe.packet_id, tuple(codes))),)

    def _unsubscribe(self, unsubscribe: Unsubscribe) -> Actions:
        had = [self.subscriptions.pop(one, None) is not None for one in unsubscribe.filters]
        gone = tuple(one for one, was in zip(unsubscribe.filters, had, strict=True) if was)
        codes = tuple(0 if was else int(Reason.NO_SUBSCRIPTION_EXISTED) for was in had)
        answer = Unsuback(unsubscribe.packet_id, codes if self.version == 5 else ())
        return Unsubscribed(gone), Send(answer)

    # The rest

    def _pingreq(self, _: Pingreq) -> Actions:
        return PONG

    def _disconnect(self, disconnect: Disconnect) -> Actions:
        if disconnect.properties.session_expiry_s:
            return self.end(
                Reason.PROTOCOL_ERROR, "a Session Expiry Interval after the session had none (3.14.2.2.2)"
            )
        self.state = State.ENDED
        return (Close(""),)


RULES: Final[dict[tuple[State, type], Callable[[Session, Any], Actions]]] = {
    (State.NEW, Connect): Session._connect,
    (State.OPEN, Publish): Session._publish,
    (State.OPEN, Puback): Session._puback,
    (State.OPEN, Subscribe): Session._subscribe,
    (State.OPEN, Unsubscribe): Session._unsubscribe,
    (State.OPEN, Pingreq): Session._pingreq,
    (State.OPEN, Disconnect): Session._disconnect,
}
