"""Dead letters on a real server, and `fabric dead`: nothing is settled before its letter is stored, and
redriving puts one message back, once."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fabric.client import Fabric
from fabric.client.dead import DeadLetter, bury
from fabric.connect import connect
from fabric.errors import CallFailed, NoSuchLetter, Refused
from fabric.jetstream.layout import DEAD_STREAM, JOBS_PER_SOURCE, put_stream, streams
from fabric.jetstream.server import ApiError, delete_message, requester
from fabric.rules.letters import Origin
from fabric.subjects import durable, inbox, job
from fabric_codecs.envelope import Envelope
from helpers.cli import fabric, fabric_up
from helpers.lane import connected, opened
from helpers.queues import queue_node
from helpers.server import RunningServer
from helpers.waiting import until


@pytest.fixture
async def node(server: RunningServer) -> AsyncIterator[None]:
    async with queue_node(server):
        yield


@asynccontextmanager
async def both(server: RunningServer, name: str) -> AsyncIterator[Fabric]:
    async with opened(server, name, credentials=server.credentials(name, queues=(name,))) as found:
        yield found


async def letters(fab: Fabric, holder: str) -> list[DeadLetter]:
    return [letter async for letter in fab.dead.letters(holder=holder)]


async def kill(fab: Fabric, count: int = 1) -> list[DeadLetter]:
    """Have so many jobs die."""
    for number in range(count):
        await fab.queue(fab.name).put(b"%d" % number, id=f"job-{number}")
    done = 0
    async for taken in fab.queue(fab.name).work():
        await taken.dead("nobody can")
        done += 1
        if done == count:
            break
    return await letters(fab, fab.name)


pytestmark = pytest.mark.usefixtures("node")


async def test_a_redriven_job_lives_again_once_and_knows_its_earlier_life(server: RunningServer) -> None:
    async with both(server, "dl-again") as fab:
        (letter,) = await kill(fab)
        receipt = await fab.dead.redrive(letter.number)
        assert receipt.id == f"dead-{letter.number}"
        assert await letters(fab, "dl-again") == []
        with pytest.raises(NoSuchLetter):
            await fab.dead.redrive(letter.number)
        async for taken in fab.queue("dl-again").work():
            assert (taken.id, taken.data, taken.source) == (receipt.id, b"0", "dl-again")
            await taken.dead("still nobody")
            break
        (second,) = await letters(fab, "dl-again")
        assert second.ancestors == ("job-0",)
        await fab.dead.redrive(second.number)
        async for taken in fab.queue("dl-again").work():
            assert taken.envelope.header("Fab-Ancestors") == f"job-0 {receipt.id}"
            await taken.ack()
            break
        assert await letters(fab, "dl-again") == []


async def test_a_redrive_into_a_full_queue_is_refused_and_the_letter_stays(server: RunningServer) -> None:
    async with both(server, "dl-full") as fab:
        (letter,) = await kill(fab)
        for _ in range(JOBS_PER_SOURCE):
            await fab.queue("dl-full").put(b"x")
        with pytest.raises(Refused) as refused:
            await fab.dead.redrive(letter.number)
        assert refused.value.reason == "full"
        assert [one.number for one in await letters(fab, "dl-full")] == [letter.number]


async def test_burying_again_after_a_crash_writes_one_letter(server: RunningServer) -> None:
    origin = Origin("Q", 4711, job("dl-crash", "n0", "dl-crash"))
    header = Envelope(b"", id="1", source="/nats/dl-crash", type="t").nats_header()
    async with both(server, "dl-crash") as fab:
        receipts = [
            await bury(fab, "queue", "dl-crash", origin, header, b"x", cause="boom", attempts=1)
            for _ in range(2)
        ]
        assert [receipt.duplicate for receipt in receipts] == [False, True]
        assert len(await letters(fab, "dl-crash")) == 1


async def test_a_job_is_settled_only_when_its_letter_is_stored(private_server: RunningServer) -> None:
    config = next(stream for stream in streams() if stream["name"] == DEAD_STREAM)
    base = {"storage": "file", "num_replicas": 1, "allow_direct": True, **config}

    async with queue_node(private_server), both(private_server, "dl-keep") as fab:
        async with connected(private_server, "node", credentials=private_server.node_creds) as admin:
            await put_stream(requester(admin), {**base, "max_bytes": 1})
            await fab.queue("dl-keep").put(b"x")
            worker = fab.queue("dl-keep").work()
            await worker.start()
            taken = await worker._next()
            assert taken is not None
            await taken.dead("nobody can")
            assert worker.account.dead == 0
            states = await fab.session.ask("queue", "dl-keep", {"list": True})
            assert states[0]["depth"] == 1, "the job is still there"
            await put_stream(requester(admin), base)
            again = await worker._next()
            assert again is not None
            await again.dead("nobody can")
            await until(lambda: worker.account.dead == 1, "it is buried")
            await worker.close()
        assert len(await letters(fab, "dl-keep")) == 1


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("queue", job("other", "n0", "victim")),
        ("inbox", inbox("victim", "dl-forge")),
        ("queue", durable("victim", "a.b.c")),
    ],
)
async def test_a_letter_cannot_put_a_message_where_its_holder_may_not(
    server: RunningServer, kind: str, subject: str
) -> None:
    header = Envelope(b"", id=subject, source="/nats/victim", type="t").nats_header()
    async with both(server, "dl-forge") as fab:
        origin = Origin("Q", sum(subject.encode()), subject)  # another place, another letter
        receipt = await bury(fab, kind, "dl-forge", origin, header, b"x", cause="c", attempts=1)  # type: ignore[arg-type]
        number = receipt.sequence
        with pytest.raises(CallFailed, match="cannot be from there"):
            await fab.dead.redrive(number)
        assert (await fab.dead.letter(number)).origin == origin


async def test_what_a_member_gave_up_is_said_again_in_the_name_of_who_redrives(server: RunningServer) -> None:
    header = Envelope(b"", id="old", source="/nats/somebody", type="t", subject="dl.news").nats_header()
    origin = Origin("CH_0", 3, durable("somebody", "dl.news"))
    async with both(server, "dl-member") as fab, fab.channel("dl.news").join() as member:
        receipt = await bury(fab, "member", "reader", origin, header, b"x", cause="c", attempts=1)
        await fab.dead.redrive(receipt.sequence)
        said = await anext(member)
        assert (said.data, said.source, said.id) == (b"x", "/nats/dl-member", f"dead-{receipt.sequence}")
        assert await letters(fab, "reader") == []


async def test_a_letter_that_there_is_not_is_told(server: RunningServer) -> None:
    async with both(server, "dl-none") as fab:
        with pytest.raises(NoSuchLetter):
            await fab.dead.letter(10**9)
        with pytest.raises(NoSuchLetter):
            await fab.dead.redrive(10**9)


async def test_a_letter_that_another_node_removed_first_is_no_failure(server: RunningServer) -> None:
    async with connected(server, "dl-twice", credentials=server.node_creds) as connection:
        reply = await connection.request("fab.dead.queue.dl-twice.dl-twice", b"{}")
        number = json.loads(reply.data)["seq"]
        for _ in range(2):
            await delete_message(connection, DEAD_STREAM, number)
        await delete_message(connection, DEAD_STREAM, 10**9)
        with pytest.raises(ApiError, match="stream not found"):
            await delete_message(connection, "NO_SUCH_STREAM", 1)


async def test_queues_and_letters_are_listed_and_letters_redriven_from_the_shell(tmp_path: Path) -> None:
    async with fabric_up(tmp_path) as up:
        async with connect("cli-queue", url=up["nats_url"], credentials=up["creds"]) as fab:
            found = await kill(fab, 3)
            await fab.queue("waiting").put(b"x")
        (queue,) = [
            one for one in (await fabric(tmp_path, "ls", "--queues", "--json")).lines() if one["depth"]
        ]
        assert (queue["name"], queue["sources"]) == ("waiting", {"cli-queue": 1})
        assert "waiting  1 jobs" in (await fabric(tmp_path, "ls", "--queues")).out
        numbers = [letter.number for letter in found]
        listed = await fabric(tmp_path, "dead", "ls", "--holder", "cli-queue", "--json")
        assert [line["number"] for line in listed.lines()] == numbers
        assert "nobody can" in (await fabric(tmp_path, "dead", "ls")).out
        (shown,) = (await fabric(tmp_path, "dead", "show", str(numbers[0]), "--json")).lines()
        assert (shown["cause"], shown["data"], shown["attempts"]) == ("nobody can", "0", 1)
        one = await fabric(tmp_path, "dead", "redrive", str(numbers[0]), "--json")
        assert (one.code, one.lines()[0]["number"]) == (0, numbers[0])
        again = await fabric(tmp_path, "dead", "redrive", str(numbers[0]))
        assert (again.code, f"no dead letter {numbers[0]}" in again.err) == (3, True)
        rest = await fabric(tmp_path, "dead", "redrive", "--holder", "cli-queue", "--json")
        assert [line["number"] for line in rest.lines()] == numbers[1:]
        assert (await fabric(tmp_path, "dead", "redrive")).code == 2
        assert "no dead letters" in (await fabric(tmp_path, "dead", "ls")).err
