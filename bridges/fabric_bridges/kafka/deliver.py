"""Deliver: a Fetch request -> record batches, now or when there are enough of them.

In: what the client asks for. Out: `FetchResponse`. What is handed over is counted, and not written down in
the journal: the log holds it already, and the journal's own topic would grow with every reading.
Above: `session`. Below: `catalogue`, the codec's `lower` and `builder`.

    look (bounds) -> fill (read) -> enough bytes, an error, more than fits, or time is up? --yes--> answer
       ^--------------------------------- wait for growth <------------------------------no
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from fabric.clock import monotonic
from fabric.edge import House
from fabric.errors import FabricError, NoSuchTopic
from fabric.ports import StoredRecord, TopicLog
from fabric_bridges.crossings import Crossings
from fabric_bridges.kafka.catalogue import Catalogue
from fabric_bridges.kafka.config import KafkaEdgeSettings
from fabric_bridges.refusal import words
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.apis import ErrorCode
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.lower import lower
from fabric_codecs.kafka.messages.data import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from fabric_codecs.kafka.records import Record
from fabric_codecs.losses import Loss, LossCode, Translation

__all__ = ["Delivery"]


class Delivery:
    """Answers the Fetch requests of every connection."""

    def __init__(self, house: House, catalogue: Catalogue, settings: KafkaEdgeSettings) -> None:
        self._house = house
        self._catalogue = catalogue
        self._settings = settings
        self._crossings = Crossings(house, "kafka")

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Records from each offset on: one at least if there is any, about as many as asked."""
        if request.session_id:  # none was ever granted
            return _answered((), ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        wait_s = min(max(request.max_wait_ms, 0) / 1000, self._settings.fetch_wait_max_s)
        deadline = monotonic() + wait_s
        takes = [await self._take(each.topic, asked) for each in request.topics for asked in each.partitions]
        while True:
            await asyncio.gather(*(take.look() for take in takes))
            await self._fill(takes, max(1, min(request.max_bytes, self._settings.fetch_bytes_max)))
            enough = sum(take.taken_bytes for take in takes) >= request.min_bytes
            remaining_s = deadline - monotonic()
            if enough or remaining_s <= 0 or not takes or any(take.is_settled for take in takes):
                return _answered((take.topic, self._answer(take)) for take in takes)
            await _growth(takes, remaining_s)

    async def _take(self, topic: str, asked: FetchPartition) -> "_Take":
        take = _Take(topic, asked)
        try:
            take.log = await self._catalogue.log(topic, asked.partition)
        except FabricError as error:
            take.fail(error)
        else:
            if take.log is None:
                take.fail(NoSuchTopic(topic))
        return take

    async def _fill(self, takes: Iterable["_Take"], bytes_max: int) -> None:
        room = bytes_max - sum(take.taken_bytes for take in takes)
        for take in takes:
            before = take.taken_bytes
            await self._fill_one(take, min(take.bytes_max, before + room))
            room -= take.taken_bytes - before

    async def _fill_one(self, take: "_Take", bytes_max: int) -> None:
        while take.next < take.end and take.taken_bytes < bytes_max:
            records = await take.read(bytes_max - take.taken_bytes)
            if not records:  # an error, or a replica that lags behind the leader whose bounds we know
                return
            for stored in records:
                if not self._hand_over(take, stored, bytes_max):
                    return

    def _hand_over(self, take: "_Take", stored: StoredRecord, bytes_max: int) -> bool:
        try:
            translation = lower(stored.envelope, stored.offset, stored.time_ms)
            is_added = take.add(translation.message, bytes_max)
        except CodecError as error:
            self._house.metrics.malformed.labels("kafka").inc()
            translation = _unreadable(stored, error)
            is_added = take.add(translation.message, bytes_max)
        if is_added:
            self._crossings.was_read(stored.envelope, translation.losses)
        return is_added

    def _answer(self, take: "_Take") -> PartitionData:
        if take.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            self._catalogue.forget(take.topic)
        return take.answer()


class _Take:
    """One partition's part of an answer."""

    def __init__(self, topic: str, asked: FetchPartition) -> None:
        self.topic = topic
        self.partition = asked.partition
        self.log: TopicLog | None = None
        self.error: int = ErrorCode.NONE
        self.next = asked.fetch_offset
        self.bytes_max = max(1, asked.partition_max_bytes)
        self.first, self.end = -1, -1
        self._batch: BatchBuilder | None = None

    @property
    def taken_bytes(self) -> int:
        return self._batch.size_bytes if self._batch is not None else 0

    @property
    def is_settled(self) -> bool:
        """Waiting would not add to it: it failed, or more is there than fits."""
        return self.error != ErrorCode.NONE or self.next < self.end

    def fail(self, error: FabricError) -> None:
        self.error = words(error).kafka

    async def look(self) -> None:
        if self.log is None or self.error:
            return
        try:
            self.first, self.end = await self.log.bounds()
        except FabricError as error:
            self.fail(error)
        else:
            if not self.first <= self.next <= self.end:
                self.error = ErrorCode.OFFSET_OUT_OF_RANGE

    async def read(self, bytes_max: int) -> Sequence[StoredRecord]:
        if self.log is None or self.error:
            return ()
        try:
            return await self.log.read(self.next, max_bytes=bytes_max)
        except LookupError:
            self.error = ErrorCode.OFFSET_OUT_OF_RANGE  # retention overtook us since the look
        except FabricError as error:
            self.fail(error)
        return ()

    def add(self, record: Record, bytes_max: int) -> bool:
        """False when it does not fit; a partition's first record always does."""
        batch = self._batch or BatchBuilder(record.offset)
        if not batch.add(record, bytes_max):
            return False
        self._batch = batch
        self.next = record.offset + 1
        return True

    def answer(self) -> PartitionData:
        """What was taken comes first: an error that came later is met by the next request."""
        return PartitionData(
            partition_index=self.partition,
            error_code=self.error if self._batch is None else ErrorCode.NONE,
            high_watermark=self.end,
            last_stable_offset=self.end,  # nothing is transactional: readers of committed records read all
            log_start_offset=self.first,
            aborted_transactions=None,
            records=self._batch.build() if self._batch is not None else b"",
        )


def _answered(partitions: Iterable[tuple[str, PartitionData]], error: int = ErrorCode.NONE) -> FetchResponse:
    topics = tuple(
        FetchableTopicResponse(topic=topic, partitions=tuple(answer for _, answer in group))
        for topic, group in groupby(partitions, key=itemgetter(0))
    )
    return FetchResponse(throttle_time_ms=0, error_code=error, responses=topics)


def _unreadable(stored: StoredRecord, error: CodecError) -> Translation[Record]:
    # Without its headers it goes on: a message must not stand in every reader's way for ever.
    headers: list[tuple[str, bytes | None]] = [("fab-unreadable", str(error).encode())]
    record = Record(stored.offset, stored.time_ms, None, stored.envelope.data, headers)
    return Translation(record, (Loss(LossCode.NO_METADATA, "all headers", f"left out: {error.what}"),))


async def _growth(takes: Iterable[_Take], timeout_s: float) -> None:
    """Until one of the logs has a record where its take goes on, or the time is up."""
    waiting = {
        asyncio.create_task(take.log.wait(take.next, timeout_s)): take
        for take in takes
        if take.log is not None
    }
    try:
        done, _ = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        error = task.exception()
        if isinstance(error, FabricError):
            waiting[task].fail(error)
        elif error is not None:
            raise error
