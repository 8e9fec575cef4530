"""The edges of a node: found by the entry point `fabric.bridges`, started in order, stopped together.

In: the configuration and a `House`. Out: running listeners. Unaware of protocols: a package that brings an
entry point is an edge. Whatever goes wrong names the edge.
"""

import asyncio
import errno
import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from fabric.config import Config
from fabric.edge import Edge, House
from fabric.errors import ConfigInvalid, FabricError, InternalError

__all__ = ["Edges", "build_edges", "known_edges"]

log = logging.getLogger(__name__)

GROUP = "fabric.bridges"
_STOP_SLACK_S = 2.0  # for closing what is left after the grace; a person at Ctrl-C waits no longer


def known_edges() -> list[str]:
    """The names of the installed edges, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def build_edges(config: Config) -> list[Edge]:
    """The enabled edges, not yet started. Raises ConfigInvalid naming the edge and what to mend."""
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name in config.edges:
        if name not in entries:
            known = ", ".join(sorted(entries)) or "none: install the project (`pip install -e .`)"
            raise ConfigInvalid(f"[edges.{name}]", f"no such edge; known are {known}")
    return [_build(entry, config) for name, entry in sorted(entries.items()) if config.edge(name).enabled]


def _build(entry: EntryPoint, config: Config) -> Edge:
    try:
        factory = entry.load()
    except ModuleNotFoundError as error:
        raise ConfigInvalid(
            f"[edges.{entry.name}]",
            f"the edge needs the module {error.name}, which is missing; install it, or say enabled = false",
        ) from error
    except Exception as error:  # anything at all can happen while a module is imported; the edge is to blame
        raise InternalError(
            f"the {entry.name} edge cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    edge: Edge = factory(config.edge(entry.name).options)
    return edge


class Edges:
    """The running edges of a node."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._edges = list(edges)
        self._running: list[Edge] = []

    def addresses(self) -> dict[str, str]:
        """Where the clients of each running edge connect."""
        return {edge.name: edge.address for edge in self._running}

    async def start(self, house: House) -> None:
        """Start them in order. The error of one that fails says which it was; `stop` ends those before it."""
        for edge in self._edges:
            try:
                await edge.start(house)
            except Exception as error:
                raise _named(edge.name, error) from error
            self._running.append(edge)

    async def stop(self, grace_s: float) -> None:
        """Stop them all together; one that takes much longer than its grace is left. Safe to call twice."""
        running, self._running = self._running, []
        stops = (asyncio.wait_for(edge.stop(grace_s), grace_s + _STOP_SLACK_S) for edge in running)
        outcomes = await asyncio.gather(*stops, return_exceptions=True)
        for edge, outcome in zip(running, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                log.error("the %s edge did not stop cleanly", edge.name, exc_info=outcome)


def _named(edge: str, error: Exception) -> FabricError:
    if isinstance(error, FabricError):
        return error
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return ConfigInvalid(f"[edges.{edge}]", f"its port is taken: {error}")
    return InternalError(f"the {edge} edge did not start: {type(error).__name__}: {error}")
