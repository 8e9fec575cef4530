"""Pulling messages from one consumer by credit, on a connection that may break.

In: how many may come (`ask`). Out: `deliver(subject, ack subject, header, payload)` for each, in the read
loop. `rules/log/pulling` counts what is owed; nats-py's `fetch` is a round trip for each batch. Above:
workers, the node's mover. Below: `acks`, `connection`. Server statuses: NATS ADR-13.

| the server says | becomes |
|---|---|
| 100 | the request is alive |
| 408, 409 (leader moved, too many waiting, batch over) | that request is over; `ask` again |
| 409 Consumer Deleted, or nobody serves it (503) | `on_gone`, once until `ask` again |
| it may not be asked (a permission) | `on_gone(PermissionDenied)` |
"""

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple

from fabric.clock import monotonic
from fabric.errors import FabricError, PermissionDenied
from fabric.jetstream.acks import Acks
from fabric.jetstream.connection import Connection
from fabric.rules.log.pulling import EXPIRES_S, HEARTBEAT_S, Credit
from fabric_codecs.nats.headers import number_in, status_of

__all__ = ["Delivered", "PullConsumer", "delivered"]

NANOSECONDS = 1_000_000_000
REQUEST_BYTES = 4 << 20  # what one request may bring; four times the largest message
Deliver = Callable[[bytes, bytes, bytes, bytes], object]


class Delivered(NamedTuple):
    """What an ack subject says: how often the server gave the message out, and its place in the stream."""

    times: int
    sequence: int


def delivered(ack: bytes) -> Delivered:
    """Read an ack subject, `$JS.ACK.<stream>.<consumer>.<times>.<sequence>...`, or the newer one with
    `<domain>.<account hash>` before the stream."""
    tokens = ack.split(b".", 8)
    if ack.count(b".") > 8:
        return Delivered(int(tokens[6]), int(tokens[7]))
    return Delivered(int(tokens[4]), int(tokens[5]))


class PullConsumer:
    """One durable consumer of the server, as one process uses it. `inbox` is a subject prefix of its own."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        consumer: str,
        *,
        inbox: str,
        deliver: Deliver,
        on_gone: Callable[[FabricError | None], object],
        on_settled: Callable[[dict[str, int], bool], object],
    ) -> None:
        self.consumer = consumer
        self.credit = Credit()
        self.acks = Acks(connection, f"{inbox}.k.".encode(), on_settled)
        self._connection = connection
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = f"{inbox}.p".encode()
        self._deliver = deliver
        self._on_gone = on_gone
        self._pulls = connection.subscribe(f"{inbox}.p", self._arrived)
        self._confirmations = connection.subscribe(f"{inbox}.k.*", self._confirmed)
        connection.on_up.append(self._up)
        connection.on_denied.append(self._denied)

    def ask(self, room: int, window: int) -> None:
        """Let `room` messages come, those asked for before included."""
        if not self._connection.is_up:
            return
        batch = self.credit.ask(room, window, monotonic())
        if not batch:
            return
        request = {
            "batch": batch,
            "expires": round(EXPIRES_S * NANOSECONDS),
            "idle_heartbeat": round(HEARTBEAT_S * NANOSECONDS),
            "max_bytes": REQUEST_BYTES,
        }
        self._connection.writer.publish(self._next.encode(), self._inbox, b"", json.dumps(request).encode())
        self._connection.wake()

    def say(self, ack: bytes, word: bytes) -> None:
        """Tell the server something about a message that needs no answer: `+WPI`, `-NAK`. If it gets lost,
        the message is given out again after its ack wait."""
        if self._connection.is_up:
            self._connection.writer.publish(ack, b"", b"", word)
            self._connection.wake()

    def give_back(self, ack: bytes, delay_s: float = 0.0) -> None:
        """Let the server give it out again, now or after a while."""
        if delay_s > 0:
            self.say(ack, b'-NAK {"delay": %d}' % round(delay_s * NANOSECONDS))
        else:
            self.say(ack, b"-NAK")

    def acknowledge(self, ack: bytes, end: str) -> "asyncio.Future[None]":
        """Settle it; see `Acks.add`."""
        return self.acks.add(ack, end)

    def tick(self, now: float) -> None:
        """Call it a few times a second; then `ask`."""
        self.acks.tick(now)
        if self.credit.is_lost(now):
            self.credit.reset()

    def stop(self) -> None:
        """Let no more come: what was asked for the server gives to others. What is on its way is still
        delivered here. Only then give back what is held, or it comes again."""
        self._connection.mute(self._pulls)

    def close(self) -> None:
        """End. What comes now is given out again after its ack wait."""
        self.acks.close()
        self._connection.unsubscribe(self._pulls)
        self._connection.unsubscribe(self._confirmations)
        self._connection.on_up.remove(self._up)
        self._connection.on_denied.remove(self._denied)

    def _arrived(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        if reply:
            self.credit.arrived(monotonic())
            self._deliver(subject, reply, header, data)
        elif status_of(header) == 100:
            self.credit.heard(monotonic())
        else:
            self._ended(header)

    def _confirmed(self, subject: bytes, _reply: bytes, header: bytes, _data: bytes) -> None:
        self.acks.answered(subject, header)

    def _ended(self, header: bytes) -> None:
        pending = number_in(header, b"Nats-Pending-Messages")
        self.credit.ended(pending if pending >= 0 else None)
        if status_of(header) == 503 or b"Consumer Deleted" in header:
            self.credit.reset()
            self._on_gone(None)

    def _up(self) -> None:
        self.credit.reset()
        self.acks.resend(monotonic())

    def _denied(self, verb: str, subject: str) -> None:
        if verb == "publish" and subject == self._next:
            self.credit.reset()
            hint = f"the credential does not work {self.consumer}: `fabric creds NAME --works QUEUE`"
            self._on_gone(PermissionDenied(f"pulling from {self.consumer}", hint))
