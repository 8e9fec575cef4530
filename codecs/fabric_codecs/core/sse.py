"""Server-sent events (WHATWG HTML, 9.2), both directions, incremental: how MCP and A2A stream over HTTP.

In: bytes as they come. Out: `Event`s, each once it is whole. Lines end in LF, CR or CR LF, which may be cut
anywhere; a BOM at the beginning is skipped; comments are skipped; an event without data is none. Bounded: a
line and an event have at most `event_bytes_max` bytes. Above: edges and clients. Unaware of JSON.
"""

import re
from typing import Final, NamedTuple

from fabric_codecs.bounds import JSON_BYTES_MAX
from fabric_codecs.errors import CodecError

__all__ = ["Event", "EventReader", "write_comment", "write_event"]

CLAUSE: Final = "WHATWG HTML 9.2.6"
BOM: Final = b"\xef\xbb\xbf"

_line_end = re.compile(rb"[\r\n]").search


class Event(NamedTuple):
    """One event. `id` is the last one said on the stream; `retry_ms` None unless the event says it."""

    data: bytes
    event: str = "message"
    id: str = ""
    retry_ms: int | None = None


class EventReader:
    """Decodes one stream. Raises CodecError, after which it takes nothing more."""

    def __init__(self, event_bytes_max: int = JSON_BYTES_MAX) -> None:
        self._bytes_max = event_bytes_max
        self._pending = bytearray()
        self._consumed = 0  # bytes of the stream before the pending ones
        self._at = 0  # how many of those are read
        self._searched = 0  # and how many hold no end of the line that is next
        self._line_at = 0
        self._at_start = True
        self._broken = False
        self._last_id = ""
        self._retry_ms: int | None = None
        self._clear()

    @property
    def last_id(self) -> str:
        """What a client that reconnects sends as Last-Event-ID."""
        return self._last_id

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if self._broken:
            raise self._refusal("the stream was refused before")
        events: list[Event] = []
        self._pending += data
        if self._at_start and not self._past_bom():
            return events
        while (line := self._next_line()) is not None:
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._forget()
        self._bound(self._searched)
        return events

    def _past_bom(self) -> bool:
        if len(self._pending) < len(BOM) and BOM.startswith(self._pending):
            return False
        self._at_start = False
        if self._pending.startswith(BOM):
            self._at = len(BOM)
        return True

    def _forget(self) -> None:
        """What is read goes, all of it at once: many lines in one piece cost no more than one."""
        del self._pending[: self._at]
        self._consumed += self._at
        self._searched = max(self._searched - self._at, 0)
        self._at = 0

    def _bound(self, line_bytes: int) -> None:
        if line_bytes > self._bytes_max:
            raise self._refusal(f"a line of more than {self._bytes_max:,} bytes")

    def _next_line(self) -> bytes | None:
        """The next whole line. A CR at the very end waits: an LF may belong to it."""
        found = _line_end(self._pending, max(self._at, self._searched))
        end = len(self._pending) if found is None else found.start()
        if end + 1 >= len(self._pending) and self._pending[end:] != b"\n":
            self._searched = end
            return None
        self._bound(end - self._at)
        line = bytes(self._pending[self._at : end])
        self._line_at = self._consumed + self._at
        self._at = end + (2 if self._pending[end : end + 2] == b"\r\n" else 1)
        return line

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        at = self._line_at + len(line) - len(value)
        if name == b"data":
            self._size += len(value) + 1
            if self._size > self._bytes_max:
                raise self._refusal(f"an event of more than {self._bytes_max:,} bytes", at)
            self._data.append(value)
        elif name == b"event":
            self._event = self._text(value, at)
        elif name == b"id" and b"\0" not in value:
            self._last_id = self._text(value, at)
        elif name == b"retry" and value.isdigit() and len(value) <= 9:
            self._retry_ms = int(value)

    def _text(self, value: bytes, at: int) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise self._refusal("a field that is not UTF-8", at + error.start) from error

    def _dispatch(self) -> Event | None:
        event = None
        if self._data:
            data = b"\n".join(self._data)
            event = Event(data, self._event or "message", self._last_id, self._retry_ms)
        self._clear()
        return event

    def _clear(self) -> None:
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._retry_ms = None

    def _refusal(self, what: str, at: int | None = None) -> CodecError:
        self._broken = True
        offset = self._consumed + self._at if at is None else at
        return CodecError(what, protocol="sse", offset=offset, clause=CLAUSE)


def write_event(data: bytes, *, event: str = "", id: str = "") -> bytes:
    """One event; data of several lines becomes several `data` fields. Raises CodecError for a name or id
    that holds a line end."""
    if any(end in said for said in (event, id) for end in "\n\r") or "\0" in id:
        raise CodecError("a field of an event holds a line end, or an id NUL", protocol="sse", clause=CLAUSE)
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    head = (f"event: {event}\n" if event else "") + (f"id: {id}\n" if id else "")
    return head.encode() + b"".join([b"data: " + line + b"\n" for line in lines]) + b"\n"


def write_comment(text: str = "") -> bytes:
    """A comment, which keeps a quiet connection alive."""
    return f": {text}\n\n".replace("\r", " ").encode() if "\n" not in text else b":\n\n"
