"""The director: starts a fabric with all four edges, two agents, two devices, and plays the story once."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fabric.address import Address
from fabric.client import Fabric
from fabric.clock import monotonic
from fabric.config import load_config
from fabric.demo.devices import devices
from fabric.demo.legs import Evidence
from fabric.demo.outsiders import Record, ask, read_with_aiokafka, read_with_confluent, wrong_tokens
from fabric.errors import FabricError
from fabric.jetstream.layout import JOURNAL_STREAM
from fabric.node.credentials import Keyring
from fabric.node.edges import known_edges
from fabric.node.node import Node
from fabric.subjects import JOURNAL_ALL
from fabric_codecs.nats.headers import value_in

__all__ = ["Stage", "open_stage", "play"]

AGENTS = ("agronomist", "greenhouse")
READY_TIMEOUT_S = 20.0
SETTLE_TIMEOUT_S = 10.0
TOPIC = "story"
PAUSE_S = 0.1

Say = Callable[[str], None]


class Stage:
    """A running fabric with its agents and devices."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.address: Address = node.address
        self.tokens = {edge: Path(file).read_text().strip() for edge, file in node.address.tokens.items()}

    def port(self, edge: str) -> tuple[str, int]:
        """Host and port of an edge."""
        address = self.address.edges[edge]
        parts = urlsplit(address if "//" in address else f"//{address}")
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port


@asynccontextmanager
async def open_stage(home: Path, say: Say) -> AsyncIterator[Stage]:
    """Everything up and ready; stopped in reverse order."""
    flags = {
        "nats": {"port": 0},
        "node": {"port": 0},
        "kafka": {"topics": {TOPIC: "journal"}},
        "edges": {edge: {"port": 0} for edge in known_edges()},
    }
    os.environ["FABRIC_HOME"] = str(home)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it warns of what the demo does on purpose
    config = load_config(flags=flags, edge_names=known_edges())
    async with AsyncExitStack() as parts:
        started = monotonic()
        node = await parts.enter_async_context(Node(config))
        stage = Stage(node)
        say(f"fabric up with {', '.join(sorted(stage.address.edges))} in {monotonic() - started:.1f} s")
        await asyncio.gather(*(parts.enter_async_context(_agent(name, home, stage)) for name in AGENTS))
        say(f"agents live, each in its own process: {', '.join(AGENTS)}")
        await parts.enter_async_context(devices(*stage.port("mqtt"), stage.tokens["mqtt"]))
        say("devices connected: vent-1 over MQTT 5, valve-1 over MQTT 3.1.1")
        yield stage


@asynccontextmanager
async def _agent(name: str, home: Path, stage: Stage) -> AsyncIterator[None]:
    credentials = home / f"{name}.creds"
    credentials.touch(mode=0o600)
    credentials.write_text(Keyring.open(home).mint((name,)))
    environment = os.environ | {
        "FABRIC_URL": stage.address.nats_url,
        "FABRIC_CREDS": str(credentials),
        "DEMO_A2A_URL": stage.address.edges["a2a"],
        "DEMO_A2A_TOKEN": stage.tokens["a2a"],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fabric.demo.agents", name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        if not await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT_S):
            raise FabricError(f"the agent {name} ended before it was ready")
        yield
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), READY_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def play(stage: Stage, conversation: str, say: Say) -> Evidence:
    """The story, once. What fails is written down under its leg and judged later; the rest goes on."""
    evidence, address = Evidence(), stage.address
    say("the MCP client calls greenhouse.cool_down ...")
    try:
        evidence.answer = await ask(
            address.edges["mcp"], stage.tokens["mcp"], "greenhouse.cool_down", {"zone": "north"}, conversation
        )
    except Exception as error:  # the client's own exceptions; the verdict names the leg
        evidence.failed["mcp call"] = _words(error)
    await _read_journal(stage, conversation, evidence)
    say("two Kafka consumers read the story from offset 0 ...")
    await _read_topics(stage, evidence)
    say("four strangers try a wrong token ...")
    ports = {edge: stage.port(edge) for edge in address.edges}
    evidence.doors = await wrong_tokens(address.edges, ports)
    return evidence


async def _read_journal(stage: Stage, conversation: str, evidence: Evidence) -> None:
    session = stage.node.session
    await session.journal.flush(SETTLE_TIMEOUT_S)
    before = -1
    while len(evidence.journal) != before:  # agents write their own records: read until nothing more arrives
        before = len(evidence.journal)
        evidence.journal = [
            (
                stored.sequence,
                value_in(stored.header, b"ce-id").decode(),
                value_in(stored.header, b"Fab-Hop").decode(),
            )
            async for page in session.reader.pages(JOURNAL_STREAM, JOURNAL_ALL, 1)
            for stored in page
        ]
        await asyncio.sleep(PAUSE_S)
    evidence.story = await Fabric(session, "demo").story(conversation)
    evidence.dropped = session.journal.dropped


async def _read_topics(stage: Stage, evidence: Evidence) -> None:
    bootstrap, token, count = (
        "{}:{}".format(*stage.port("kafka")),
        stage.tokens["kafka"],
        len(evidence.journal),
    )
    readers: dict[str, Callable[[], Awaitable[list[Record]]]] = {
        "aiokafka": lambda: read_with_aiokafka(bootstrap, token, TOPIC, count),
        "librdkafka": lambda: asyncio.to_thread(read_with_confluent, bootstrap, token, TOPIC, count),
    }
    for name, read in readers.items():
        try:
            evidence.topics[name] = await read()
        except Exception as error:  # the client's own exceptions; the verdict names the leg
            evidence.failed[f"kafka {name}"] = _words(error)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def linger(stage: Stage, say: Say) -> None:
    """Say where everything is and three things to try, then wait for Ctrl-C."""
    address, tokens = stage.address, stage.address.tokens
    say("\nstill running; Ctrl-C ends it\n")
    for edge, where in sorted(address.edges.items()):
        say(f"  {edge:<6} {where:<34} token in {tokens[edge]}")
    host, port = stage.port("mqtt")
    home, command = stage.node.config.home, sys.argv[0] if sys.argv[0].endswith("fabric") else "fabric"
    say("\nthree things to try in another terminal:\n")
    say(f"  FABRIC_HOME={home} {command} ls")
    say(f'  FABRIC_HOME={home} {command} call greenhouse.cool_down \'{{"zone": "north"}}\'')
    say(f"  FABRIC_HOME={home} {command} tail 'devices.>'    # and publish to mqtt://{host}:{port}")
    await asyncio.Event().wait()
