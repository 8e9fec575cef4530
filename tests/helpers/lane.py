"""The lane and the client library, opened for one test and closed after it, on any URL: often a proxy's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fabric.client import Fabric, Session
from fabric.jetstream.connection import Connection
from fabric.subjects import inbox_prefix
from helpers.server import RunningServer

__all__ = ["connected", "opened"]


@asynccontextmanager
async def connected(
    server: RunningServer, name: str, *, url: str | None = None, credentials: str | None = None
) -> AsyncIterator[Connection]:
    """A bare connection with an ordinary credential for its name."""
    connection = Connection(
        [url or server.url],
        name=name,
        inbox=inbox_prefix(name),
        credentials=credentials or server.credentials(name),
    )
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def opened(
    server: RunningServer,
    name: str,
    *,
    url: str | None = None,
    credentials: str | None = None,
    **settings: Any,
) -> AsyncIterator[Fabric]:
    """The fabric under a name, with an ordinary credential for it; `settings` are those of `Session`."""
    session = Session(
        [url or server.url],
        name=name,
        credentials=credentials or server.credentials(name),
        **settings,
    )
    await session.open()
    try:
        yield Fabric(session, name)
    finally:
        await session.close()
