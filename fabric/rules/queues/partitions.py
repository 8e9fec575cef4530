"""The partitions of a queue: which one a job goes into, and what each promises.

| token | jobs | promise |
|---|---|---|
| `h0` | priority 7 to 9 | taken 16 times as often as `l0` while both have some |
| `n0`, `n1` | priority 3 to 6; by hash of the source | 4 times as often |
| `l0` | priority 0 to 2 | never starved |
| `k0` to `k3` | with a key; by its hash, whatever the priority | one job is out at a time: order per key |

Who puts chooses the partition; the server bounds what one source may leave in each. The names are in
`subjects`, as credentials spell them out. Few, because each is a
consumer on the server (45 KiB, 11 ms of its shutdown). Fixed for a deployment's life, as a key's place is.
"""

from typing import NamedTuple

from fabric_codecs.names import shard_of

__all__ = ["PARTITIONS", "PRIORITY_DEFAULT", "PRIORITY_MAX", "Partition", "partition_of", "queue_problem"]

PRIORITY_MAX = 9
PRIORITY_DEFAULT = 4  # as in JMS: 0 to 4 are shades of normal, 5 to 9 of expedited
HIGH_FROM, NORMAL_FROM = 7, 3
NORMALS, KEYED = 2, 4
NAME_BYTES_MAX = (
    240  # encoded; nats-server allows 255 for a consumer, which is named after queue and partition
)


class Partition(NamedTuple):
    """`weight`: how many of its jobs are taken in a round; `ordered`: one at a time."""

    token: str
    weight: int
    ordered: bool = False


PARTITIONS = (
    Partition("h0", 16),
    *(Partition(f"n{index}", 4) for index in range(NORMALS)),
    Partition("l0", 1),
    *(Partition(f"k{index}", 4, ordered=True) for index in range(KEYED)),
)


def partition_of(source: str, priority: int, key_token: str = "") -> str:
    """The partition for a job of this source; `key_token` is its key, encoded, or ""."""
    if key_token:
        return f"k{shard_of(key_token, KEYED)}"
    if priority >= HIGH_FROM:
        return "h0"
    return f"n{shard_of(source, NORMALS)}" if priority >= NORMAL_FROM else "l0"


def queue_problem(name: str, token: str) -> str:
    """Why this cannot name a queue, or "". `token` is the name, encoded."""
    if not name:
        return "it is empty"
    if len(token) > NAME_BYTES_MAX:
        return f"it has {len(token)} bytes, encoded; allowed are {NAME_BYTES_MAX}"
    return "nats-server allows no / and no \\ in the names of consumers" if {"/", "\\"} & set(token) else ""
