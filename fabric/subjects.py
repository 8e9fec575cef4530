"""Every NATS subject of the fabric: builders, and the table of who may do what with which.

Nowhere else is a subject spelled out. The table drives the minting of credentials and the test that tries
each row on a real server. Names in a subject are encoded tokens (`fabric_codecs.names.encode_level`),
channels canonical names.
"""

import itertools
from dataclasses import dataclass

from fabric_codecs.names import is_pattern, shard_of

__all__ = ["GRANTS", "JOURNAL_BUCKETS", "QUEUE_PARTITIONS", "SHARDS", "Grant", "grants_for"]

SHARDS = 8  # fixed for a deployment's life: a channel's shard is a hash of its name
QUEUE_PARTITIONS = (
    "h0",
    "n0",
    "n1",
    "l0",
    "k0",
    "k1",
    "k2",
    "k3",
)  # see `rules/queues/partitions`
JOURNAL_BUCKETS = 1024  # a conversation's records share one, so its tree is read without reading everybody's


def shard(channel: str) -> int:
    """The shard that keeps this canonical channel."""
    return shard_of(channel, SHARDS)


def durable(source: str, channel: str) -> str:
    """Where a durable message is published; the shard's stream stores it."""
    return f"fab.ch.{shard(channel)}.{source}.{channel}"


def live(source: str, channel: str) -> str:
    """Where a live message is published; no stream stores it."""
    return f"fab.lv.{source}.{channel}"


def channel_of(subject: str) -> str:
    """The canonical channel of a subject that carries a channel message, stored (`fab.ch`), republished or
    live."""
    return subject.split(".", 3 if subject.startswith("fab.lv.") else 4)[-1]


def _filters(pattern: str, prefix: str) -> tuple[str, ...]:
    # `>` includes the channel above it, as MQTT's `#` does; NATS's `>` does not.
    if pattern == ">":
        return (f"{prefix}.>",)
    if pattern.endswith(".>"):
        return (f"{prefix}.{pattern[:-2]}", f"{prefix}.{pattern}")
    return (f"{prefix}.{pattern}",)


def shards_of_pattern(pattern: str) -> tuple[int, ...]:
    """The shards in which channels of this canonical name or pattern can be."""
    return tuple(range(SHARDS)) if is_pattern(pattern) else (shard(pattern),)


def stored_filters(pattern: str, shard_number: int) -> tuple[str, ...]:
    """What selects the pattern's messages in one shard's stream."""
    return _filters(pattern, f"fab.ch.{shard_number}.*")


def durable_feeds(pattern: str) -> tuple[str, ...]:
    """What to subscribe to for the republished messages of a canonical name or pattern."""
    wanted = "*" if is_pattern(pattern) else str(shard(pattern))
    return _filters(pattern, f"fab.cho.{wanted}.*")


def live_feeds(pattern: str) -> tuple[str, ...]:
    """What to subscribe to for the live messages of a canonical name or pattern."""
    return _filters(pattern, "fab.lv.*")


def call(agent: str, source: str) -> str:
    """Where `source` calls `agent`."""
    return f"fab.call.{agent}.{source}"


def calls_to(agent: str) -> str:
    """What an agent subscribes to for its calls."""
    return f"fab.call.{agent}.*"


def inbox_prefix(name: str) -> str:
    """Replies to this name arrive below it."""
    return f"_INBOX.{name}"


def registration(agent: str) -> str:
    """An agent's record."""
    return f"fab.reg.{agent}"


def lease(name: str, process: str) -> str:
    """A process's lease."""
    return f"fab.lease.{name}.{process}"


def journal(name: str, bucket: int) -> str:
    """A record of the journal."""
    return f"fab.jr.{name}.{bucket}"


def inbox(agent: str, source: str) -> str:
    """Where `source` leaves a letter for `agent`; the inbox's shard is a hash of the agent's name."""
    return f"fab.ib.{shard(agent)}.{agent}.{source}"


def inbox_letters(agent: str) -> str:
    """What selects an agent's letters in its shard's stream."""
    return f"fab.ib.{shard(agent)}.{agent}.*"


def inbox_feed(agent: str) -> str:
    """What the owner of an inbox subscribes to."""
    return f"fab.ibo.{shard(agent)}.{agent}.*"


def inbox_gate(agent: str) -> str:
    """A message here says that the agent's inbox takes no more; senders look at it as they send. `%full` is
    no encoded name, so it is no agent's inbox; the agent itself is the source."""
    return f"fab.ib.{shard(agent)}.%full.{agent}"


def job(queue: str, partition: str, source: str) -> str:
    """Where `source` puts a job; the partition is one token."""
    return f"fab.q.{queue}.{partition}.{source}"


def jobs_of(queue: str, partition: str) -> str:
    """What selects the jobs of one partition."""
    return f"fab.q.{queue}.{partition}.*"


def jobs_in(queue: str) -> str:
    """What selects all jobs of a queue."""
    return f"fab.q.{queue}.*.*"


def attempts(queue: str, sequence: int) -> str:
    """Where the starts of a job that did not succeed at once are counted."""
    return f"fab.try.{queue}.{sequence}"


def queue_consumer(queue: str, partition: str) -> str:
    """The consumer that hands out the jobs of one partition."""
    return f"{queue}-{partition}"


def schedule(source: str, identity: str) -> str:
    """Where a delayed job waits for its time."""
    return f"fab.due.at.{source}.{identity}"


def due(source: str, identity: str) -> str:
    """Where the server puts it when its time has come."""
    return f"fab.due.now.{source}.{identity}"


