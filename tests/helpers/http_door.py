"""What a test of an HTTP edge needs around it: an authenticator with one token, metrics, a raw client."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry

from fabric.edge import EdgeMetrics
from fabric.errors import Unauthenticated

TOKEN = "let-me-in"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class OneToken:
    """Knows one token, and calls who has it `principal`."""

    def __init__(self, principal: str = "tester", token: str = TOKEN) -> None:
        self._principal, self._token = principal, token

    def authenticate(self, edge: str, token: str) -> str:
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise Unauthenticated(f"the {edge} edge")
        return self._principal


class Counted(EdgeMetrics):
    """Edge metrics that can be read back."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        super().__init__(self.registry)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def raw_connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection to `http://host:port...`, closed at the end."""
    host, _, port = url.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):  # the server cut it first, as some tests want
            await asyncio.wait_for(writer.wait_closed(), 5)
