"""The operations of the NATS client protocol as values, both sides', and header blocks as lists.

In: bytes. Out: operations; and back. For servers, proxies and tests: the fabric's own way is `wire`, which
makes no value for a message. Source: docs.nats.io, "Client Protocol"; ADR-4 for headers.

    from the client                                  from the server
    CONNECT <json>                                   INFO <json>
    PUB <subject> [reply] <size>                     MSG <subject> <sid> [reply] <size>
    HPUB <subject> [reply] <header size> <total>     HMSG <subject> <sid> [reply] <header size> <total>
    SUB <subject> [queue] <sid>, UNSUB <sid> [max]   +OK, -ERR '<what>'
    PING, PONG                                       PING, PONG
"""

import re
from typing import Final, TypeAlias

from msgspec import Struct

from fabric_codecs.bounds import HEADER_BYTES_MAX
from fabric_codecs.errors import CodecError

__all__ = [
    "Connect",
    "Err",
    "Headers",
    "Info",
    "Message",
    "Ok",
    "Operation",
    "Ping",
    "Pong",
    "Publish",
    "Subscribe",
    "Unsubscribe",
    "encode",
    "read_headers",
    "write_headers",
]


class Info(Struct, frozen=True):
    """What the server says of itself; raw JSON."""

    options: bytes


class Connect(Struct, frozen=True):
    """What the client says of itself; raw JSON."""

    options: bytes


class Publish(Struct, frozen=True):
    """PUB, or HPUB when there is a header block."""

    subject: bytes
    payload: bytes = b""
    reply: bytes = b""
    header: bytes = b""


class Message(Struct, frozen=True):
    """MSG, or HMSG when there is a header block; `sid` is the subscription it is for."""

    subject: bytes
    sid: int
    payload: bytes = b""
    reply: bytes = b""
    header: bytes = b""


class Subscribe(Struct, frozen=True):
    """SUB; members of one `queue` share its messages."""

    subject: bytes
    sid: int
    queue: bytes = b""


class Unsubscribe(Struct, frozen=True):
    """UNSUB; at once, or after `max_messages`."""

    sid: int
    max_messages: int = 0


class Ping(Struct, frozen=True):
    """Are you there?"""


class Pong(Struct, frozen=True):
    """The answer to PING."""


class Ok(Struct, frozen=True):
    """+OK, to a client that asked for verbose answers."""


class Err(Struct, frozen=True):
    """-ERR; most of them are followed by the end of the connection."""

    what: str


Operation: TypeAlias = Info | Connect | Publish | Message | Subscribe | Unsubscribe | Ping | Pong | Ok | Err


class Headers(Struct, frozen=True):
    """A header block: names in their own spelling, in order, with duplicates. A `status` other than 0 makes
    it the server's word instead of somebody's message."""

    entries: tuple[tuple[str, str], ...] = ()
    status: int = 0
    description: str = ""


CONVENTIONS: Final = "Client Protocol, Protocol conventions"
HEADERS: Final = "ADR-4"
_WORD: Final = re.compile(rb"[!-~]+").fullmatch
_header_line = re.compile(r"([!-9;-~]+):[ \t]*([^\r\n]*?)[ \t]*").fullmatch
_first_line = re.compile(r"NATS/1\.0(?: ([1-9][0-9]{2})(?:[ \t]+([^\r\n]*?))?)?[ \t]*").fullmatch


def encode(operation: Operation) -> bytes:
    """The bytes of one operation. Raises CodecError for what no line can carry."""
    match operation:
        case Info(options):
            return _line(b"INFO", options)
        case Connect(options):
            return _line(b"CONNECT", options)
        case Publish(subject, payload, reply, header):
            return _with_payload(b"PUB", (subject, reply), header, payload)
        case Message(subject, sid, payload, reply, header):
            return _with_payload(b"MSG", (subject, b"%d" % sid, reply), header, payload)
        case Subscribe(subject, sid, queue):
            return _line(b"SUB", *_words(subject, queue, b"%d" % sid))
        case Unsubscribe(sid, most):
            return _line(b"UNSUB", *_words(b"%d" % sid, b"%d" % most if most else b""))
        case Err(what):
            return _line(b"-ERR", b"'%b'" % what.encode())
    return {Ping: b"PING\r\n", Pong: b"PONG\r\n", Ok: b"+OK\r\n"}[type(operation)]


def _line(*parts: bytes) -> bytes:
    line = b" ".join(parts)
    if b"\r" in line or b"\n" in line:
        raise _wrong("a control line with a line's end inside", 0, CONVENTIONS)
    return line + b"\r\n"


def _words(*words: bytes) -> list[bytes]:
    """Those that are there; a word has no space."""
    for word in words[:1] + tuple(filter(None, words[1:])):
        if not _WORD(word):
            raise _wrong(f"{word!r} is no word of a control line", 0, CONVENTIONS)
    return [word for word in words if word]


def _with_payload(verb: bytes, words: tuple[bytes, ...], header: bytes, payload: bytes) -> bytes:
    sizes = [b"%d" % len(payload)]
    if header:
        verb, sizes = b"H" + verb, [b"%d" % len(header), b"%d" % (len(header) + len(payload))]
    return _line(verb, *_words(*words), *sizes) + header + payload + b"\r\n"


def read_headers(block: bytes) -> Headers:
    """A header block as its lines. Raises CodecError for what is none (ADR-4)."""
    try:
        text = block.decode()
    except UnicodeDecodeError as error:
        raise _wrong("a header block that is not UTF-8", error.start) from None
    if len(block) > HEADER_BYTES_MAX:
        raise _wrong(
            f"a header block of {len(block)} bytes, allowed are {HEADER_BYTES_MAX}", HEADER_BYTES_MAX
        )
    if not text.endswith("\r\n\r\n"):
        raise _wrong("a header block without an empty line at its end", len(block))
    first, *lines = text[:-4].split("\r\n")
    opening = _first_line(first)
    if opening is None:
        raise _wrong("a header block that does not begin with NATS/1.0")
    entries = []
    at = len(first.encode()) + 2
    for line in lines:
        found = _header_line(line)
        if found is None:
            raise _wrong(f"a header line {line[:40]!r}", at)
        entries.append((found[1], found[2]))
        at += len(line.encode()) + 2
    return Headers(tuple(entries), int(opening[1] or 0), opening[2] or "")


def write_headers(headers: Headers) -> bytes:
    """The header block of these lines. Raises CodecError for a name or a value that no line can carry."""
    first = "NATS/1.0"
    if headers.status:
        first = f"{first} {headers.status:03d} {headers.description}".rstrip()
    lines = [first, *(f"{name}: {value}" for name, value in headers.entries), "", ""]
    block = "\r\n".join(lines).encode()
    if read_headers(block) != headers:
        raise _wrong("a header with a line's end, or white space at its ends, which a reader takes away")
    return block


def _wrong(what: str, offset: int = 0, clause: str = HEADERS) -> CodecError:
    return CodecError(what, protocol="nats", offset=offset, clause=clause)
