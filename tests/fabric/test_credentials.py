"""Credentials, on a real server: every row of the table of rights is tried by its owner and by somebody else.

A refusal is the server's `-ERR`, sent before the PONG of the flush that follows, and that nothing arrived.
"""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from fabric.errors import ConfigInvalid, InvalidName
from fabric.node.credentials import Keyring
from fabric.subjects import GRANTS, QUEUE_PARTITIONS, Grant, queue_consumer
from helpers.server import RunningServer

OWNER, STRANGER = "planner", "intruder"
CHANNEL, ELSEWHERE = "greenhouse.north", "office.door"
QUEUE, OTHER_QUEUE = "reports", "bills"
BOUND_S = 10.0

WORKS = [grant for grant in GRANTS if "{q}" in grant.subject or "{p}" in grant.subject]
PUBLISHES = [
    grant
    for grant in GRANTS
    if grant.right == "publish" and not grant.subject.startswith("$JS") and grant not in WORKS
]
SUBSCRIBES = [grant for grant in GRANTS if grant.right == "subscribe"]
READS = [grant for grant in GRANTS if grant.history]


def named(grants: list[Grant]) -> Any:
    return pytest.mark.parametrize("grant", grants, ids=lambda grant: grant.subject)


def example(grant: Grant, name: str = OWNER, channel: str = CHANNEL, queue: str = QUEUE) -> str:
    """A subject that the row is about, with nothing left open."""
    consumer = queue_consumer(queue, QUEUE_PARTITIONS[0])
    subject = grant.subject.format(n=name, c=channel, q=queue, p=consumer).replace("*", "0")
    return subject[:-1] + "reg.somebody" if subject.endswith(">") else subject


class Peer:
    """A stock client and what the server refused it."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.client: Client

    async def note(self, error: Exception) -> None:
        self.refusals.append(str(error).lower())

    async def flush(self) -> None:
        # Twice: nats-py's PING overtakes what is still in its own buffer, so the first PONG proves nothing.
        await self.client.flush(BOUND_S)
        await self.client.flush(BOUND_S)

    async def publish(self, subject: str, data: bytes = b"{}") -> None:
        await self.client.publish(subject, data)
        await self.flush()

    async def subscribe(self, subject: str) -> "asyncio.Queue[bytes]":
        arrived: asyncio.Queue[bytes] = asyncio.Queue()

        async def keep(message: Any) -> None:
            arrived.put_nowait(message.data)

        await self.client.subscribe(subject, cb=keep)
        await self.flush()
        return arrived


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Not the session's server: what these tests write into the registry is no record."""
    running = RunningServer(tmp_path_factory.mktemp("credentials"))
    running.start()
    yield running
    running.stop()


@asynccontextmanager
async def connected(server: RunningServer, creds: str, inbox: str = "any") -> AsyncIterator[Peer]:
    peer = Peer()
    peer.client = await nats.connect(
        server.url, user_credentials=creds, inbox_prefix=f"_INBOX.{inbox}".encode(), error_cb=peer.note
    )
    try:
        yield peer
    finally:
        await peer.client.close()


async def received(arrived: "asyncio.Queue[bytes]") -> bytes:
    async with asyncio.timeout(BOUND_S):
        return await arrived.get()


async def publish_is(allowed: bool, server: RunningServer, creds: str, subject: str) -> None:
    """A witness sees the message; or the server says no, and only the witness's own mark arrives."""
    async with connected(server, server.node_creds) as witness, connected(server, creds) as peer:
        seen = await witness.subscribe(subject)
        await peer.publish(subject, b"tried")
        await witness.publish(subject, b"mark")
        assert await received(seen) == (b"tried" if allowed else b"mark")
        assert bool(peer.refusals) is not allowed
        assert all("permissions violation for publish" in refusal for refusal in peer.refusals)


async def subscribe_is(allowed: bool, server: RunningServer, creds: str, subject: str) -> None:
    async with connected(server, server.node_creds) as witness, connected(server, creds) as peer:
        seen = await peer.subscribe(subject)
        await witness.publish(subject, b"told")
        await peer.flush()
        if allowed:
            assert await received(seen) == b"told"
            assert not peer.refusals
        else:
            assert "permissions violation for subscription" in peer.refusals[0]
            assert seen.empty()


@named(PUBLISHES)
async def test_owner_publishes_what_it_needs(own_server: RunningServer, grant: Grant) -> None:
    await publish_is(True, own_server, own_server.credentials(OWNER), example(grant))


