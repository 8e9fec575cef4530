"""One MQTT connection: bytes to its session, the session's decisions to the socket and the fabric.

Packets are worked on in order. While one waits (for room in the publish window, for a channel to be joined)
the rest stay in `_pending` and the socket is not read: that is all the flow control there is towards a
device. An idle connection has no task; a message costs none either. Above: `listener`. Below: `session`
decides, `intake` takes what the device says, `deliver` brings what it hears, `desk` keeps what all share.
"""

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import Coroutine
from typing import Any, cast

from msgspec.structs import replace

from fabric.clock import monotonic
from fabric.errors import FabricError, InvalidName, Unauthenticated
from fabric_bridges.mqtt.deliver import Delivery
from fabric_bridges.mqtt.desk import Desk
from fabric_bridges.mqtt.intake import Intake
from fabric_bridges.mqtt.session import (
    Action,
    Actions,
    Admit,
    Close,
    Offer,
    Send,
    Session,
    State,
    Subscribed,
    Unsubscribed,
)
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Connack, Connect, Packet, Pingresp, Publish, Reason
from fabric_codecs.mqtt.properties import NONE
from fabric_codecs.mqtt.wire import Decoder

__all__ = ["Connection"]

log = logging.getLogger(__name__)

# Stock clients leave Nagle's algorithm on: a device's answer right behind its PUBACK would wait for our
# kernel's delayed acknowledgement (measured: 48 ms instead of 2). The kernel forgets the option, so it is
# said each time that we have nothing to send back at once. Linux only.
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)

OUR_FAULT = Reason.UNSPECIFIED, "our own fault; the node's log has it"
SHUTTING_DOWN = Reason.SERVER_SHUTTING_DOWN, "the server is shutting down"


