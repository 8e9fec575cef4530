"""A stream of NATS operations, of either side: bytes in any pieces -> operations.

In: what a socket gave. Out: values of `operations`. Sans-IO; holds one operation at most. When bytes are not
the protocol, what came before them is returned first, and the next `feed` raises.
"""

import re
from typing import Final

from fabric_codecs.bounds import NATS_CONTROL_LINE_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.nats.operations import (
    Connect,
    Err,
    Info,
    Message,
    Ok,
    Operation,
    Ping,
    Pong,
    Publish,
    Subscribe,
    Unsubscribe,
)

__all__ = ["Decoder"]

INFO_LINE_MAX: Final = 1 << 20  # of a large cluster it lists every server
VERBS: Final = (b"INFO", b"CONNECT", b"PUB", b"HPUB", b"SUB", b"UNSUB", b"MSG", b"HMSG", b"PING", b"PONG")
PAYLOAD_MAX: Final = 64 << 20  # the server's own hard limit on max_payload

_number = re.compile(rb"\d{1,18}").fullmatch


class Decoder:
    """One direction of one connection."""

    def __init__(self, control_line_max: int = NATS_CONTROL_LINE_MAX, payload_max: int = PAYLOAD_MAX) -> None:
        self.fault: CodecError | None = None
        self._control_line_max = control_line_max
        self._payload_max = payload_max
        self._held = bytearray()
        self._passed = 0  # bytes of the stream before those held

    def feed(self, data: bytes) -> list[Operation]:
        """The operations that are whole, in order. Raises CodecError with the offset in the stream."""
        if self.fault is not None:
            raise self.fault
        self._held += data
        found: list[Operation] = []
        at = 0
        try:
            while (read := self._operation(at)) is not None:
                operation, at = read
                found.append(operation)
        except CodecError as error:
            self.fault = error.at(self._passed + error.offset)
            if not found:
                raise self.fault from None
        del self._held[:at]
        self._passed += at
        return found

    def _operation(self, at: int) -> tuple[Operation, int] | None:
        """The operation that begins at `at`, and where it ends; None when it is not whole."""
        stop = self._held.find(b"\r\n", at)
        line_max = INFO_LINE_MAX if self._held[at : at + 4].upper() == b"INFO" else self._control_line_max
        if (stop if stop >= 0 else len(self._held)) - at > line_max:
            raise _wrong(f"a control line of more than {line_max} bytes", at, "Protocol conventions")
        if stop < 0:
            return None
        verb, _, rest = bytes(self._held[at:stop]).partition(b" ")
        words = rest.split()
        match verb.upper(), len(words):
            case (b"PUB", 2 | 3):
                return self._publish(words, at, stop + 2, has_header=False)
            case (b"HPUB", 3 | 4):
                return self._publish(words, at, stop + 2, has_header=True)
            case (b"MSG", 3 | 4):
                return self._message(words, at, stop + 2, has_header=False)
            case (b"HMSG", 4 | 5):
                return self._message(words, at, stop + 2, has_header=True)
        return _plain(verb.upper(), rest, words, at), stop + 2

    def _publish(
        self, words: list[bytes], at: int, body: int, *, has_header: bool
    ) -> tuple[Operation, int] | None:
        subject, reply, sizes = (
            words[0],
            words[1 : -2 if has_header else -1],
            words[-2 if has_header else -1 :],
        )
        carried = self._carried(sizes, at, body)
        if carried is None:
            return None
        header, payload, end = carried
        return Publish(subject, payload, b"".join(reply), header), end

    def _message(
        self, words: list[bytes], at: int, body: int, *, has_header: bool
    ) -> tuple[Operation, int] | None:
        sizes = words[-2 if has_header else -1 :]
        subject, sid, *reply = words[: -len(sizes)]
        carried = self._carried(sizes, at, body)
        if carried is None:
            return None
        header, payload, end = carried
        return Message(subject, _size(sid, at, "MSG"), payload, b"".join(reply), header), end

    def _carried(self, sizes: list[bytes], at: int, body: int) -> tuple[bytes, bytes, int] | None:
        """Header block, payload, and where they end; None while they are not whole."""
        section = _section(self._held, at)
        total = _size(sizes[-1], at, section)
        header = _size(sizes[0], at, section) if len(sizes) == 2 else 0
        if header > total or total > self._payload_max:
            raise _wrong("sizes that do not fit each other, or more than is allowed", at, section)
        end = body + total
        if len(self._held) < end + 2:
            return None
        if self._held[end : end + 2] != b"\r\n":
            raise _wrong("a payload that does not end where its size says", end, section)
        carried = bytes(self._held[body:end])
        return carried[:header], carried[header:], end + 2


def _plain(verb: bytes, rest: bytes, words: list[bytes], at: int) -> Operation:
    match verb, len(words):
        case (b"SUB", 2 | 3):
            return Subscribe(words[0], _size(words[-1], at, "SUB"), words[1] if len(words) == 3 else b"")
        case (b"UNSUB", 1 | 2):
            sizes = [_size(word, at, "UNSUB") for word in words]
            return Unsubscribe(*sizes)
        case (b"PING", 0):
            return Ping()
        case (b"PONG", 0):
            return Pong()
        case (b"+OK", 0):
            return Ok()
    if verb == b"INFO" and words:
        return Info(rest.strip())
    if verb == b"CONNECT" and words:
        return Connect(rest.strip())
    if verb == b"-ERR":
        return Err(rest.strip().decode("utf-8", "replace").strip("'"))
    section = verb.decode() if verb in VERBS else "Protocol messages"
    raise _wrong(f"{verb[:20]!r} with {len(words)} words is no operation", at, section)


def _size(word: bytes, at: int, section: str) -> int:
    if not _number(word):
        raise _wrong(f"{word[:20]!r} is no number", at, section)
    return int(word)


def _section(held: bytearray, at: int) -> str:
    """Where the specification describes the operation that begins at `at`: under its own name."""
    return held[at : at + 5].split()[0].upper().decode()


def _wrong(what: str, offset: int, section: str) -> CodecError:
    return CodecError(what, protocol="nats", offset=offset, clause=f"Client Protocol, {section}")
