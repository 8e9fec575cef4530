"""The sweeper: expires letters of agents that are away, and keeps what they are left within their total.

One page of one shard's log a turn, so its work is bounded whatever waits there; a pass through all shards
takes as long as there are letters. `rules/inboxes/sweeping` decides. Above: `node`. Below: the log reader,
the state records, JetStream's API.
"""

import asyncio
import logging
from collections.abc import Iterable

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from fabric import subjects
from fabric.client.agents.lease import lease_held
from fabric.client.inboxes.custody import record_subject
from fabric.client.inboxes.letter import expiry_of
from fabric.client.link import Link
from fabric.clock import now_us
from fabric.errors import FabricError, Fenced
from fabric.jetstream.layout import inbox_stream
from fabric.jetstream.read import Stored
from fabric.jetstream.server import api, delete_message
from fabric.rules.accounts import Extent
from fabric.rules.inboxes.inbox import InboxRecord, is_shut
from fabric.rules.inboxes.sweeping import Letter, Pass, ended, expired, first_record
from fabric_codecs.names import decode_level

__all__ = ["Sweeper", "SweeperCollector"]

log = logging.getLogger("fabric.sweeper")

TURN_S = 1.0
PAGE_LETTERS = 1024
INBOXES_A_TURN = 64  # each costs a few round trips; the others have theirs in the next pass


class Sweeper:
    """`await start()`, later `await stop()`. `expired` and `shut` count what it did."""

    def __init__(self, link: Link) -> None:
        self.expired = 0
        self.shut = 0
        self._link = link
        self._passes = [Pass() for _ in range(subjects.SHARDS)]
        self._positions = [0] * subjects.SHARDS
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sweep from now on."""
        self._task = asyncio.create_task(self._run(), name="fabric-sweeper")

    async def stop(self) -> None:
        """Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        shard = 0
        while True:
            await asyncio.sleep(TURN_S)
            try:
                await self.turn(shard)
            except FabricError as error:
                log.warning("a turn of the sweeper failed, and is made again: %s", error)
            except Exception:
                log.exception("a turn of the sweeper failed")
            shard = (shard + 1) % subjects.SHARDS

    def position(self, shard: int) -> int:
        """How far the pass through this shard is; 0 when it begins."""
        return self._positions[shard]

    async def turn(self, shard: int) -> None:
        """The next page of a shard. Raises Refused, Unreachable."""
        stream, start = inbox_stream(shard), self._positions[shard] + 1
        page = await self._link.reader.page(stream, f"fab.ib.{shard}.>", start, batch=PAGE_LETTERS)
        if page.messages:
            self._positions[shard] = page.messages[-1].sequence
        over = self._passes[shard].see([_seen(message) for message in page.messages], now_us())
        for agent in list(over)[:INBOXES_A_TURN]:
            await self._expire(stream, agent, over[agent])
        if not page.pending:
            ending, self._passes[shard] = self._passes[shard], Pass()
            self._positions[shard] = 0
            for agent, letters, gated in ending.ends():
                await self._look_at_gate(stream, agent, letters, gated)

    async def _expire(self, stream: str, agent: str, letters: list[Letter]) -> None:
        record, revision = await self._record(stream, agent)
        if await self._has_owner(record):
            return
        record, sequences = expired(record, letters)
        if not sequences:
            return
        try:
            revision = await self._put(agent, record, revision)
            await self._take_out(stream, sequences)
            self.expired += len(sequences)
            await self._put(agent, ended(record, sequences), revision)
        except Fenced:
            log.debug("inbox %s has an owner again", agent)

    async def _look_at_gate(self, stream: str, agent: str, letters: int, gated: bool) -> None:
        record, revision = await self._record(stream, agent)
        if gated and not record.shut:
            await self._open(
                stream, agent
            )  # somebody was interrupted between marking the record and the gate
        if await self._has_owner(record):
            return
        shut = is_shut(record, letters)
        if shut != record.shut:
            try:
                await self._put(agent, msgspec.structs.replace(record, shut=shut), revision)
            except Fenced:
                return
            word = "shut" if shut else "open again"
            log.warning("inbox %s is %s with %d letters, its owner is away", agent, word, letters)
        if shut and not gated:
            await self._link.connection.request(subjects.inbox_gate(agent))
            self.shut += 1
        elif gated and not shut:
            await self._open(stream, agent)

    async def _open(self, stream: str, agent: str) -> None:
        body = {"filter": subjects.inbox_gate(agent)}
        await api(self._link.connection, f"STREAM.PURGE.{stream}", body)

    async def _record(self, stream: str, agent: str) -> tuple[InboxRecord, int]:
        found = await self._link.state.get(record_subject(agent))
        if found.value:
            return msgspec.json.decode(found.value, type=InboxRecord), found.revision
        extent = Extent(stream, subjects.inbox_letters(agent))
        return first_record(decode_level(agent), extent), found.revision

    async def _has_owner(self, record: InboxRecord) -> bool:
        return record.open and await lease_held(self._link, f"{record.connection}.{record.process}")

    async def _put(self, agent: str, record: InboxRecord, revision: int) -> int:
        value = msgspec.json.encode(msgspec.structs.replace(record, swept=self._link.new_id()))
        return await self._link.state.put(record_subject(agent), value, expected=revision)

    async def _take_out(self, stream: str, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            await delete_message(self._link.connection, stream, sequence)


class SweeperCollector(Collector):
    """What a sweeper counts, for `/metrics`."""

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper

    def collect(self) -> Iterable[Metric]:
        """The samples of this moment."""
        expired, shut = self._sweeper.expired, self._sweeper.shut
        yield CounterMetricFamily(
            "fabric_swept_letters", "Letters of absent agents that expired", value=expired
        )
        yield CounterMetricFamily(
            "fabric_swept_inboxes_shut", "Inboxes of absent agents that were full", value=shut
        )


def _seen(message: Stored) -> Letter:
    _, _, _, agent, source = message.subject.decode().split(".")
    return Letter(agent, source, message.sequence, expiry_of(message.header))
