"""A node: the process that keeps NATS, hosts the edges and tells everybody on this machine the way.

In: a `Config`. Out: a running fabric. Starting is a stack of parts, each stopped in reverse, whether at the
end or because the next one failed. Above: `fabric up`, `fabric demo`, `fabric.connect` where nothing runs
yet.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType

from prometheus_client import CollectorRegistry

from fabric.address import Address, HomeLock
from fabric.client import Fabric, Session
from fabric.client.gate import Gate
from fabric.client.identity import Identity
from fabric.config import Config
from fabric.edge import EdgeMetrics, House
from fabric.jetstream.layout import apply_layout
from fabric.jetstream.server import requester
from fabric.jetstream.views import Views
from fabric.node.authenticator import TokenAuthenticator
from fabric.node.credentials import EVERY_NAME, Keyring
from fabric.node.due import Mover
from fabric.node.edges import Edges, build_edges
from fabric.node.files import write_private
from fabric.node.health import HealthServer
from fabric.node.inboxes import SettleService
from fabric.node.letters import LetterService
from fabric.node.metrics import NodeCollector
from fabric.node.queues import QueueService
from fabric.node.server import EmbeddedServer
from fabric.node.services import Service, Services
from fabric.node.sweeper import Sweeper, SweeperCollector

__all__ = ["Node"]


class Node:
    """`async with Node(config) as node: ...`; `node.address` says where everything is.

    Raises, naming the part: ConfigInvalid, PortInUse, ServerFailed, ServerTooOld, Unreachable,
    Unauthenticated.
    """

    address: Address
    server: EmbeddedServer | None = None  # None when NATS is somebody else's
    session: Session

    def __init__(self, config: Config) -> None:
        self.config = config
        self.registry = CollectorRegistry()
        self._metrics = EdgeMetrics(self.registry)
        self._parts = AsyncExitStack()

    async def start(self) -> None:
        """Returns when every edge accepts connections and the address is published."""
        async with AsyncExitStack() as parts:
            edges = build_edges(self.config)  # a mistake in their settings is said before anything runs
            lock = parts.enter_context(HomeLock(self.config.home))
            url, creds, node_creds = await self._enter_nats(parts)
            self.session = await parts.enter_async_context(self._session(url, node_creds))
            topics = await parts.enter_async_context(self._topics())
            services = Services(self.session.connection, self._services())
            parts.push_async_callback(services.stop)
            sweeper = Sweeper(self.session)
            await sweeper.start()
            self.registry.register(SweeperCollector(sweeper))
            parts.push_async_callback(sweeper.stop)
            mover = Mover(Identity(self.session, self.config.node.name))
            await mover.start()
            parts.push_async_callback(mover.stop)
            gate = Gate(self.config.limits)
            self.registry.register(NodeCollector(self.session, self.server, gate))
            health = HealthServer(self.config.node, self._problems, self.registry, self._metrics)
            await health.start()
            parts.push_async_callback(health.stop)
            authenticator = TokenAuthenticator(self.config, [edge.name for edge in edges])
            fabric = Fabric(self.session, self.config.node.name, gate=gate)
            running = Edges(edges)
            parts.push_async_callback(running.stop, self.config.node.grace_s)
            await running.start(House(fabric, self.session.journal, authenticator, topics, self._metrics))
            self.address = Address(
                pid=os.getpid(),
                nats_url=url,
                creds=creds,
                health_url=health.url,
                edges=running.addresses(),
                tokens={edge: str(file) for edge, file in authenticator.files.items()},
                enforced=self.server is not None,
                sync_interval_s=self.config.nats.sync_interval_s if self.server else None,
            )
            lock.publish(self.address)
            self._parts = parts.pop_all()

    async def stop(self) -> None:
        """Edges first, with their grace; what was published is settled; the server goes last. Safe to
        repeat."""
        await self._parts.aclose()

    async def __aenter__(self) -> "Node":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _enter_nats(self, parts: AsyncExitStack) -> tuple[str, str, str]:
        """(URL, credentials for everybody on this machine, the node's own); empty where none are needed."""
        settings, home = self.config.nats, self.config.home
        if settings.url:
            return settings.url, settings.creds, settings.creds
        keys = Keyring.open(home)
        creds, node_creds = home / "fabric.creds", home / "node.creds"
        write_private(creds, keys.mint(EVERY_NAME))
        write_private(node_creds, keys.mint_node())
        server = EmbeddedServer(settings, home / "nats", trust=keys.server_trust())
        self.server = await parts.enter_async_context(server)
        return server.url, str(creds), str(node_creds)

    @asynccontextmanager
    async def _session(self, url: str, creds: str) -> AsyncIterator[Session]:
        session = Session(
            url.split(","), name=self.config.node.name, credentials=Path(creds) if creds else None
        )
        await session.open()
        try:
            await apply_layout(requester(session.connection), replicas=self.config.nats.replicas)
            yield session
        finally:
            await session.close()

    @asynccontextmanager
    async def _topics(self) -> AsyncIterator[Views]:
        session, settings = self.session, self.config
        topics = Views(
            session.connection,
            session.reader,
            settings.kafka.topics,
            inbox=session.inbox,
            replicas=settings.nats.replicas,
        )
        try:
            await topics.start()
            yield topics
        finally:
            topics.close()

    def _services(self) -> dict[str, Service]:
        """What this node does for clients; see `services`."""
        return {
            "dead": LetterService(self.session),
            "queue": QueueService(self.session.connection),
            "settle": SettleService(self.session),
        }

    def _problems(self) -> Mapping[str, str]:
        problems = {}
        if self.server and self.server.problem:
            problems["nats-server"] = self.server.problem
        if not self.session.connection.is_up:
            problems["nats"] = "not connected"
        return problems
