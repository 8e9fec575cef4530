"""The Kafka edge: a TCP listener; one task a connection reads frames, asks its session, writes the answers.

In: sockets. Out: frames to `session`, its answers back, in order: the next request is looked at when the last
one is answered, so what a client sends ahead waits in the kernel's buffers. Everything has its time and its
size (`config`); what a peer does wrong ends its own connection alone.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from fabric.config import read_settings
from fabric.edge import House, cannot_listen
from fabric.errors import FabricError
from fabric_bridges.kafka.catalogue import Catalogue
from fabric_bridges.kafka.config import KafkaEdgeSettings
from fabric_bridges.kafka.deliver import Delivery
from fabric_bridges.kafka.session import Session
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.wire import FrameReader

__all__ = ["KafkaEdge", "edge"]

log = logging.getLogger(__name__)

READ_BYTES = 64 << 10


class KafkaEdge:
    """Implements `fabric.edge.Edge`."""

    name = "kafka"

    def __init__(self, settings: KafkaEdgeSettings) -> None:
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    @property
    def address(self) -> str:
        """`host:port`, as a client's bootstrap.servers has it."""
        return "{}:{}".format(*self._listens_at())

    async def start(self, house: House) -> None:
        """Accept connections from now on. Raises PortInUse, or ConfigInvalid for a host that is not ours."""
        self._house = house
        self._catalogue = Catalogue(house.topics)
        self._delivery = Delivery(house, self._catalogue, self._settings)
        host, port = self._settings.host, self._settings.port
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as refused:
            raise cannot_listen(self.name, host, port, refused) from refused

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no new connection, let answers under way be finished for `grace_s`, then close."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in self._connections:
            connection.finish()
        tasks = [connection.task for connection in self._connections]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await server.wait_closed()

    def _listens_at(self) -> tuple[str, int]:
        if self._server is None or not self._server.sockets:
            return self._settings.host, self._settings.port
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._settings.connections_max or self._server is None:
            self._house.metrics.refusals.labels(self.name, "connections").inc()
            writer.close()
            return
        host, port = writer.get_extra_info("sockname")[:2]
        address = self._settings.advertised_host or host, self._settings.advertised_port or port
        session = Session(self._house, self._catalogue, self._delivery, address)
        connection = _Connection(self._house, self._settings, session, reader, writer, task)
        self._connections.add(connection)
        gauge = self._house.metrics.connections.labels(self.name)
        gauge.inc()
        try:
            await connection.serve()
        finally:
            gauge.dec()
            self._connections.discard(connection)


class _Connection:
    """A socket, its session, and the bounds of both."""

    def __init__(
        self,
        house: House,
        settings: KafkaEdgeSettings,
        session: Session,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        task: "asyncio.Task[Any]",
    ) -> None:
        self.task = task
        self._house = house
        self._settings = settings
        self._session = session
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader(settings.login_bytes_max)
        self._finishing = False
        self._is_answering = False

    def finish(self) -> None:
        """End after the answer under way, if any."""
        self._finishing = True
        if not self._is_answering:
            self.task.cancel()

    async def serve(self) -> None:
        """Until the peer leaves, breaks a rule or a bound, or `finish` is called. Never raises."""
        peer = self._writer.get_extra_info("peername")
        try:
            ended = await self._serve()
            if ended:
                self._house.metrics.refusals.labels("kafka", ended).inc()
                log.info("kafka connection of %s closed: %s", peer, ended)
        except CodecError as error:
            self._house.metrics.malformed.labels("kafka").inc()
            log.info("kafka connection of %s closed: %s", peer, error)
        except TimeoutError as error:
            log.info("kafka connection of %s cut: %s", peer, error or "it does not read, or we took too long")
            self._writer.transport.abort()  # a polite close would wait for its reading
        except (OSError, FabricError) as error:
            log.info("kafka connection of %s closed: %s", peer, error)
        except asyncio.CancelledError:
            if not self._finishing:
                raise
        except Exception:
            log.exception("kafka connection of %s closed by our own fault", peer)
        finally:
            await self._close()

    async def _close(self) -> None:
        # A peer that does not read the last answer keeps its place, but not for ever.
        self._writer.close()
        try:
            async with asyncio.timeout(self._settings.stall_timeout_s):
                await self._writer.wait_closed()
        except OSError as error:  # TimeoutError is one
            log.debug("kafka connection was cut: %s", error)
        finally:
            self._writer.transport.abort()

    async def _serve(self) -> str:
        loop = asyncio.get_running_loop()
        login_by = loop.time() + self._settings.login_timeout_s
        while not self._finishing:
            idle_by = loop.time() + self._settings.idle_timeout_s
            try:
                async with asyncio.timeout_at(idle_by if self._session.is_ready else login_by):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if not self._session.is_ready:
                    return "login_timeout"
                raise TimeoutError("nothing was asked for too long") from None
            if not data:
                return ""
            ended = await self._answer_all(data)
            if ended:
                return ended
        return ""

    async def _answer_all(self, data: bytes) -> str:
        self._is_answering = True
        answer_s = self._settings.request_timeout_s + self._settings.fetch_wait_max_s
        try:
            self._frames.feed(data)
            while (frame := self._frames.take()) is not None:
                async with asyncio.timeout(answer_s):
                    answer = await self._session.respond(frame)
                if answer.frame:
                    self._writer.write(answer.frame)
                    async with asyncio.timeout(self._settings.stall_timeout_s):
                        await self._writer.drain()
                if answer.ends or self._finishing:
                    return answer.ends
                if self._session.is_ready:
                    self._frames.max_bytes = self._settings.request_bytes_max
        finally:
            self._is_answering = False
        return ""


def edge(settings: Mapping[str, Any]) -> KafkaEdge:
    """The edge's factory: the entry point `kafka` in the group `fabric.bridges`."""
    return KafkaEdge(read_settings(KafkaEdgeSettings, settings, "[edges.kafka]"))
