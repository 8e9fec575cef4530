"""/healthz and /metrics of a node, asked over a real socket."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client import CollectorRegistry

from fabric.config import NodeSettings
from fabric.edge import EdgeMetrics
from fabric.errors import PortInUse
from fabric.node.health import HealthServer


@asynccontextmanager
async def pages(problems: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    registry = CollectorRegistry()
    server = HealthServer(NodeSettings(port=0), lambda: problems, registry, EdgeMetrics(registry))
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url) as client:
            yield client
    finally:
        await server.stop()


async def test_healthy_until_something_is_wrong_and_then_says_what() -> None:
    problems: dict[str, str] = {}
    async with pages(problems) as client:
        well = await client.get("/healthz")
        problems["nats"] = "nats-server ended with code -9"
        ill = await client.get("/healthz")
    assert (well.status_code, well.json()) == (200, {"status": "ok", "problems": {}})
    assert (ill.status_code, ill.json()) == (503, {"status": "unavailable", "problems": problems})


async def test_metrics_are_in_prometheus_text() -> None:
    async with pages({}) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'fabric_edge_connections{edge="node"}' in answer.text


async def test_other_pages_are_not_there() -> None:
    async with pages({}) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/healthz")).status_code == 405


async def test_taken_port_is_named_with_its_holder() -> None:
    registry = CollectorRegistry()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = NodeSettings(port=taken.getsockname()[1])
        server = HealthServer(settings, dict, registry, EdgeMetrics(registry))
        with pytest.raises(PortInUse, match=rf"/healthz cannot listen .*pid {os.getpid()}"):
            await server.start()
