"""Which message a device's answer belongs to, so that an answer's cause is known although MQTT cannot say it.

In: every message with a reply address that goes out to a device; every PUBLISH that comes in. Out: what
caused it, or None. Bounded: the oldest are forgotten first. Kept per device: nobody else can claim the
answer.
"""

from base64 import b64encode
from collections import OrderedDict
from typing import NamedTuple

from fabric_codecs.envelope import Envelope
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.names import encode_level

__all__ = ["Asked", "Replies"]


class Asked(NamedTuple):
    """The message that wants an answer; `fabcorr` is how whoever waits for the answer knows it."""

    id: str
    correlationid: str
    fabcorr: str
    until_us: int


Key = tuple[str, str, bytes | None]  # client id, reply channel, Correlation Data (None: the channel says it)


class Replies:
    """The answers awaited of all devices of one edge."""

    def __init__(self, replies_max: int, memory_s: float) -> None:
        self._replies_max = replies_max
        self._memory_us = round(memory_s * 1_000_000)
        self._asked: OrderedDict[Key, Asked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked)

    def went_out(
        self, client_id: str, envelope: Envelope, message: Publish, left_s: int | None, now_us: int
    ) -> None:
        """Remember a message that asks `client_id` for an answer, for as long as one is worth something.

        An answer without Correlation Data (3.1.1 has none) is recognised when a level of its topic is the
        id of the message or of its conversation (`greenhouse/reply/<id>`), and only then: on a shared topic
        nobody could tell.
        """
        channel = envelope.get("fabreply")
        if channel is None:
            return
        lasting_us = self._memory_us if left_s is None else min(left_s * 1_000_000, self._memory_us)
        fabcorr = envelope.get("fabcorr") or b64encode(envelope.id.encode()).decode()
        asked = Asked(envelope.id, envelope.correlationid or envelope.id, fabcorr, now_us + lasting_us)
        if message.properties.correlation_data is not None:
            self._keep((client_id, channel, message.properties.correlation_data), asked)
        levels = channel.split(".")
        names = (envelope.id, envelope.correlationid, envelope.causationid)
        if any(name and encode_level(name) in levels for name in names):
            self._keep((client_id, channel, None), asked)

    def cause_of(self, client_id: str, channel: str, correlation: bytes | None, now_us: int) -> Asked | None:
        """What a message of `client_id` on `channel` answers, or None."""
        if not self._asked:
            return None
        key = (client_id, channel, correlation)
        asked = self._asked.get(key)
        if asked is not None and asked.until_us <= now_us:
            del self._asked[key]
            return None
        return asked

    def _keep(self, key: Key, asked: Asked) -> None:
        self._asked[key] = asked
        self._asked.move_to_end(key)
        if len(self._asked) > self._replies_max:
            self._asked.popitem(last=False)
