"""This process's lease: while it is held, its agents are live. Who is killed stops refreshing."""

import asyncio
import contextlib
import logging

from fabric import subjects
from fabric.client.link import Link
from fabric.errors import FabricError, InternalError
from fabric.jetstream.layout import REGISTRY_STREAM
from fabric_codecs.nats.headers import stored_at, value_in

__all__ = ["LEASE_REFRESH_S", "LEASE_TTL_S", "Lease", "is_held", "lease_held"]

log = logging.getLogger("fabric.registry")

LEASE_TTL_S = 20
LEASE_REFRESH_S = 5.0  # four chances before the lease ends; after a reconnect others have two to come back
RELEASED_KEPT_S = 60
HELD, RELEASED = b'{"state":"held"}', b'{"state":"released"}'


class Lease:
    """Taken with the first agent, refreshed every `refresh_s`, released on `close`."""

    def __init__(self, link: Link, ttl_s: int, refresh_s: float) -> None:
        self.refresh_s = refresh_s
        self._ttl_s = ttl_s
        self._link = link
        self._subject = subjects.lease(link.token, link.process)
        self._keeper: asyncio.Task[None] | None = None
        self._taking = asyncio.Lock()

    async def keep(self) -> None:
        """Hold it from now on. Raises FabricError when it cannot be taken."""
        async with self._taking:
            if self._keeper is None:
                await self._write(HELD, self._ttl_s)
                self._keeper = asyncio.create_task(self._refresh(), name="fabric-lease")

    def reconnected(self) -> None:
        """The server was away: refresh at once."""
        if self._keeper is not None:
            self._link.spawn(self._refresh_once(), "fabric-lease-refresh")

    async def close(self) -> None:
        """Release it, if it is held: everybody sees our agents leave at once."""
        if self._keeper is None:
            return
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        self._keeper = None
        if self._link.connection.is_up:
            with contextlib.suppress(FabricError):  # it ends by itself
                await self._write(RELEASED, RELEASED_KEPT_S)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self.refresh_s)
            await self._refresh_once()

    async def _refresh_once(self) -> None:
        try:
            await self._write(HELD, self._ttl_s)
        except FabricError as error:  # there is another chance before it ends
            log.warning("the lease of %s was not refreshed: %s", self._link.process, error)

    async def _write(self, state: bytes, ttl_s: int) -> None:
        header = f"NATS/1.0\r\nNats-TTL: {ttl_s}s\r\n\r\n".encode()
        timeout_s = min(self.refresh_s, 5.0)
        reply = await self._link.connection.request(self._subject, state, header=header, timeout_s=timeout_s)
        if not stored_at(reply.data):
            raise InternalError(f"the lease was not stored: {reply.data.decode('utf-8', 'replace')}")


async def lease_held(link: Link, holder: str) -> bool:
    """Whether the process `<connection>.<process>` holds its lease now. Raises Refused, Unreachable."""
    stored = await link.reader.last(REGISTRY_STREAM, f"fab.lease.{holder}")
    return stored is not None and is_held(stored.header, stored.data)


def is_held(header: bytes, data: bytes) -> bool:
    """Whether a message of the registry says that a lease is held; else it was released, or has ended."""
    return not value_in(header, b"Nats-Marker-Reason") and data == HELD
