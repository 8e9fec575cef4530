"""Kafka topics: each is a view, a JetStream stream of its own, sourcing a channel, a pattern or the journal.

The server keeps a view in step with its sources and numbers its records without holes: offset = sequence - 1.
In: topic names. Out: logs as `fabric.ports.TopicLog` says. Above: `fabric.node`, and by the ports the Kafka
edge. Below: `read`, `server`, `tail`. Tried on nats-server 2.15.1: `tests/fabric/test_views.py`.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from fabric import subjects
from fabric.errors import ConfigInvalid, LimitExceeded, NoSuchTopic, Refused
from fabric.jetstream.connection import Connection
from fabric.jetstream.layout import JOURNAL_STREAM, VIEW_PREFIX, channel_stream
from fabric.jetstream.read import LogReader, Stored
from fabric.jetstream.server import ApiError, api
from fabric.jetstream.tail import Tail
from fabric.ports import StoredRecord
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import channel_to_kafka_topic, encode_level, kafka_topic_to_channel, pattern_name
from fabric_codecs.nats.headers import value_in

__all__ = ["View", "Views"]

# In the configuration: all that crossed an edge or was called, not a channel of that name.
JOURNAL = "journal"
SHOWS = "io.agentfabric.shows"  # the stream's metadata: what it sources
EVERYTHING = ">"

VIEWS_MAX = 128  # each reserves VIEW_BYTES_MAX of the server's file store, and costs it a consumer per source
VIEW_BYTES_MAX = 1 << 30  # the oldest records go; the channel's own shard holds 4 GiB for all its channels
VIEW_AGE_NS = 7 * 24 * 3600 * 1_000_000_000  # Kafka's log.retention.hours is 168
DUPLICATE_WINDOW_NS = 300 * 1_000_000_000  # a Java producer retries for 120 s
STREAM_NAME_BYTES_MAX = 255  # nats-server's limit

NO_SUCH_STREAM, NO_STORAGE = 10059, 10047
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The server counts nanoseconds in 64 bits: a later time would wrap around and find everything.
LATEST_MS = (datetime(2262, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


class View:
    """One partition of a topic; implements `fabric.ports.TopicLog`."""

    def __init__(
        self, topic: str, partition: int, connection: Connection, reader: LogReader, *, inbox: str
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.stream = _stream_name(topic, partition)
        self._connection = connection
        self._reader = reader
        self._tail = Tail(connection, reader, self.stream, inbox=inbox)

    async def bounds(self) -> tuple[int, int]:
        """As the port says, asked of the stream's leader. Raises NoSuchTopic when the stream was removed."""
        try:
            info = await api(self._connection, f"STREAM.INFO.{self.stream}")
        except ApiError as error:
            if error.number == NO_SUCH_STREAM:
                raise NoSuchTopic(self.topic, "its stream was removed") from None
            raise
        state = info["state"]
        return max(state["first_seq"], 1) - 1, state["last_seq"]

    async def read(self, offset: int, *, max_bytes: int, max_records: int = 1000) -> list[StoredRecord]:
        """As the port says; stops after the record that exceeds `max_bytes`."""
        page = await self._reader.page(
            self.stream, EVERYTHING, offset + 1, batch=max_records, max_bytes=max_bytes
        )
        if offset < 0 or not page.messages or page.messages[0].sequence != offset + 1:
            await self._check(offset)
        return [_record(stored) for stored in page.messages]

    async def _check(self, offset: int) -> None:
        known = self._tail.last
        first, end = await self.bounds()
        if end < known:
            self._tail.restarted(end)  # somebody removed the stream and made it again
        if not first <= offset <= end:
            raise LookupError(f"offset {offset} of {self.topic}-{self.partition} is outside {first} to {end}")

    async def wait(self, offset: int, timeout_s: float) -> bool:
        """As the port says; True comes a millisecond after the view grew, `tail.RECHECK_S` at worst."""
        return await self._tail.reaches(offset + 1, timeout_s)

    async def offset_at(self, time_ms: int) -> int | None:
        """As the port says. The time is the view's: when the server stored the record in it."""
        time_ms = min(max(time_ms, 0), LATEST_MS)
        since = (EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
        page = await self._reader.since_time(self.stream, EVERYTHING, since)
        return page.messages[0].sequence - 1 if page.messages else None

    def close(self) -> None:
        """Stop watching the stream."""
        self._tail.close()


class Views:
    """The topics of this fabric; implements `fabric.ports.Topics`.

    `configured` is `[kafka] topics` of the configuration: topic -> a channel, a pattern, or `journal`.
    """

    def __init__(
        self,
        connection: Connection,
        reader: LogReader,
        configured: Mapping[str, str],
        *,
        inbox: str,
        replicas: int = 1,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._configured = {topic: _checked(topic, shown) for topic, shown in configured.items()}
        self._inbox = f"{inbox}.k.{secrets.token_hex(4)}"  # another process may have our name
        self._replicas = replicas
        self._views: dict[str, View] = {}
        self._opened = 0
        self._opening = asyncio.Lock()

    async def start(self) -> None:
        """Make the configured topics. Raises ConfigInvalid when one exists and shows something else."""
        for topic in self._configured:
            await self.open(topic)

    async def open(self, topic: str) -> Sequence[View]:
        """As the port says. Raises LimitExceeded when there are too many views already."""
        shown = self._configured.get(topic) or _channel_of(topic)
        if len(_stream_name(topic, 0)) > STREAM_NAME_BYTES_MAX:
            raise NoSuchTopic(topic, f"a stream's name has at most {STREAM_NAME_BYTES_MAX} bytes")
        async with self._opening:
            is_new = await self._make(topic, 0, shown)
            if is_new and topic in self._views:
                self._views.pop(topic).close()
            if topic not in self._views:
                self._opened += 1
                inbox = f"{self._inbox}.{self._opened}"
                self._views[topic] = View(topic, 0, self._connection, self._reader, inbox=inbox)
            return [self._views[topic]]

    async def names(self) -> Sequence[str]:
        """As the port says: asked of the server, so another node's views are among them."""
        found: set[str] = set()
        offset, total = 0, 1
        while offset < total:
            answer = await api(self._connection, "STREAM.NAMES", {"offset": offset})
            streams = answer["streams"] or []
            found.update(_topic_of(stream) for stream in streams if stream.startswith(VIEW_PREFIX))
            total = answer["total"] if streams else 0
            offset += len(streams)
        return sorted(found)

    def close(self) -> None:
        """Stop watching; the views stay on the server."""
        for view in self._views.values():
            view.close()

    async def _make(self, topic: str, partition: int, shown: str) -> bool:
        # True when it was not there before.
        stream = _stream_name(topic, partition)
        config = _config(stream, f"fab.k.{encode_level(topic)}.{partition}", shown, self._replicas)
        try:
            existing = await api(self._connection, f"STREAM.INFO.{stream}")
        except ApiError as error:
            if error.number != NO_SUCH_STREAM:
                raise
            await self._create(topic, config)
            return True
        shows = existing["config"].get("metadata", {}).get(SHOWS)
        if shows != shown:
            raise ConfigInvalid(
                f"[kafka] topics.{topic}",
                f"{stream} shows {shows!r}, not {shown!r}; its offsets would lie: use another topic name",
            )
        return False

    async def _create(self, topic: str, config: dict[str, Any]) -> None:
        count = len(await self.names())
        if count >= VIEWS_MAX:
            raise LimitExceeded(
                "kafka topics", allowed=VIEWS_MAX, actual=count + 1, hint=f"cannot show {topic!r} too"
            )
        try:
            await api(self._connection, f"STREAM.CREATE.{config['name']}", config)
        except ApiError as error:
            if error.number == NO_STORAGE:
                raise Refused("full", detail=f"the server has no room for a view of {topic!r}") from error
            raise


def _stream_name(topic: str, partition: int) -> str:
    # Of a Kafka topic's alphabet one character may not stand in a stream's name, nor in a token: the dot.
    return f"{VIEW_PREFIX}{topic.replace('.', '%2E')}_{partition}"


def _topic_of(stream: str) -> str:
    return stream.removeprefix(VIEW_PREFIX).rpartition("_")[0].replace("%2E", ".")


def _config(stream: str, subject: str, shown: str, replicas: int) -> dict[str, Any]:
    return {
        "name": stream,
        "description": f"Kafka view of {shown}",
        "sources": [_source(name, filters, subject) for name, filters in _logs_of(shown)],
        "retention": "limits",
        "discard": "old",  # a full view must not stall its sources
        "max_age": VIEW_AGE_NS,
        "max_bytes": VIEW_BYTES_MAX,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "storage": "file",
        "num_replicas": replicas,
        "allow_direct": True,
        "metadata": {SHOWS: shown},
    }


def _source(stream: str, filters: Sequence[str], subject: str) -> dict[str, Any]:
    # A `>` in the source needs one in the destination (error 10146 without); it keeps the channel readable.
    return {
        "name": stream,
        "subject_transforms": [
            {"src": source, "dest": f"{subject}.>" if source.endswith(".>") else subject}
            for source in filters
        ],
    }


def _logs_of(shown: str) -> Iterator[tuple[str, Sequence[str]]]:
    if shown == JOURNAL:
        yield JOURNAL_STREAM, (subjects.JOURNAL_ALL,)
        return
    pattern = shown.removeprefix("channels ")
    for shard in subjects.shards_of_pattern(pattern):
        yield channel_stream(shard), subjects.stored_filters(pattern, shard)


def _checked(topic: str, shown: str) -> str:
    # What a configured topic shows, in the words of the stream's metadata.
    try:
        channel_to_kafka_topic(topic)
        return JOURNAL if shown == JOURNAL else f"channels {pattern_name(shown)}"
    except CodecError as error:
        raise ConfigInvalid(f"[kafka] topics.{topic}", error.what) from None


def _channel_of(topic: str) -> str:
    try:
        return f"channels {kafka_topic_to_channel(topic)}"
    except CodecError as error:
        raise NoSuchTopic(topic, error.what) from None


def _record(stored: Stored) -> StoredRecord:
    return StoredRecord(
        stored.sequence - 1,
        _milliseconds(value_in(stored.header, b"Nats-Time-Stamp")),
        Envelope.from_nats(stored.subject, stored.header, stored.data),
    )


def _milliseconds(stamp: bytes) -> int:
    # RFC 3339 in UTC, its fraction without trailing zeros; in whole numbers, as a float may fall one short.
    return _second(stamp[:19]) * 1000 + int((stamp[20:-1] + b"000")[:3])


@lru_cache(maxsize=64)
def _second(stamp: bytes) -> int:
    return (datetime.fromisoformat(stamp.decode() + "+00:00") - EPOCH) // timedelta(seconds=1)
