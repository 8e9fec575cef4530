"""Dead letters as header blocks: what a letter says about the message it holds, and how the message lives
again.

A letter is the message as it was stored (payload and header lines, without the server's own) and these lines:

| line | says |
|---|---|
| `Fab-Dead-Cause` | why it was given up, in words |
| `Fab-Dead-Attempts` | how often it was tried |
| `Fab-Dead-Stream`, `Fab-Dead-Sequence`, `Fab-Dead-Subject` | where it was stored |
| `Fab-Ancestors` | ids of its earlier lives, oldest first, at most ANCESTORS_MAX; the next life keeps it |
| `Nats-Msg-Id` | of holder and place: a crash between writing and settling makes no second letter |

A redriven message has a new id (`dead-<number of its letter>`), so no ledger takes it for a second copy.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from fabric_codecs.nats.headers import number_in, value_in

__all__ = [
    "ADDED_BYTES_MAX",
    "Origin",
    "ancestors_of",
    "letter_block",
    "letter_id",
    "origin_of",
    "revived_block",
]

CAUSE_BYTES_MAX = 512
ANCESTORS_MAX = 16  # ids of at most 64 characters
ADDED_BYTES_MAX = 4096  # a message that large below the server's limit always fits into a letter
OPENING = b"NATS/1.0\r\n"
# The server's lines, the letter's, and what belonged to one delivery.
DROPPED = (b"nats-", b"fab-dead-", b"fab-ancestors:", b"fab-retry:")


class Origin(NamedTuple):
    """Where a message was stored, and the subject that puts it there again."""

    stream: str
    sequence: int
    subject: str


def letter_id(kind: str, holder: str, origin: Origin) -> str:
    """The same for whoever buries this obligation, however often."""
    text = f"{kind} {holder} {origin.stream} {origin.sequence}"
    return "dead:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def letter_block(
    kind: str, holder: str, origin: Origin, header: bytes, *, cause: str, attempts: int
) -> bytes:
    """The letter's header block for a message's."""
    earlier = ancestors_of(header)
    return _block(
        *_kept(header),
        f"Fab-Dead-Cause: {_one_line(cause)}".encode(),
        b"Fab-Dead-Attempts: %d" % attempts,
        f"Fab-Dead-Stream: {origin.stream}".encode(),
        b"Fab-Dead-Sequence: %d" % origin.sequence,
        f"Fab-Dead-Subject: {origin.subject}".encode(),
        *([_ancestors_line(earlier)] if earlier else ()),
        f"Nats-Msg-Id: {letter_id(kind, holder, origin)}".encode(),
    )


def revived_block(header: bytes, number: int, source: str = "") -> bytes:
    """The header block of letter `number`'s message for its next life; `source` when somebody else says it
    now."""
    replaced = (b"ce-id:", b"ce-source:") if source else (b"ce-id:",)
    before = value_in(header, b"ce-id").decode("latin-1")
    return _block(
        *(line for line in _kept(header) if not line.lower().startswith(replaced)),
        b"ce-id: dead-%d" % number,
        *([f"ce-source: {source}".encode()] if source else ()),
        _ancestors_line((*ancestors_of(header), before)[-ANCESTORS_MAX:]),
        b"Nats-Msg-Id: redrive:%d" % number,
    )


def origin_of(header: bytes) -> Origin:
    """Where the message of a letter came from."""
    stream, subject = (
        value_in(header, name).decode("latin-1") for name in (b"Fab-Dead-Stream", b"Fab-Dead-Subject")
    )
    return Origin(stream, max(number_in(header, b"Fab-Dead-Sequence"), 0), subject)


def ancestors_of(header: bytes) -> tuple[str, ...]:
    """The ids of a message's earlier lives, oldest first."""
    text = value_in(header, b"Fab-Ancestors").decode("latin-1")
    return tuple(text.split(" ")) if text else ()


def _kept(header: bytes) -> Iterator[bytes]:
    for line in header.split(b"\r\n")[1:]:
        if line and not line.lower().startswith(DROPPED):
            yield line


def _block(*lines: bytes) -> bytes:
    return OPENING + b"\r\n".join(lines) + b"\r\n\r\n"


def _ancestors_line(ids: tuple[str, ...]) -> bytes:
    return f"Fab-Ancestors: {' '.join(ids)}".encode("latin-1")


def _one_line(cause: str) -> str:
    plain = "".join(
        sign if sign.isprintable() and sign.isascii() else "?" for sign in " ".join(cause.split())
    )
    return plain[:CAUSE_BYTES_MAX]
