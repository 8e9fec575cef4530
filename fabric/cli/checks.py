"""What `fabric doctor` looks at. Each check answers with findings; none of them changes anything.

In: this machine, the configuration, and the fabric that runs here, if one does. Out: `Finding`s.
"""

import asyncio
import json
import logging
import platform
import secrets
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

import fabric
from fabric.address import Address, running_fabric
from fabric.cli.client import name_of
from fabric.config import Config, load_config
from fabric.edge import Edge
from fabric.errors import FabricError, PortInUse, Unreachable
from fabric.holders import check_free
from fabric.jetstream.connection import Connection
from fabric.node.binary import check_version, find_server, server_version
from fabric.node.edges import build_edges, known_edges
from fabric.subjects import inbox_prefix
from fabric_codecs.names import encode_level

__all__ = ["Finding", "environment", "running", "settings"]

Status = Literal["ok", "note", "warn", "fail"]
_ANSWER_TIMEOUT_S = 5.0
_HISTORY = (
    "a credential without a channel restriction reads all history of its tenant; one restricted to some "
    "channels reads none, as no subject permission sees the pattern in a read's body"
)


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `fail`: something does not work; `warn`: it works and may surprise."""

    check: str
    status: Status
    says: str


async def environment() -> AsyncIterator[Finding]:
    """Python, the import name, nats-server."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()}")
    yield _import_name()
    try:
        program = find_server()
        version = await server_version(program)
        check_version(version)
        yield Finding("nats-server", "ok", f"{version} ({program})")
    except FabricError as error:
        yield Finding("nats-server", "fail", str(error))


def _import_name() -> Finding:
    """PyPI's `fabric`, a tool for SSH, installs the same import name: whichever was installed last wins."""
    home = Path(fabric.__file__).parent
    try:
        other = distribution("fabric")
    except PackageNotFoundError:
        return Finding("import name", "ok", f"`import fabric` is this one ({home})")
    return Finding(
        "import name",
        "fail",
        f"the SSH tool `fabric` {other.version} is installed here too and overwrites `import fabric`: "
        "`pip uninstall fabric`, then install agent-message-fabric again",
    )


def settings(file: Path | None) -> Iterator[Finding]:
    """The configuration as `fabric up` would read it, and whether its ports are free."""
    try:
        config = load_config(file, edge_names=known_edges())
        edges = build_edges(config)
    except FabricError as error:
        yield Finding("configuration", "fail", str(error))
        return
    names = ", ".join(edge.name for edge in edges) or "none"
    yield Finding("configuration", "ok", f"data in {config.home}; edges: {names}")
    if running_fabric(config.home) is None:
        for name, host, port in _listeners(config, edges):
            yield _port(name, host, port)


def _listeners(config: Config, edges: Sequence[Edge]) -> Iterator[tuple[str, str, int]]:
    yield "health", config.node.host, config.node.port
    if not config.nats.url:
        yield "nats", config.nats.host, config.nats.port
    for edge in edges:
        where = urlsplit(edge.address if "://" in edge.address else f"//{edge.address}")
        if where.hostname and where.port:
            yield edge.name, where.hostname, where.port


def _port(name: str, host: str, port: int) -> Finding:
    try:
        check_free(name, host, port)
    except PortInUse as error:
        return Finding(f"port {port}", "fail", str(error))
    return Finding(f"port {port}", "ok", f"free for {name}")


async def running(address: Address) -> AsyncIterator[Finding]:
    """What a fabric that runs promises."""
    servers = address.nats_url.split(",")
    name = name_of(address.creds)
    connection = Connection(
        servers,
        name=name,
        inbox=inbox_prefix(encode_level(name)),
        credentials=address.creds or None,
    )
    try:
        info = await _server_info(servers[0])
        check_version(info["version"])
        await connection.open()
    except FabricError as error:
        yield Finding("nats", "fail", str(error))
        return
    try:
        yield Finding("nats", "ok", f"nats-server {info['version']} at {address.nats_url}")
        if not info.get("jetstream"):
            yield Finding("jetstream", "fail", "is off on this server: start it with `-js`")
        yield _enforcement(await _is_enforced(connection, name))
    finally:
        await connection.close()
    yield Finding("history", "note", _HISTORY)
    yield _receipt(address.sync_interval_s)
    if address.health_url:
        yield await asyncio.to_thread(_health, f"{address.health_url}/healthz")
    for edge, where in address.edges.items():
        yield Finding(edge, "ok", where)


def _health(url: str) -> Finding:
    """What the node says of itself; its 503 names what is wrong."""
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT_S):
            return Finding("health", "ok", url)
    except urllib.error.HTTPError as error:
        with error:
            problems = json.load(error).get("problems", {})
        says = "; ".join(f"{part}: {problem}" for part, problem in problems.items())
        return Finding("health", "fail", f"{url}: {says or error}")
    except (OSError, ValueError) as error:
        return Finding("health", "fail", f"{url} does not answer: {error}")


async def _server_info(url: str) -> dict[str, Any]:
    """What a NATS server says of itself to whoever connects, before anybody has shown a credential."""
    where = urlsplit(url if "://" in url else f"nats://{url}")
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(where.hostname, where.port or 4222)
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        info: dict[str, Any] = json.loads(line.removeprefix(b"INFO "))
    except TimeoutError as error:
        raise Unreachable(url, f"no answer within {_ANSWER_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise Unreachable(url, error.strerror or str(error)) from error
    except ValueError as error:
        raise Unreachable(url, "what answers there is no NATS server") from error
    return info


async def _is_enforced(connection: Connection, name: str) -> bool:
    """Whether the server refuses a message put into an inbox by its name, which only a reply may reach."""
    outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def settle(enforced: bool) -> None:
        if not outcome.done():
            outcome.set_result(enforced)

    subject = f"{inbox_prefix(encode_level(name))}.doctor.{secrets.token_hex(4)}"
    connection.on_denied.append(lambda verb, subject: settle(True))
    logging.getLogger("fabric.connection").setLevel(logging.ERROR)  # the refusal is what we are after
    connection.subscribe(subject, lambda *_: settle(False))
    connection.writer.publish(subject.encode(), b"", b"", b"")
    connection.wake()
    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
        return await outcome


def _enforcement(enforced: bool) -> Finding:
    if enforced:
        return Finding("names", "ok", "enforced: a credential speaks and listens only under its own names")
    return Finding(
        "names",
        "warn",
        "unenforced: this server lets anybody speak as anybody; `fabric up` without --nats enforces",
    )


def _receipt(sync_interval_s: float | None) -> Finding:
    survives = (
        "a Receipt proves that the message is in nats-server's stream: it survives a kill -9 of every process"
    )
    if sync_interval_s is None:
        says = f"{survives}; what a power cut may cost is this server's sync_interval (NATS's default: 120 s)"
    elif sync_interval_s == 0:
        says = f"{survives}, and a power cut"
    else:
        says = f"{survives}; a power cut may cost the last {sync_interval_s:g} s (nats.sync_interval_s)"
    return Finding("receipt", "note", says)
