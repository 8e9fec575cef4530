"""`/healthz` and `/metrics` of a node.

In: questions to ask the node, and a registry. Out: two pages. `/healthz` answers 200 when everything
answers, 503 and what is wrong otherwise. Neither tells secrets, and both listen on loopback unless the
configuration says so.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fabric.config import NodeSettings
from fabric.edge import EdgeMetrics
from fabric.errors import PortInUse
from fabric_bridges.http.app import HttpServer
from fabric_bridges.http.config import HttpSettings

__all__ = ["HealthServer"]

Problems = Callable[[], Mapping[str, str]]


class HealthServer:
    """`problems()` answers with what is wrong, by the part that has it; nothing when all is well."""

    def __init__(
        self, settings: NodeSettings, problems: Problems, registry: CollectorRegistry, metrics: EdgeMetrics
    ) -> None:
        self._settings, self._problems, self._registry = settings, problems, registry
        app = Starlette(routes=[Route("/healthz", self._healthz), Route("/metrics", self._metrics)])
        listener = HttpSettings(host=settings.host, port=settings.port)
        self._server = HttpServer("node", app, listener, metrics)

    @property
    def url(self) -> str:
        """Where the pages are; without a path."""
        return self._server.url

    async def start(self) -> None:
        """Returns when the pages can be asked for. Raises PortInUse."""
        try:
            await self._server.start()
        except PortInUse as error:
            raise PortInUse("the node's /healthz", error.host, error.port, error.holder) from error

    async def stop(self, grace_s: float = 1.0) -> None:
        """Safe to call twice."""
        await self._server.stop(grace_s)

    async def _healthz(self, request: Request) -> Response:
        problems = dict(self._problems())
        status = "unavailable" if problems else "ok"
        return JSONResponse({"status": status, "problems": problems}, status_code=503 if problems else 200)

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