@named(PUBLISHES)
async def test_stranger_cannot_publish_in_anothers_name(own_server: RunningServer, grant: Grant) -> None:
    assert "{n}" in grant.subject, "a subject that carries no source says nothing about who published"
    await publish_is(False, own_server, own_server.credentials(STRANGER), example(grant))


@named(PUBLISHES)
async def test_local_default_publishes_in_every_name(own_server: RunningServer, grant: Grant) -> None:
    await publish_is(True, own_server, own_server.creds, example(grant))


@named(SUBSCRIBES)
async def test_owner_hears_what_it_needs(own_server: RunningServer, grant: Grant) -> None:
    await subscribe_is(True, own_server, own_server.credentials(OWNER), example(grant))


@named([grant for grant in SUBSCRIBES if "{n}" in grant.subject])
async def test_stranger_cannot_hear_what_is_meant_for_another(
    own_server: RunningServer, grant: Grant
) -> None:
    await subscribe_is(False, own_server, own_server.credentials(STRANGER), example(grant))


@named([grant for grant in GRANTS if grant.channels])
@pytest.mark.parametrize(
    "channels", [(CHANNEL,), ("greenhouse.>",), ("*.north",)], ids=lambda names: names[0]
)
async def test_restricted_credential_keeps_to_its_channels(
    own_server: RunningServer, grant: Grant, channels: tuple[str, ...]
) -> None:
    creds = own_server.credentials(OWNER, channels=channels)
    attempt = publish_is if grant.right == "publish" else subscribe_is
    await attempt(True, own_server, creds, example(grant))
    await attempt(False, own_server, creds, example(grant, channel=ELSEWHERE))


@named([grant for grant in GRANTS if grant.channels])
async def test_pattern_with_a_tail_includes_the_channel_itself(
    own_server: RunningServer, grant: Grant
) -> None:
    creds = own_server.credentials(OWNER, channels=("greenhouse.>",))
    attempt = publish_is if grant.right == "publish" else subscribe_is
    await attempt(True, own_server, creds, example(grant, channel="greenhouse"))


def of_stream(grant: Grant, stream: str) -> str:
    return grant.subject.replace(">", stream).replace("*", stream)


@named(WORKS)
async def test_a_queue_is_worked_by_whoever_may(own_server: RunningServer, grant: Grant) -> None:
    worker = own_server.credentials(OWNER, queues=(QUEUE,))
    await publish_is(True, own_server, worker, example(grant))
    await publish_is(True, own_server, own_server.creds, example(grant))
    await publish_is(False, own_server, worker, example(grant, queue=OTHER_QUEUE))
    await publish_is(False, own_server, own_server.credentials(OWNER), example(grant))


@named(READS)
async def test_history_is_read_by_whoever_may(own_server: RunningServer, grant: Grant) -> None:
    async with connected(own_server, own_server.credentials(OWNER), OWNER) as peer:
        ack = json.loads(
            (await peer.client.request(f"fab.ch.0.{OWNER}.{CHANNEL}", b"kept", timeout=BOUND_S)).data
        )
        query = json.dumps({"seq": ack["seq"]}).encode()
        is_message = "DIRECT" in grant.subject
        answer = await peer.client.request(
            of_stream(grant, ack["stream"]), query if is_message else b"", timeout=BOUND_S
        )
        found = answer.data if is_message else json.loads(answer.data)["state"]["last_seq"]
        assert found == (b"kept" if is_message else ack["seq"])
        assert not peer.refusals


@named(READS)
@pytest.mark.parametrize(
    "limits", [{"history": False}, {"channels": (CHANNEL,)}], ids=["asked", "restricted"]
)
async def test_credential_without_history_cannot_read_it(
    own_server: RunningServer, grant: Grant, limits: dict[str, Any]
) -> None:
    await publish_is(False, own_server, own_server.credentials(OWNER, **limits), of_stream(grant, "CH_0"))


@pytest.mark.parametrize("limits", [{}, {"channels": (CHANNEL,)}], ids=["ordinary", "restricted"])
async def test_everybody_reads_the_registry(own_server: RunningServer, limits: dict[str, Any]) -> None:
    async with connected(own_server, own_server.credentials(OWNER, **limits), OWNER) as peer:
        ack = json.loads((await peer.client.request(f"fab.reg.{OWNER}", b"card", timeout=BOUND_S)).data)
        query = json.dumps({"seq": ack["seq"]}).encode()
        assert (await peer.client.request("$JS.API.DIRECT.GET.REG", query, timeout=BOUND_S)).data == b"card"


