"""A name on a connection: who a message is from. The credential must allow it; the server checks."""

from fabric.client.gate import Gate
from fabric.client.link import Link
from fabric.clock import now_us
from fabric.errors import InvalidName
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.wire import timestamp

__all__ = ["Identity"]


class Identity:
    """`token` is the name as subjects carry it, `source` as envelopes do. What it publishes and calls passes
    `gate`, if there is one. Raises InvalidName."""

    def __init__(self, link: Link, name: str, protocol: str = "nats", gate: Gate | None = None) -> None:
        try:
            self.token = encode_level(name)
        except CodecError as error:
            raise InvalidName("name", name, error.what) from None
        if not name:
            raise InvalidName("name", name, "it is empty")
        self.name = name
        self.protocol = protocol
        self.link = link
        self.gate = gate
        self.source = f"/{protocol}/{self.token}"

    def new_id(self) -> str:
        """An id that no other message of this fabric has."""
        return self.link.new_id()

    def admit(self, place: str) -> None:
        """One message may go to that place. Raises Refused("rate") where the node limits it."""
        if self.gate is not None:
            self.gate.message(self.token, place)

    def envelope(self, data: bytes, *, kind: str, **attributes: str | None) -> Envelope:
        """An envelope from this source, with time and id unless one is given. Raises InvalidName for an
        attribute that cannot be one."""
        own = {
            "id": self.new_id(),
            "type": f"io.agentfabric.{kind}",
            "time": timestamp(now_us()),
            "fabkind": kind,
            "fabproto": self.protocol,
        }
        try:
            return Envelope(data, source=self.source, **own | attributes)
        except CodecError as error:
            raise InvalidName("attributes", ", ".join(attributes), error.what) from None
