"""The node's service `queue`: consumers for the queues that are worked, and what the queues hold.

In: `{"open": queue}` from a worker. Out: how long the server waits for an ack; every partition of the queue
has its consumer then. `{"list": true}`: depth, sources and jobs in hand of each queue. Nobody else makes
consumers: a credential that could would read any stream. They are durable and go by themselves a week after
the last worker; at most QUEUES_MAX queues are worked at a time, the next is refused. Above: `node`. Below:
`jetstream.server`.
"""

from collections import defaultdict

import msgspec

from fabric.errors import InvalidName, LimitExceeded
from fabric.jetstream.connection import Connection
from fabric.jetstream.layout import QUEUE_STREAM
from fabric.jetstream.server import ApiError, api
from fabric.rules.queues.held import ACK_WAIT_S
from fabric.rules.queues.partitions import PARTITIONS, Partition, queue_problem
from fabric.subjects import jobs_in, jobs_of, queue_consumer
from fabric_codecs.errors import CodecError
from fabric_codecs.names import decode_level, encode_level

__all__ = ["QueueService", "QueueState", "make_consumers"]

SECOND = 1_000_000_000
CONSUMERS_MAX = 500  # 45 KiB of memory and 11 ms of the server's shutdown each
QUEUES_MAX = CONSUMERS_MAX // len(PARTITIONS)
UNUSED_S = 7 * 24 * 3600
HANDED_OUT_MAX = 20_000  # jobs of one partition in the hands of all workers


class Request(msgspec.Struct):
    """What a client asks: one of these."""

    open: str = ""
    list: bool = False


class QueueState(msgspec.Struct, kw_only=True):
    """A queue as it is now. `depth` counts the jobs that are not settled, `in_hand` those of them that
    workers have; `sources` counts `depth` by source."""

    name: str
    depth: int
    in_hand: int
    sources: dict[str, int]


class QueueService:
    """One per node; any number of nodes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __call__(self, _source: str, body: bytes) -> object:
        """Answer one request. Raises InvalidName, LimitExceeded, ApiError."""
        request = msgspec.json.decode(body, type=Request)
        if request.list:
            return await self._list()
        return await self._open(request.open)

    async def _open(self, queue: str) -> dict[str, float]:
        _check(queue)
        info = await api(self._connection, f"STREAM.INFO.{QUEUE_STREAM}")
        if info["state"]["consumer_count"] > CONSUMERS_MAX - len(PARTITIONS) and not await self._is_open(
            queue
        ):
            hint = "consumers go a week after the last worker of their queue"
            raise LimitExceeded("queues worked", allowed=QUEUES_MAX, actual=QUEUES_MAX + 1, hint=hint)
        await make_consumers(self._connection, queue)
        return {"ack_wait_s": ACK_WAIT_S}

    async def _is_open(self, queue: str) -> bool:
        consumer = queue_consumer(queue, PARTITIONS[-1].token)
        try:
            await api(self._connection, f"CONSUMER.INFO.{QUEUE_STREAM}.{consumer}")
        except ApiError:
            return False
        return True

    async def _list(self) -> list[QueueState]:
        depths = await self._depths()
        in_hand = await self._in_hand()
        return [
            QueueState(
                name=decode_level(queue),
                depth=sum(depths[queue].values()),
                in_hand=in_hand.get(queue, 0),
                sources={decode_level(source): count for source, count in sorted(depths[queue].items())},
            )
            for queue in sorted({*depths, *in_hand})
        ]

    async def _depths(self) -> dict[str, dict[str, int]]:
        depths: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        offset, total = 0, 1
        while offset < total:  # the server gives 100,000 subjects at a time
            body = {"subjects_filter": jobs_in("*"), "offset": offset}
            info = await api(self._connection, f"STREAM.INFO.{QUEUE_STREAM}", body)
            found: dict[str, int] = info["state"].get("subjects") or {}
            for subject, count in found.items():
                _, _, queue, _, source = subject.split(".")
                depths[queue][source] += count
            offset, total = offset + len(found), info.get("total", 0) if found else 0
        return depths

    async def _in_hand(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        offset, total = 0, 1
        while offset < total:
            answer = await api(self._connection, f"CONSUMER.LIST.{QUEUE_STREAM}", {"offset": offset})
            found = answer["consumers"] or []
            for consumer in found:
                counts[consumer["name"].rpartition("-")[0]] += consumer["num_ack_pending"]
            offset, total = offset + len(found), answer["total"] if found else 0
        return counts


async def make_consumers(connection: Connection, queue: str) -> None:
    """One consumer for each partition; safe to call again. `queue` is an encoded name."""
    for partition in PARTITIONS:
        await api(
            connection,
            f"CONSUMER.CREATE.{QUEUE_STREAM}.{queue_consumer(queue, partition.token)}",
            _config(queue, partition),
        )


def _config(queue: str, partition: Partition) -> dict[str, object]:
    name = queue_consumer(queue, partition.token)
    config = {
        "durable_name": name,
        "name": name,
        "filter_subject": jobs_of(queue, partition.token),
        "ack_policy": "explicit",
        "ack_wait": round(ACK_WAIT_S * SECOND),
        "max_deliver": -1,  # attempts are counted by the workers: `rules/queues/retry`
        "max_ack_pending": 1 if partition.ordered else HANDED_OUT_MAX,
        "inactive_threshold": UNUSED_S * SECOND,
    }
    return {"stream_name": QUEUE_STREAM, "config": config}


def _check(queue: str) -> None:
    try:
        plain = decode_level(queue)
        problem = queue_problem(plain, queue) or ("" if encode_level(plain) == queue else "it is not encoded")
    except CodecError as error:
        problem = error.what
    if problem:
        raise InvalidName("queue", queue, problem)