def state(name: str, kind: str, key: str) -> str:
    """A record with one writer at a time: a cursor, an ownership, a session (compare-and-set)."""
    return f"fab.cur.{name}.{kind}.{key}"


def dead(kind: str, holder: str, source: str) -> str:
    """A dead letter of `holder`, which is a queue, an inbox or a durable member (`kind`)."""
    return f"fab.dead.{kind}.{holder}.{source}"


def service(what: str, source: str) -> str:
    """Where `source` asks a node for something that needs more rights than its own."""
    return f"fab.svc.{what}.{source}"


DUE_JOBS = "fab.due.now.>"
SERVICES = "fab.svc.*.*"
REGISTRY_FEED = "fab.rego.>"
REGISTRATIONS = "fab.reg.*"
LEASES = "fab.lease.*.*"
JOURNAL_ALL = "fab.jr.>"


@dataclass(frozen=True, slots=True)
class Grant:
    """One right of a credential. `subject` has `{n}` for each of the credential's names (`*` for every name
    of the tenant).

    `right` is `publish` or `subscribe`. `{q}` stands for each queue that the credential works (`*` for
    every queue), `{p}` for each consumer of those queues. `channels` marks the rights that a credential
    restricted to some channels has only for those (`{c}` stands for the channel); `history` those that only
    an unrestricted one has.
    """

    right: str
    subject: str
    what: str
    channels: bool = False
    history: bool = False


GRANTS: tuple[Grant, ...] = (
    Grant("publish", "fab.ch.*.{n}.{c}", "durable channel messages", channels=True),
    Grant("publish", "fab.lv.{n}.{c}", "live channel messages", channels=True),
    Grant("publish", "fab.call.*.{n}", "calls"),
    Grant("publish", "fab.ib.*.*.{n}", "letters to any agent"),
    Grant("publish", "fab.q.*.*.{n}", "jobs for any queue"),
    Grant("publish", "fab.due.at.{n}.*", "jobs for later"),
    Grant("publish", "fab.cur.{n}.>", "its own cursors and records"),
    Grant("publish", "fab.dead.inbox.{n}.{n}", "letters that its inbox gives up"),
    Grant("publish", "fab.dead.member.*.{n}", "messages that its durable members give up"),
    Grant("publish", "fab.dead.queue.{q}.{n}", "jobs that it gives up"),
    Grant("publish", "fab.try.{q}.*", "counting the attempts of jobs"),
    Grant("publish", "$JS.API.CONSUMER.MSG.NEXT.Q.{p}", "taking jobs"),
    Grant("publish", "$JS.ACK.Q.{p}.>", "settling jobs"),
    Grant("publish", "$JS.ACK.*.*.Q.{p}.>", "settling jobs, as later servers spell it"),
    Grant("publish", "fab.svc.*.{n}", "asking a node"),
    Grant("publish", "fab.reg.{n}", "the agent's record"),
    Grant("publish", "fab.lease.{n}.*", "the process's lease"),
    Grant("publish", "fab.jr.{n}.*", "the journal"),
    Grant(
        "publish",
        "$JS.API.DIRECT.GET.REG",
        "reading the registry, which everybody hears as it changes anyway",
    ),
    Grant("publish", "$JS.API.DIRECT.GET.CUR.fab.cur.{n}.>", "its own cursors and records"),
    Grant("publish", "$JS.API.DIRECT.GET.>", "reading history", history=True),
    Grant("publish", "$JS.API.STREAM.INFO.*", "where a log ends", history=True),
    Grant("subscribe", "fab.cho.*.*.{c}", "stored channel messages as they come", channels=True),
    Grant("subscribe", "fab.lv.*.{c}", "live channel messages", channels=True),
    Grant("subscribe", "fab.ibo.*.{n}.*", "its own letters"),
    Grant("subscribe", "fab.rego.>", "who joins and leaves"),
    Grant("subscribe", "fab.call.{n}.*", "calls to the agent"),
    Grant("subscribe", "_INBOX.{n}.>", "replies and acknowledgements"),
)


def grants_for(
    right: str,
    names: tuple[str, ...],
    channels: tuple[str, ...] = (),
    *,
    queues: tuple[str, ...] = (),
    history: bool = True,
) -> list[str]:
    """The subjects a credential may use: `right` is `publish` or `subscribe`, `names` and `queues` (those
    that it works) encoded tokens or `("*",)`.

    `channels` are canonical names or patterns; none means all of them. A credential restricted to some
    channels, or made with `history=False`, has no direct-get right: a pattern in a request's body is out
    of reach of subject permissions.
    """
    subjects = []
    for grant in GRANTS:
        if grant.right != right or (grant.history and (channels or not history)):
            continue
        places = itertools.product(
            names if "{n}" in grant.subject else ("",),
            _reach(channels) if grant.channels else ("",),
            queues if "{q}" in grant.subject else ("",),
            _consumers(queues) if "{p}" in grant.subject else ("",),
        )
        for name, channel, queue, consumer in places:
            subjects.append(grant.subject.format(n=name, c=channel, q=queue, p=consumer))
    return list(dict.fromkeys(subjects))


def _consumers(queues: tuple[str, ...]) -> tuple[str, ...]:
    # A permission's wildcard is a whole token, so each consumer of a queue is named.
    return tuple(
        consumer
        for queue in queues
        for consumer in (
            ("*",) if queue == "*" else (queue_consumer(queue, token) for token in QUEUE_PARTITIONS)
        )
    )


def _reach(channels: tuple[str, ...]) -> tuple[str, ...]:
    if not channels:
        return (">",)
    reach: list[str] = []
    for channel in channels:
        reach.extend((channel[:-2], channel) if channel.endswith(".>") else (channel,))
    return tuple(reach)