async def test_agent_answers_a_call_as_often_as_it_likes(own_server: RunningServer) -> None:
    async with (
        connected(own_server, own_server.credentials("robot"), "robot") as agent,
        connected(own_server, own_server.credentials(OWNER), OWNER) as caller,
    ):

        async def answer(call: Any) -> None:
            for part in (b"1", b"2", b"done"):
                await agent.client.publish(call.reply, part)

        await agent.client.subscribe("fab.call.robot.*", cb=answer)
        await agent.flush()
        replies = await caller.subscribe(f"_INBOX.{OWNER}.call-1")
        await caller.client.publish(f"fab.call.robot.{OWNER}", b"go", reply=f"_INBOX.{OWNER}.call-1")
        assert [await received(replies) for _ in range(3)] == [b"1", b"2", b"done"]
        assert not agent.refusals


async def test_nobody_publishes_to_an_inbox_by_its_name(own_server: RunningServer) -> None:
    await publish_is(False, own_server, own_server.credentials("robot"), f"_INBOX.{OWNER}.forged")


async def test_nobody_answers_a_call_made_to_another(own_server: RunningServer) -> None:
    await subscribe_is(False, own_server, own_server.credentials(STRANGER), "fab.call.robot.*")


@pytest.mark.parametrize(
    "subject", ["$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.DELETE.CH_0", "$JS.API.STREAM.PURGE.CH_0"]
)
async def test_ordinary_credential_cannot_change_streams(own_server: RunningServer, subject: str) -> None:
    for creds in (own_server.credentials(OWNER), own_server.creds):
        async with connected(own_server, creds) as peer:
            await peer.publish(subject)
            assert "permissions violation" in peer.refusals[0]


async def test_several_names_in_one_credential(own_server: RunningServer) -> None:
    creds = own_server.credentials("left", "right")
    for name in ("left", "right"):
        await publish_is(True, own_server, creds, f"fab.reg.{name}")
    await publish_is(False, own_server, creds, "fab.reg.middle")


async def test_name_with_a_dot_is_one_token(own_server: RunningServer) -> None:
    creds = own_server.credentials("site.7")
    await publish_is(True, own_server, creds, "fab.reg.site%2E7")
    await publish_is(False, own_server, creds, "fab.reg.site")


async def test_star_in_a_name_is_no_wildcard(own_server: RunningServer) -> None:
    await publish_is(False, own_server, own_server.credentials("pl*"), "fab.reg.planner")


async def turned_away(server: RunningServer, creds: str | None) -> None:
    client = Client()
    with pytest.raises(NatsError):
        await client.connect(server.url, user_credentials=creds, allow_reconnect=False)
    await client.close()


async def test_expired_credential_is_not_let_in(own_server: RunningServer) -> None:
    await turned_away(own_server, own_server.credentials(OWNER, expires_s=-60))


async def test_no_credential_is_not_let_in(own_server: RunningServer) -> None:
    await turned_away(own_server, None)


async def test_credential_of_another_deployment_is_not_let_in(
    own_server: RunningServer, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.creds"
    foreign.write_text(Keyring.open(tmp_path).mint(OWNER))
    await turned_away(own_server, str(foreign))


def test_keys_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    trust = Keyring.open(tmp_path / "home")
    again = Keyring.open(tmp_path / "home")
    keys = tmp_path / "home" / "keys.json"
    assert trust.public_keys() == again.public_keys()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"operator": "SO"}', '{"operator": 1}', "\0"])
def test_damaged_keys_are_named_with_the_remedy(tmp_path: Path, damage: str) -> None:
    (tmp_path / "keys.json").write_text(damage)
    with pytest.raises(ConfigInvalid, match=r"keys\.json.*delete it"):
        Keyring.open(tmp_path)


@pytest.mark.parametrize("names", ["", (), ("",), ("a", ""), "n" * 257, "\ud800"])
def test_name_that_cannot_be_one_is_refused(tmp_path: Path, names: str | tuple[str, ...]) -> None:
    with pytest.raises(InvalidName):
        Keyring.open(tmp_path).mint(names)


@pytest.mark.parametrize("channel", ["a..b", "a.>.b", "", "x" * 2000])
def test_channel_that_cannot_be_one_is_refused(tmp_path: Path, channel: str) -> None:
    with pytest.raises(InvalidName):
        Keyring.open(tmp_path).mint("planner", channels=[channel])
