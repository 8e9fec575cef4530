"""One letter as its owner's handler sees it: the message, who left it, and how often it was handed out.

Above: `inbox_owner`, handlers. Below: the envelope, which is made when somebody asks for it.
"""

from typing import Any

from fabric.clock import parse_us
from fabric_codecs.envelope import Envelope
from fabric_codecs.names import decode_level
from fabric_codecs.nats.headers import value_in

__all__ = ["Letter", "expiry_of"]


class Letter:
    """`sequence` names it within its inbox; `attempts` counts this time too, as far as records tell."""

    __slots__ = ("_envelope", "attempts", "data", "expires_us", "header", "sequence", "subject")

    def __init__(self, subject: bytes, sequence: int, header: bytes, data: bytes) -> None:
        self.subject = subject
        self.sequence = sequence
        self.header = header
        self.data = data
        self.attempts = 0
        self.expires_us = expiry_of(header)
        self._envelope: Envelope | None = None

    @property
    def sender(self) -> str:
        """The name that left it: the server's word."""
        return decode_level(self.token)

    @property
    def token(self) -> str:
        """The sender's name as subjects carry it."""
        return self.subject.rpartition(b".")[2].decode()

    @property
    def envelope(self) -> Envelope:
        """The whole message."""
        if self._envelope is None:
            self._envelope = Envelope.from_nats(self.subject, self.header, self.data)
        return self._envelope

    def json(self) -> Any:
        """The payload, read as JSON. Raises ValueError."""
        return self.envelope.json()

    def __repr__(self) -> str:
        return f"<Letter {self.sequence} from {self.sender!r}, {len(self.data):,} bytes>"


def expiry_of(header: bytes) -> int:
    """When a message is worth nothing any more, in microseconds since 1970; 0: never said, or not a time."""
    text = value_in(header, b"ce-expirytime")
    if not text:
        return 0
    try:
        return parse_us(text.decode())
    except ValueError:
        return 0
