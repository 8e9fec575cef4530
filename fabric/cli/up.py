"""`fabric up`: a node in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import click

from fabric.address import Address
from fabric.cli.client import run
from fabric.cli.output import emit, json_option, note
from fabric.config import Config, load_config, parse_value
from fabric.errors import ConfigInvalid
from fabric.node.edges import known_edges
from fabric.node.node import Node

__all__ = ["command"]


@click.command("up")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Instead of ./fabric.toml.")
@click.option("--edges", metavar="NAMES", help="Only these, by commas: mcp,mqtt. `none` for no edge at all.")
@click.option("--nats", metavar="URL", help="Use this NATS server instead of one of our own.")
@click.option("--nats-port", metavar="PORT", help="Of our own server; 0 = any free one.")
@click.option("--port", metavar="PORT", help="Of /healthz and /metrics; 0 = any free one.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting: edges.mcp.port=9000."
)
@json_option
def command(
    file: Path | None,
    edges: str | None,
    nats: str | None,
    nats_port: str | None,
    port: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start a fabric here and keep it running until Ctrl-C.

    Settings: defaults, then fabric.toml, then FABRIC_<SECTION>_<KEY> variables, then these options.
    """
    named = {"nats.url": nats, "nats.port": nats_port, "node.port": port}
    flags: dict[str, Any] = {}
    for key, value in named.items():
        if value is not None:
            _put(flags, key, value)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key.count(".") < 1:
            raise ConfigInvalid(f"--set {setting}", "must be SECTION.KEY=VALUE, such as nats.port=4223")
        _put(flags, key, parse_value(value))
    if edges is not None:
        _choose(flags, edges)
    config = load_config(file, flags=flags, edge_names=known_edges())
    run(serve(config, as_json=as_json))


async def serve(config: Config, *, as_json: bool = False) -> None:
    """Run a node until this process is told to stop. A second signal ends it without waiting."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        async with Node(config) as node:
            emit(node.address) if as_json else _announce(node)
            try:
                await asyncio.Event().wait()
            finally:
                note("stopping: draining the edges")
    except asyncio.CancelledError:
        note("stopped")


def _announce(node: Node) -> None:
    address = node.address
    whose = (
        f"nats-server {node.server.version}, its own" if node.server else "somebody else's, names unenforced"
    )
    click.echo(f"The fabric is up (pid {address.pid}).")
    click.echo(f"  {'nats':8} {address.nats_url}  ({whose})")
    for edge, where in address.edges.items():
        click.echo(f"  {edge:8} {where}{_token_hint(address, edge)}")
    click.echo(f"  {'health':8} {address.health_url}/healthz  and  {address.health_url}/metrics")
    click.echo("Ctrl-C stops it. Try `fabric ls`, or `fabric tail '>'` and `fabric pub hello.world hi`.")


def _token_hint(address: Address, edge: str) -> str:
    return f"  token in {address.tokens[edge]}" if edge in address.tokens else ""


def _choose(flags: dict[str, Any], edges: str) -> None:
    chosen = [] if edges == "none" else [name.strip() for name in edges.split(",")]
    known = known_edges()
    for name in chosen:
        if name not in known:
            raise ConfigInvalid(f"--edges {name}", f"no such edge; known are {', '.join(known)}, or none")
    for name in known:
        _put(flags, f"edges.{name}.enabled", name in chosen)


def _put(flags: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    section = flags
    for name in sections:
        section = section.setdefault(name, {})
    section[key] = value
