from collections.abc import Callable

from fabric_codecs.errors import CodecError

Handler = Callable[[bytes, bytes, bytes, bytes], object]

class Parser:
    """Takes what a socket gave, in any pieces, and calls `handlers[sid](subject, reply, header, payload)`
    for each message.

    `header` is the whole header block or b"". A handler that raises is reported to `on_error(sid,
    exception)`; the stream goes on. A message of an unknown sid (unsubscribed, in flight) is counted in
    `unclaimed`. When bytes are not the protocol, what came before them is handed out first: with lines in
    hand `feed` returns them, leaves the error in `fault`, and the next `feed` raises it.
    """

    handlers: dict[int, Handler]
    messages: int
    unclaimed: int
    fault: CodecError | None
    def __init__(
        self, handlers: dict[int, Handler], on_error: Callable[[int, Exception], object]
    ) -> None: ...
    def feed(self, data: bytes) -> list[bytes]: ...

class Template:
    """The header lines that all messages of one publisher share, rendered once from a whole header block."""

    def __init__(self, block: bytes) -> None: ...

class Writer:
    """Commands collected until `take`. Every method appends one whole command, or raises CodecError and
    appends nothing."""

    payload_max: int
    def __init__(self, payload_max: int = ...) -> None: ...
    def __len__(self) -> int: ...
    def take(self) -> bytes: ...
    def command(self, line: bytes) -> None: ...
    def publish(
        self, subject: bytes, reply: bytes, header: bytes, payload: bytes, ticket: int = -1
    ) -> None: ...
    def publish_event(
        self,
        subject: bytes,
        reply: bytes,
        ticket: int,
        template: Template,
        first: bytes,
        id_prefix: bytes,
        count: int,
        time_us: int,
        payload: bytes,
    ) -> None: ...

def timestamp(time_us: int) -> str: ...
