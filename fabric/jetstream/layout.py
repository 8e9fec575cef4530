"""The table of streams, and the one function that brings a server in line with it. Reasons: docs/decisions
and `README.md`.

Above: `fabric.node` applies it at start. Below: only JSON over `$JS.API`.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from fabric.errors import InternalError
from fabric.subjects import SHARDS

__all__ = ["apply_layout", "channel_stream", "streams"]

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
GIB = 1 << 30

Request = Callable[[str, bytes], Awaitable[bytes]]


def channel_stream(shard: int) -> str:
    """The stream that keeps one shard of the channels."""
    return f"CH_{shard}"


def inbox_stream(shard: int) -> str:
    """The stream that keeps one shard of the inboxes."""
    return f"IB_{shard}"


QUEUE_STREAM = "Q"
DUE_STREAM = "DUE"
STATE_STREAM = "CUR"
ATTEMPTS_STREAM = "TRY"
DEAD_STREAM = "DEAD"
JOURNAL_STREAM = "JR"
REGISTRY_STREAM = "REG"
VIEW_PREFIX = "K_"


def _channels(shard: int) -> dict[str, Any]:
    return {
        "name": channel_stream(shard),
        "subjects": [f"fab.ch.{shard}.>"],
        "retention": "limits",
        # Not per subject: a noisy channel evicts its own oldest, a full shard refuses; "old" would evict
        # quiet neighbours.
        "discard": "new",
        "max_msgs_per_subject": 10_000,
        "max_age": DAY,
        "max_bytes": 4 * GIB,
        "duplicate_window": 120 * SECOND,
        "republish": {"src": f"fab.ch.{shard}.>", "dest": f"fab.cho.{shard}.>"},
    }


# What one source may leave unsettled: the server refuses the next, so nobody fills what belongs to all.
INBOX_LETTERS_PER_SOURCE = 256
JOBS_PER_SOURCE = 64  # in each partition


def _inboxes(shard: int) -> dict[str, Any]:
    return {
        "name": inbox_stream(shard),
        "subjects": [f"fab.ib.{shard}.*.*"],
        "retention": "limits",
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": INBOX_LETTERS_PER_SOURCE,
        "max_age": 7 * DAY,
        "max_bytes": 2 * GIB,
        "duplicate_window": 120 * SECOND,
        "republish": {"src": f"fab.ib.{shard}.>", "dest": f"fab.ibo.{shard}.>"},
    }


def _work() -> Iterator[dict[str, Any]]:
    yield {
        "name": QUEUE_STREAM,
        "subjects": ["fab.q.*.*.*"],
        "retention": "workqueue",
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": JOBS_PER_SOURCE,
        "max_bytes": 4 * GIB,
        "duplicate_window": 120 * SECOND,
    }
    yield {
        "name": DUE_STREAM,
        "subjects": ["fab.due.at.*.*", "fab.due.now.*.*"],
        "retention": "workqueue",
        # The server allows schedules no other. It would let go of the oldest when a bound is met, so there is
        # none but the server's own storage, which refuses.
        "discard": "old",
        "allow_msg_schedules": True,
        "duplicate_window": 120 * SECOND,
    }
    yield {
        "name": ATTEMPTS_STREAM,
        "subjects": ["fab.try.*.*"],
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "allow_msg_counter": True,
        "max_age": DAY,  # a job that rests longer is tried as if it were new
        "max_bytes": 256 << 20,
    }
    yield {
        "name": DEAD_STREAM,
        "subjects": ["fab.dead.*.*.*"],
        "retention": "limits",
        "discard": "new",  # a letter that cannot be kept stays where it was
        "max_age": 14 * DAY,
        "max_bytes": 2 * GIB,
        "duplicate_window": 300 * SECOND,
    }


def streams() -> Iterator[dict[str, Any]]:
    """The configuration of every stream of a deployment, without replicas and storage."""
    for shard in range(SHARDS):
        yield _channels(shard)
    for shard in range(SHARDS):
        yield _inboxes(shard)
    yield from _work()
    yield {
        "name": STATE_STREAM,
        "subjects": ["fab.cur.*.*.>"],
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,  # answers of kept calls go by themselves; nobody else would remove them
    }
    yield {
        "name": REGISTRY_STREAM,
        "subjects": ["fab.reg.*", "fab.lease.*.*"],
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
        # A marker outlives every reconnect, so that a watcher that was away learns of the end.
        "subject_delete_marker_ttl": 60 * SECOND,
        "allow_rollup_hdrs": True,
        "republish": {"src": "fab.*.>", "dest": "fab.rego.{{wildcard(1)}}.>"},
    }
    yield {
        "name": JOURNAL_STREAM,
        "subjects": ["fab.jr.*.*"],
        "retention": "limits",
        "discard": "old",
        "max_age": 7 * DAY,
        "max_bytes": 4 * GIB,
    }


async def apply_layout(
    request: Request, *, replicas: int = 1, overrides: Mapping[str, Any] | None = None
) -> None:
    """Create or update every stream. `request(subject, body)` answers with the API's reply; safe to call
    again.

    Raises InternalError with the server's words when a stream is refused.
    """
    common = {"storage": "file", "num_replicas": replicas, "allow_direct": True, **(overrides or {})}
    for config in streams():
        await put_stream(request, {**common, **config})


async def put_stream(request: Request, config: dict[str, Any]) -> None:
    """Create a stream, or update it when it is there with another configuration."""
    name = config["name"]
    body = json.dumps(config).encode()
    reply = json.loads(await request(f"$JS.API.STREAM.CREATE.{name}", body))
    if reply.get("error", {}).get("err_code") == 10058:  # name already in use with another configuration
        reply = json.loads(await request(f"$JS.API.STREAM.UPDATE.{name}", body))
    if "error" in reply:
        raise InternalError(
            f"stream {name}: {reply['error'].get('description')} ({reply['error'].get('err_code')})"
        )
