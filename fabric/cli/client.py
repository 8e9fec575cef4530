"""What the commands that talk to a running fabric share: options, connection, loop.

The fabric is the one that --url and --creds name, else FABRIC_URL and FABRIC_CREDS, else the one that runs
on this machine. None is started: that is `fabric up`.
"""

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from fabric.address import locate
from fabric.cli.output import json_option
from fabric.client import Fabric
from fabric.connect import connect
from fabric.errors import ConfigInvalid, Unreachable

__all__ = ["Target", "client_options", "connected", "name_of", "run"]

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

_EVERY_NAME, _OWN_NAME = "*", "cli"  # a credential for every name lets us choose one


class Target:
    """Which fabric, and under which name."""

    def __init__(self, url: str | None, creds: str | None, name: str | None) -> None:
        self.url, self.creds, self.name = url, creds, name


def client_options(function: Function) -> Function:
    """--url, --creds and --name, handed over as `target`, and --json as `as_json`."""

    @click.option(
        "--url", metavar="URL", help="The NATS server; else FABRIC_URL, else the fabric that runs here."
    )
    @click.option("--creds", metavar="FILE", help="A credentials file; else FABRIC_CREDS.")
    @click.option(
        "--name", metavar="NAME", help="Speak under this name; else the credential's own, else `cli`."
    )
    @json_option
    @functools.wraps(function)
    def wrapped(url: str | None, creds: str | None, name: str | None, **rest: Any) -> Any:
        return function(target=Target(url, creds, name), **rest)

    return wrapped  # type: ignore[return-value]  # the same function for click's purposes


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Fabric]:
    """A connection for the length of a command. Raises Unreachable when no fabric runs here and none is
    named."""
    address = locate(target.url, target.creds)
    if address is None:
        raise Unreachable("this machine", "no fabric is running here")
    name = target.name or name_of(address.creds)
    async with connect(name, url=address.nats_url, credentials=address.creds or None) as fabric:
        yield fabric


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work on uvloop: here only, as a library has no business choosing the loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def name_of(creds: str) -> str:
    """The name in a credentials file: the only one under which it may speak, unless it is for every name."""
    if not creds:
        return _OWN_NAME
    try:
        lines = Path(creds).expanduser().read_text().splitlines()
        claims = lines[lines.index("-----BEGIN NATS USER JWT-----") + 1].split(".")[1]
        name = str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["name"])
    except (OSError, ValueError, LookupError) as error:
        raise ConfigInvalid(creds, f"is no credentials file: {error}") from error
    return _OWN_NAME if name == _EVERY_NAME else name
