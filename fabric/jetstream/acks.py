"""Acknowledgements that are confirmed, many by one answer.

The server takes a connection's acks of one consumer in the order in which they were written, so its answer
to the last one says that it has all before it. Acks of one turn of the loop are a batch: the last asks for
an answer. A batch without one is written again (`rules/log/window`); an ack that comes twice does no harm.
Above: `pull`. Below: `connection`.

| answer | the batch |
|---|---|
| empty | confirmed; also when a job was settled before, the server does not tell |
| none for 4 s, or the connection came back | written again |
| nobody listens: no leader, or the consumer is gone | written again a little later |
| none within the deadline | Refused, outcome unknown: what the server did not hear of is handed out again |
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from fabric.clock import monotonic
from fabric.errors import Refused
from fabric.jetstream.connection import Connection
from fabric.rules.log.window import Due, Window
from fabric_codecs.nats.headers import status_of, ticket_of

__all__ = ["Acks"]

BATCH_MAX = 512


class _Batch(NamedTuple):
    replies: list[bytes]
    ends: dict[str, int]
    done: "asyncio.Future[None]"


class Acks:
    """Of one consumer. `on_settled(ends, confirmed)` is told of every batch, before those who await it: how
    many ended in which way, in the words of who acknowledged."""

    def __init__(
        self,
        connection: Connection,
        inbox: bytes,
        on_settled: Callable[[dict[str, int], bool], object],
        *,
        deadline_s: float = 15.0,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._on_settled = on_settled
        self._window: Window[_Batch] = Window(_consumer_of, deadline_s=deadline_s)
        self._batch: _Batch | None = None

    def add(self, reply: bytes, end: str) -> "asyncio.Future[None]":
        """Acknowledge. Done when the server has confirmed it; raises Refused("timeout", unknown) when it
        did not in time. It need not be awaited."""
        batch = self._batch
        if batch is None:
            loop = asyncio.get_running_loop()
            batch = self._batch = _Batch([], {}, loop.create_future())
            loop.call_soon(self._close, batch)
        batch.replies.append(reply)
        batch.ends[end] = batch.ends.get(end, 0) + 1
        if len(batch.replies) >= BATCH_MAX:
            self._close(batch)
        return batch.done

    @property
    def in_flight(self) -> int:
        """Batches without an answer."""
        return len(self._window) + (self._batch is not None)

    def answered(self, subject: bytes, header: bytes) -> None:
        """An answer came to `<inbox><ticket>`."""
        ticket = ticket_of(subject)
        if status_of(header) == 503:
            self._window.hold(ticket, monotonic())
            return
        batch = self._window.settle(ticket)
        if batch is not None:
            if self._window.held:
                self._rewrite(self._window.release(batch, monotonic()))
            self._end(batch, confirmed=True)

    def tick(self, now: float) -> None:
        """Call it a few times a second."""
        self._act(self._window.due(now, writable=self._connection.is_up))

    def resend(self, now: float) -> None:
        """The connection came back."""
        self._act(self._window.resend_all(now))

    def close(self) -> None:
        """What has no answer yet stays unknown."""
        if self._batch is not None:
            self._close(self._batch)
        for batch in self._window.drain():
            self._end(batch, confirmed=False)

    def _close(self, batch: _Batch) -> None:
        if self._batch is batch:
            self._batch = None
            ticket = self._window.open(batch, monotonic())
            if not self._window.is_held(batch):
                self._write(ticket, batch)

    def _write(self, ticket: int, batch: _Batch) -> None:
        if not self._connection.is_up:
            return  # `resend` writes it when the connection is back
        writer = self._connection.writer
        *earlier, last = batch.replies
        for reply in earlier:
            writer.publish(reply, b"", b"", b"+ACK")
        writer.publish(last, self._inbox, b"", b"+ACK", ticket)
        self._connection.wake()

    def _act(self, due: Due[_Batch]) -> None:
        self._rewrite(due.resend)
        for batch in due.expired:
            self._end(batch, confirmed=False)

    def _rewrite(self, batches: list[tuple[int, _Batch]]) -> None:
        for ticket, batch in batches:
            self._write(ticket, batch)

    def _end(self, batch: _Batch, *, confirmed: bool) -> None:
        self._on_settled(batch.ends, confirmed)
        if batch.done.done():  # whoever awaited it was cancelled
            return
        if confirmed:
            batch.done.set_result(None)
        else:
            batch.done.set_exception(
                Refused("timeout", unknown=True, detail="the server did not confirm the acknowledgement")
            )
            batch.done.exception()  # nobody has to await it


def _consumer_of(_: _Batch) -> None:
    return None  # all are for one consumer
