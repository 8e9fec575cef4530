"""A faulty link: a TCP proxy before a nats-server that cuts, stalls, delays, goes away, and loses messages.

    async with Proxy(server.url) as proxy:
        proxy.drop = lambda subject, header, payload: subject.startswith(b"fab.cho.")
        fabric = connect(url=proxy.url, ...)
        proxy.cut()

Towards the client it reads the protocol, message by message, with lines of its own: it must not share a bug
with the parser under test. Above: tests of any layer. Below: asyncio streams.
"""

import asyncio
from collections.abc import Callable
from typing import Self

__all__ = ["Proxy"]

Drop = Callable[[bytes, bytes, bytes], bool]
Link = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """Listens on a free port of 127.0.0.1, the same one until it is closed."""

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition("://")[2].rpartition(":")
        self._target = host, int(port)
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._upstream = asyncio.Event()  # set: bytes flow towards the server
        self._downstream = asyncio.Event()  # set: messages flow towards the client
        self._port = 0
        self.drop: Drop | None = None
        self.delay_s = 0.0
        self.dropped = 0
        self.accepted = 0
        self.resume()

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """Links that are open now."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_away()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection, at once and without a goodbye. New ones are taken."""
        for link in list(self._links):
            for writer in link:
                writer.transport.abort()

    async def go_away(self) -> None:
        """Break every connection and listen no more, until `come_back`."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    async def come_back(self) -> None:
        """Listen, on the port of before."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def stall(self, *, upstream: bool = True, downstream: bool = True) -> None:
        """Read no more from the client (`upstream`), send it nothing more (`downstream`); links stay."""
        if upstream:
            self._upstream.clear()
        if downstream:
            self._downstream.clear()

    def resume(self) -> None:
        """Let everything flow again."""
        self._upstream.set()
        self._downstream.set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        link = writer, far_writer
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._to_server(reader, far_writer), name="proxy-to-server"),
            asyncio.create_task(self._to_client(far_reader, writer), name="proxy-to-client"),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._links.discard(link)
            for one in link:
                one.transport.abort()
            self._tasks.discard(task)

    async def _to_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._upstream.wait()
            data = await reader.read(65536)
            if not data:
                return
            writer.write(data)
            await writer.drain()

    async def _to_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            line = await reader.readuntil(b"\r\n")
            fields = line.split()
            body = b""
            if fields[0] in (b"MSG", b"HMSG"):
                body = await reader.readexactly(int(fields[-1]) + 2)
                if self._loses(fields, body[:-2]):
                    continue
            await self._downstream.wait()
            if self.delay_s:
                loop.call_later(self.delay_s, writer.write, line + body)
            else:
                writer.write(line + body)
                await writer.drain()

    def _loses(self, fields: list[bytes], body: bytes) -> bool:
        if self.drop is None:
            return False
        header_size = int(fields[-2]) if fields[0] == b"HMSG" else 0
        lost = self.drop(fields[1], body[:header_size], body[header_size:])
        self.dropped += lost
        return lost