class Connection(asyncio.Protocol):
    """See the module. Implements `desk.Client` and `deliver.Outlet`."""

    def __init__(self, desk: Desk) -> None:
        self.session = Session(desk.settings)
        self.heard = self.opened = monotonic()
        self.stalled: float | None = None
        self.is_lobby = False
        self._desk = desk
        self._decoder = Decoder(max_packet_bytes=desk.settings.packet_bytes_max)
        self._pending: deque[Packet] = deque()
        self._fault: CodecError | None = None
        self._work: asyncio.Task[None] | None = None
        self._delivery: Delivery | None = None
        self._intake: Intake | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._window = asyncio.Event()
        self._advancing = False
        self._finishing = False
        self._closing: asyncio.TimerHandle | None = None

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol: a peer is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._transport.set_write_buffer_limits(self._desk.settings.write_buffer_bytes)
        self._desk.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio.Protocol: the peer is gone, or we closed."""
        if self._closing is not None:
            self._closing.cancel()
        if self.session.state is not State.ENDED:
            log.info(
                "mqtt client %r was lost: %s", self.session.client_id, error or "it closed the connection"
            )
        self.session.state = State.ENDED
        if waiting := sum(isinstance(packet, Publish) for packet in self._pending):
            self._desk.refused("connection_lost", waiting)
        self._pending.clear()
        if self._work is not None:
            self._work.cancel()
        if self._delivery is not None:
            self._delivery.close()
        if lost := len(self.session.unacknowledged):
            # A clean session ends here: what the device never acknowledged cannot be sent again.
            self._desk.refused("unacknowledged", lost)
            ids = ", ".join(list(self.session.unacknowledged.values())[:10])
            log.warning(
                "mqtt client %r left %d messages unacknowledged: %s", self.session.client_id, lost, ids
            )
        self._desk.closed(self)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol: bytes."""
        if self.session.state is State.ENDED or self._finishing:
            return  # lingering: what the peer still says is only taken off the socket
        self.heard = monotonic()
        try:
            while packets := self._decoder.feed(data):
                self._pending.extend(packets)
                data = b""
        except CodecError as error:
            self._fault = error
        self.advance()
        if QUICK_ACK is not None and not self._out:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def pause_writing(self) -> None:
        """asyncio.Protocol: the device does not read. Nor do we then, so that our answers stay bounded."""
        self.stalled = monotonic()
        self._room.clear()
        self._flow()

    def resume_writing(self) -> None:
        """asyncio.Protocol: it does again."""
        self.stalled = None
        self._room.set()
        self._flow()

    def write(self, data: bytes) -> None:
        """Whole packets, together with all others of this turn of the loop."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    async def has_room(self, qos: int) -> None:
        """See `deliver.Outlet`. Nothing is awaited between the last look and the return."""
        while True:
            if self._out_bytes > self._desk.settings.write_buffer_bytes:
                self._flush()
            if not self._room.is_set():
                await self._room.wait()
            elif qos and len(self.session.unacknowledged) >= self.session.send_window:
                self._window.clear()
                await self._window.wait()
            else:
                return

    def failed(self, error: BaseException) -> None:
        """See `deliver.Outlet`."""
        log.error("a subscription of mqtt client %r ended", self.session.client_id, exc_info=error)
        self.end(*OUR_FAULT)

    # Packets

    @property
    def is_waiting(self) -> bool:
        """See `desk.Client`."""
        return self._work is not None or bool(self._pending) or not self._room.is_set() or self._finishing

    def advance(self) -> None:
        """Work on what is pending, as far as nothing waits."""
        if self._advancing:
            return  # an outcome that came at once: whoever works on the packets goes on by itself
        self._advancing = True
        try:
            self._advance()
        finally:
            self._advancing = False
        self._flow()

    def _advance(self) -> None:
        session = self.session
        while self._pending and self._work is None and not (session.version == 4 and session.is_full):
            self._act(session.receive(self._pending.popleft()))
        if self._fault is not None and not self._pending and self._work is None:
            error, self._fault = self._fault, None
            if session.state is State.ENDED:
                return  # whatever follows a DISCONNECT is nobody's business
            self._desk.house.metrics.malformed.labels("mqtt").inc()
            self._act(session.broken(error, self._decoder.version))
        if len(session.unacknowledged) < session.send_window:
            self._window.set()

    def _flow(self) -> None:
        if self._transport.is_closing():
            return
        if self.is_waiting and self.session.state is not State.ENDED:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def settled(self, publish: Publish, error: FabricError | CodecError | None) -> None:
        """The fabric has a message of this device, or refused it."""
        self._act(self.session.settled(publish, error))
        if self._pending:
            self.advance()
        if self._finishing and self.session.is_settled:
            self.end(*SHUTTING_DOWN)

    def end(self, reason: int, why: str) -> None:
        """See `desk.Client`: another one took its place, its time is up, the edge stops."""
        self._act(self.session.end(reason, why))

    def _act(self, actions: Actions) -> None:
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        if isinstance(action, Send):
            self._send(action.packet)
        elif isinstance(action, Offer):
            assert self._intake is not None, "only an admitted client publishes"
            if (later := self._intake.offer(action.publish)) is not None:
                self._start(later)
        elif isinstance(action, Subscribed):
            self._start(self._join(action))
        elif isinstance(action, Unsubscribed):
            if self._delivery is not None:
                self._delivery.leave(action.filters)
        elif isinstance(action, Admit):
            self._admit(action.connect)
        else:
            self._close(action)

    def _send(self, packet: Packet) -> None:
        version, limit = self.session.version, self.session.packet_bytes_max
        data = encode(packet, version)
        if limit and len(data) > limit and not isinstance(packet, Connack | Pingresp | Publish):
            # A reason string is left out where it would not fit (3.4.2.2.2 and its like).
            data = encode(replace(packet, properties=NONE), version)
        self.write(data)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """The one thing that packets behind it wait for."""
        self._work = asyncio.create_task(work, name=f"mqtt-work-{self.session.client_id}")
        self._work.add_done_callback(self._worked)

    def _worked(self, task: "asyncio.Task[None]") -> None:
        self._work = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("%s ended", task.get_name(), exc_info=error)
            self.end(*OUR_FAULT)
        self.advance()

    def _close(self, action: Close) -> None:
        """Half close, so that our last packet is not lost to a reset while the peer's input is unread."""
        self._pending.clear()
        if self._delivery is not None:
            self._delivery.close()
        if action.why:
            log.info("mqtt client %r closed: %s", self.session.client_id, action.why)
        self._flush()
        if self._transport.is_closing():
            return
        if not action.why:
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        self._closing = loop.call_later(self._desk.settings.linger_s, self._transport.abort)

    def finish(self) -> None:
        """See `desk.Client`: the edge stops."""
        self._finishing = True
        self._pending.clear()
        self._flow()
        if self.session.is_settled:
            self.end(*SHUTTING_DOWN)

    def abort(self) -> None:
        """See `desk.Client`."""
        self._transport.abort()

    # Connecting

    def _admit(self, connect: Connect) -> None:
        house = self._desk.house
        if self.is_lobby:
            self._desk.refused("connections")
            self._act(self.session.rejected(Reason.SERVER_BUSY, 3, "too many connections"))
            return
        client_id = connect.client_id or f"auto-{secrets.token_hex(8)}"
        try:
            house.authenticator.authenticate("mqtt", _token(connect))
            fabric = house.fabric.on_behalf_of(client_id, protocol="mqtt")
        except InvalidName as error:
            self._act(self.session.rejected(Reason.CLIENT_IDENTIFIER_NOT_VALID, 2, str(error)))
            return
        except FabricError as error:
            self._desk.refused(error.code)
            self._act(self.session.refused(error))
            return
        self._desk.take_over(client_id, self)
        self._delivery = Delivery(self._desk, fabric, self.session, self)
        self._intake = Intake(self._desk, fabric, self.session, self.settled)
        self._act(self.session.admitted(connect, client_id))

    async def _join(self, action: Subscribed) -> None:
        assert self._delivery is not None, "only an admitted client subscribes"
        failures = await self._delivery.join(action.wanted, action.subscribe.properties.subscription_ids)
        self._act(self.session.joined(action.subscribe, failures))


def _token(connect: Connect) -> str:
    """The password. Raises Unauthenticated when it is none."""
    try:
        return (connect.password or b"").decode()
    except UnicodeDecodeError:
        raise Unauthenticated("the mqtt edge", "the password is not UTF-8") from None
