"""Deliver: what a device subscribed to -> PUBLISH packets, at the device's pace.

One task a subscription, each a member of its channel or pattern. A device that reads slowly, or owes
PUBACKs, stops its own tasks; what it misses meanwhile waits in the log (durable) or is counted (live), and
nobody else notices. Above: `connection`. Below: `desk`, the codec's `lower`.
"""

import asyncio
import logging
from typing import Protocol

from fabric.client import Fabric, channel_of
from fabric.clock import now_us
from fabric.errors import FabricError
from fabric_bridges.mqtt.desk import Desk
from fabric_bridges.mqtt.session import Session
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode, Translation
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.lower import lower, remaining_s
from fabric_codecs.mqtt.packets import Publish, Subscription

__all__ = ["Delivery", "Outlet"]

log = logging.getLogger(__name__)

TOO_LARGE = Loss(LossCode.TOO_LARGE, "data", "not sent: over the client's Maximum Packet Size")


class Outlet(Protocol):
    """The way to one device."""

    def write(self, data: bytes) -> None:
        """Hand over whole packets."""

    async def has_room(self, qos: int) -> None:
        """Until one more message may be written: the device reads and, at QoS 1, acknowledges. Ends with the
        connection, which cancels whoever waits."""

    def failed(self, error: BaseException) -> None:
        """A subscription ended that should not have: the device must not believe that it is still fed."""


class _Feed:
    """One subscription."""

    __slots__ = ("options", "pattern", "subscription_ids", "task")

    def __init__(self, options: Subscription, pattern: str, subscription_ids: tuple[int, ...]) -> None:
        self.options = options
        self.pattern = pattern
        self.subscription_ids = subscription_ids
        self.task: asyncio.Task[None] | None = None


class Delivery:
    """The subscriptions of one connection. Counters are the edge's metrics."""

    def __init__(self, desk: Desk, fabric: Fabric, session: Session, outlet: Outlet) -> None:
        self._desk = desk
        self._fabric = fabric
        self._session = session
        self._outlet = outlet
        self._feeds: dict[str, _Feed] = {}

    async def join(
        self, wanted: tuple[tuple[Subscription, str], ...], subscription_ids: tuple[int, ...]
    ) -> dict[str, FabricError]:
        """Join each pattern; returns when every one delivers or has failed. The failures, by filter."""
        joining: dict[str, asyncio.Future[None]] = {}
        for options, pattern in wanted:
            feed = self._feeds.get(options.filter)
            if feed is not None:  # subscribed again: new options, same membership (3.8.4)
                feed.options, feed.subscription_ids = options, subscription_ids
                continue
            feed = self._feeds[options.filter] = _Feed(options, pattern, subscription_ids)
            ready = joining[options.filter] = asyncio.get_running_loop().create_future()
            feed.task = asyncio.create_task(self._run(feed, ready), name=f"mqtt-deliver-{options.filter}")
            feed.task.add_done_callback(self._ended)
        failures: dict[str, FabricError] = {}
        for topic_filter, ready in joining.items():
            try:
                await ready
            except FabricError as error:
                failures[topic_filter] = error
                del self._feeds[topic_filter]
        return failures

    def leave(self, filters: tuple[str, ...]) -> None:
        """Nothing more is delivered for these."""
        for one in filters:
            feed = self._feeds.pop(one, None)
            if feed is not None and feed.task is not None:
                feed.task.cancel()

    def close(self) -> None:
        """Nothing more is delivered at all."""
        self.leave(tuple(self._feeds))

    async def _run(self, feed: _Feed, ready: "asyncio.Future[None]") -> None:
        try:
            async with self._fabric.channel(feed.pattern).join() as member:
                ready.set_result(None)
                try:
                    async for envelope in member:
                        await self._deliver(feed, envelope)
                finally:
                    if member.missed:
                        self._desk.refused("missed", member.missed)
        except FabricError as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            ready.cancel()  # nobody waits for one that is done

    async def _deliver(self, feed: _Feed, envelope: Envelope) -> None:
        if feed.options.no_local and envelope.source == self._fabric.source:
            return
        qos = 0 if envelope.stream is None else feed.options.qos  # a live message promises no more than QoS 0
        await self._outlet.has_room(qos)
        now = now_us()
        left_s = remaining_s(envelope, now)
        if left_s is not None and left_s <= 0:
            self._desk.refused("expired")
            return
        lowered = self._lower(feed, envelope, qos, now)
        if lowered is None:
            return
        translation, data = lowered
        self._outlet.write(data)
        self._desk.replies.went_out(self._session.client_id, envelope, translation.message, left_s, now)
        self._desk.crossings.went_out(envelope, self._session.client_id, translation.losses)

    def _lower(
        self, feed: _Feed, envelope: Envelope, qos: int, now: int
    ) -> tuple[Translation[Publish], bytes] | None:
        """The packet and its bytes, or None (counted) when this client cannot be sent the message at all."""
        session = self._session
        packet_id = session.next_packet_id(envelope.id) if qos else 0
        try:
            translation = lower(
                envelope,
                channel_of(envelope.address.decode()),
                version=session.version,
                qos=qos,
                now_us=now,
                packet_id=packet_id,
                subscription_ids=feed.subscription_ids,
            )
            data = encode(translation.message, session.version)
        except CodecError as error:
            self._withdraw(packet_id, "untranslatable")
            log.info("%s cannot be told to mqtt client %s: %s", envelope.id, session.client_id, error)
            return None
        if session.packet_bytes_max and len(data) > session.packet_bytes_max:
            self._withdraw(packet_id, "too_large")  # 3.1.2-25: discarded as if it had been sent
            self._desk.crossings.lost_for(envelope, (TOO_LARGE,))
            return None
        return translation, data

    def _withdraw(self, packet_id: int, reason: str) -> None:
        self._session.unacknowledged.pop(packet_id, None)
        self._desk.refused(reason)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._outlet.failed(error)
