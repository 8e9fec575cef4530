"""What a worker is told to do and what it answers: the messages between the bench and its processes.

One plan per scenario, the same for ours, the floor and the peers. Above: scenarios, floors, peers, worker.
"""

import msgspec

__all__ = [
    "CallPlan",
    "CatchupPlan",
    "DurablePlan",
    "FanoutPlan",
    "InboxPlan",
    "JoinPlan",
    "LivePlan",
    "Measured",
    "Place",
    "QueuePlan",
    "RegisterPlan",
    "Specimen",
    "StormPlan",
]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A server and the file with the credentials for it ("" where it wants none)."""

    url: str
    creds: str = ""


class Specimen(msgspec.Struct, frozen=True, kw_only=True):
    """One message of ours as it was seen on the wire; `header` is the whole block. See `specimens`."""

    subject: str
    reply: str
    header: bytes
    payload: bytes


class DurablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Publish `count` messages, each acknowledged, with at most `window` unacknowledged."""

    place: Place
    channel: str
    count: int
    window: int
    specimen: Specimen


class LivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Publish, or receive, `count` messages; `gauge` is the file in which the receiver says how far it is."""

    place: Place
    channel: str
    count: int
    gauge: str
    specimen: Specimen


class CallPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Call one at a time at `rate_per_s`, then with `in_flight` calls at once; or answer such calls."""

    place: Place
    agent: str
    rate_per_s: int
    paced: int
    in_flight: int
    concurrent: int
    request: Specimen
    response: Specimen


class CatchupPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Be a late member of each of `channels`, one after another, until all `history` messages are there."""

    place: Place
    channels: tuple[str, ...]
    history: int


class InboxPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Leave `letters` for each of `agents`, or own their inboxes and settle each letter."""

    place: Place
    admin: Place  # for a peer, whose consumers an ordinary credential may not make
    agents: int
    letters: int


class FanoutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Publish `count` durable messages to one channel, or receive them as `members` on each of
    `connections`. `copies` of a message go over a receiver's wire: `gauge` counts those."""

    place: Place
    channel: str
    count: int
    connections: int
    members: int
    copies: int
    gauge: str
    specimen: Specimen


class RegisterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Have `count` agents join; or find some among them."""

    place: Place
    count: int


class JoinPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Join `joins` channels one after another, publish `count` messages to one, and by popularity to
    `channels`."""

    place: Place
    channels: int
    count: int
    joins: int
    window: int


class QueuePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Put `count` jobs into `queue`, `per_source` of each source; or take and acknowledge them, `in_hand`
    at a time."""

    place: Place
    queue: str
    count: int
    per_source: int
    in_hand: int


class StormPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A storm on `queue`, in seconds after `begin_s` (`time.perf_counter`, which all processes of a machine
    share): `neighbours` put `neighbour_rate_per_s` together from the beginning to `end_s`, `stormer` puts
    `storm_rate_per_s` from `storm_from_s` to `storm_to_s`. Workers take `in_hand` jobs at a time,
    `service_s` each."""

    place: Place
    admin: Place
    home: str
    queue: str
    neighbours: tuple[str, ...]
    neighbour_rate_per_s: float
    stormer: str
    storm_rate_per_s: float
    in_hand: int
    service_s: float
    begin_s: float
    storm_from_s: float
    storm_to_s: float
    end_s: float


class Measured(msgspec.Struct, kw_only=True):
    """What a worker found: figures by name, what the check of its messages says (zero is right), and what
    happened over time, as columns of numbers."""

    values: dict[str, float]
    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    notes: dict[str, float] = {}
    series: dict[str, list[float]] = {}
