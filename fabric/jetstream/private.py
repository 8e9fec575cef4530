"""The private names of nats-py that the lane needs, all of them. The version is pinned in pyproject.toml to
the range in which they were checked, and a test fails when one of them moves.

| name | why |
|---|---|
| `Client._ps` | its parser, read once per chunk: ours stands in its place |
| `Client._transport`, `TcpTransport._io_writer` | the stream writer: ours writes whole commands to it |
| `TcpTransport._io_reader`, `StreamReader._limit` | reading 32 KiB at a time costs a busy member a tenth |
| `Client._reading_task` | a read loop that died leaves `is_connected` true: the watchdog looks |
| `Client._server_info` | the server's version, name and `max_payload` as INFO told them |
"""

import asyncio
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

__all__ = ["cut", "install_parser", "reading_task", "server_info", "stream_writer", "widen"]


READ_BYTES = 256 << 10  # what uvloop reads at most; memory a connection may hold, twice


class _Lane:
    """Stands where nats-py keeps its parser: messages go to ours, control lines on to nats-py's."""

    def __init__(self, feed: Callable[[bytes], list[bytes]], client: Client) -> None:
        self._feed = feed
        self._control = Parser(client)

    async def parse(self, data: bytes = b"") -> None:
        while True:  # until nothing comes: broken bytes are told of after the lines before them
            try:
                lines = self._feed(data)
            except ValueError as error:
                raise ProtocolError(
                    str(error)
                ) from error  # the one exception that makes nats-py close instead of stalling
            if not lines:
                return
            for line in lines:
                await self._control.parse(line)
            data = b""

    def reset(self) -> None:
        self._control.reset()


def install_parser(client: Any, feed: Callable[[bytes], list[bytes]]) -> None:
    """Let `feed` see every byte the server sends; it returns the control lines that nats-py has to know
    of."""
    client._ps = _Lane(feed, client)


def widen(client: Any) -> None:
    """Read as much at once as the event loop hands out."""
    transport = client._transport
    reader = transport._io_reader
    reader._limit = READ_BYTES
    transport.read = lambda _: reader.read(READ_BYTES)


def stream_writer(client: Any) -> asyncio.StreamWriter:
    """Where commands are written. Only whole commands: nats-py writes its PINGs there too."""
    writer: asyncio.StreamWriter = client._transport._io_writer
    return writer


def cut(client: Any) -> None:
    """Close the socket now, whatever waits to be written; nothing if there is none."""
    writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def reading_task(client: Any) -> "asyncio.Task[None]":
    """The task that reads the socket."""
    task: asyncio.Task[None] = client._reading_task
    return task


def server_info(client: Any) -> dict[str, Any]:
    """What the server said of itself."""
    info: dict[str, Any] = client._server_info
    return info
