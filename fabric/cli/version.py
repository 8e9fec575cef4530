"""`fabric version`: what to write into a report."""

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from fabric.cli.client import run
from fabric.cli.output import emit, json_option
from fabric.errors import FabricError
from fabric.node.binary import find_server, server_version

__all__ = ["command", "versions"]

_PACKAGES = ("agent-message-fabric", "nats-py", "uvloop", "msgspec")


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Versions of the fabric and of what it runs on."""
    found = versions()
    if as_json:
        emit(found)
        return
    for name, number in found.items():
        click.echo(f"{name:22} {number}")


def versions() -> dict[str, str]:
    """Name -> version, or why there is none."""
    found = {package: _package(package) for package in _PACKAGES}
    try:
        found["nats-server"] = run(server_version(find_server()))
    except FabricError as error:
        found["nats-server"] = str(error)
    return {**found, "python": platform.python_version(), "platform": platform.platform(terse=True)}


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
