"""The audit: accounts of those who hold messages, beside what the log says."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from fabric import subjects
from fabric.client import Fabric, Finding
from fabric.client.audit import unsettled
from fabric.client.channels.durable import cursor_subject
from fabric.client.queues.job import Job
from fabric.errors import PermissionDenied
from fabric.rules.accounts import Account, Extent, Holder
from fabric.rules.channels.cursor import CursorRecord
from helpers.cli import fabric as command
from helpers.inbox_world import served
from helpers.lane import opened
from helpers.queues import queue_node
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


async def finding_of(fabric: Fabric, name: str) -> Finding:
    (finding,) = [one for one in await fabric.audit(fabric.name) if one.name == name]
    return finding


async def put(fabric: Fabric, kind: str, key: str, holder: Holder) -> None:
    subject = subjects.state(fabric.token, kind, key)
    stored = await fabric.session.state.get(subject)
    await fabric.session.state.put(subject, msgspec.json.encode(holder), expected=stored.revision)


async def test_a_live_member_is_shown_with_what_it_has_and_what_waits(server: RunningServer) -> None:
    async with opened(server, "aud-live") as fabric:
        channel = fabric.channel("aud.live")
        for number in range(5):
            await channel.publish(b"%d" % number)
        async with channel.join(durable="auditor", since="beginning") as member:
            first = await anext(member)
            await member.settle(first)
            found = await finding_of(fabric, "auditor")
            assert (found.kind, found.owner, found.state, found.epoch) == ("cursor", "aud-live", "live", 1)
            assert found.account.delivered == 1
            assert found.in_log == 4
            assert found.in_flight + (found.waiting or 0) == 4
            assert found.balanced
        closed = await finding_of(fabric, "auditor")
        assert (closed.state, closed.in_flight, closed.waiting, closed.balanced) == ("closed", 0, 4, True)


async def test_the_log_is_counted_beyond_a_position_subject_by_subject(server: RunningServer) -> None:
    credentials = server.credentials("aud-one", "aud-two")
    async with opened(server, "aud-one", credentials=credentials) as fabric:
        name, stream = "aud.beyond", f"CH_{subjects.shard('aud.beyond')}"
        one, two = fabric.channel(name), fabric.on_behalf_of("aud-two").channel(name)
        sequences = [(await channel.publish(b"x")).sequence for channel in (one, two, one, two, one)]
        filters = subjects.stored_filters(name, subjects.shard(name))
        above = {subjects.durable("aud-one", name): sequences[2]}
        extents = [Extent(stream, filters[0], sequences[0], above=above)]
        assert await unsettled(fabric.session.reader, extents) == 3  # two of `two`, the last of `one`
        extents[0].settled = 2
        assert await unsettled(fabric.session.reader, extents) == 1


@pytest.mark.parametrize("kind", ["inbox", "queue"])
async def test_holders_of_every_kind_are_shown(server: RunningServer, kind: str) -> None:
    async with opened(server, f"aud-{kind}") as fabric:
        holder = Holder(name="mine", process="p", epoch=2, open=False, account=Account(accepted=3, dead=3))
        await put(fabric, kind, "some.key", holder)
        found = await finding_of(fabric, "mine")
        assert (found.kind, found.key, found.state, found.balanced) == (kind, "some.key", "closed", True)
        assert found.account.dead == 3


async def test_the_account_of_an_inbox_holds(server: RunningServer) -> None:
    async with (
        served(server),
        opened(server, "aud-sender") as sender,
        opened(server, "aud-box") as fabric,
        fabric.agent("aud-box") as me,
        me.inbox() as inbox,
    ):
        for number in range(3):
            await sender.inbox("aud-box").send(b"%d" % number)
        async with asyncio.timeout(BOUND_S):
            for _ in range(2):  # the first is settled
                await anext(inbox)
        await inbox.commit()
        found = await finding_of(fabric, "aud-box")
        assert (found.kind, found.state, found.account.delivered) == ("inbox", "live", 1)
        assert (found.in_log, found.balanced) == (2, True)


async def test_the_account_of_a_queues_worker_holds(server: RunningServer) -> None:
    credentials = server.credentials("aud-work", queues=("aud-work",))
    async with queue_node(server), opened(server, "aud-work", credentials=credentials) as fabric:
        queue, gate = fabric.queue("aud-work"), asyncio.Event()
        for number in range(3):
            await queue.put(b"%d" % number)

        async def handle(job: Job) -> None:
            if job.data != b"0":
                await gate.wait()

        worker = queue.work(handle)

        async def work() -> None:
            await worker

        working = asyncio.create_task(work())
        await until(lambda: worker.account.delivered == 1, "the first is settled")
        async with asyncio.timeout(BOUND_S):
            while not (found := await fabric.audit("aud-work")):
                pass  # its record is written once a second
        assert [(one.kind, one.state, one.balanced) for one in found] == [("queue", "live", True)]
        gate.set()
        await until(lambda: worker.account.delivered == 3, "all are")
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        (closed,) = await fabric.audit("aud-work")
        assert (closed.state, closed.account.delivered, closed.in_log, closed.balanced) == (
            "closed",
            3,
            0,
            True,
        )


async def test_an_account_that_lost_something_does_not_hold(server: RunningServer) -> None:
    async with opened(server, "aud-lost") as fabric:
        channel = fabric.channel("aud.lost")
        await channel.publish(b"1")
        async with channel.join(durable="auditor", since="beginning") as member:
            await anext(member)
        subject = cursor_subject(fabric.token, "auditor", "aud.lost")
        record = msgspec.json.decode((await fabric.session.state.get(subject)).value, type=CursorRecord)
        record.account.accepted += 1  # taken up, neither ended nor in the log
        await put(fabric, "cursor", subject.split(".", 4)[4], record)
        found = await finding_of(fabric, "auditor")
        assert (found.in_flight, found.in_log, found.balanced) == (1, 0, False)


async def test_a_life_that_crashed_is_called_so(server: RunningServer) -> None:
    async with opened(server, "aud-crash") as fabric:
        await put(fabric, "queue", "q", Holder(name="w", process="gone", epoch=1, connection="aud-crash"))
        assert (await finding_of(fabric, "w")).state == "crashed"


async def test_records_that_are_no_holders_are_left_out(server: RunningServer) -> None:
    async with opened(server, "aud-other") as fabric:
        await fabric.session.state.put(subjects.state(fabric.token, "inbox", "x"), b"{}", expected=0)
        await fabric.session.state.put(subjects.state(fabric.token, "queue", "y"), b"no json", expected=0)
        assert await fabric.audit("aud-other") == []


async def test_without_the_right_to_history_the_audit_says_so(server: RunningServer) -> None:
    credentials = server.credentials("aud-blind", history=False)
    async with opened(server, "aud-blind", credentials=credentials) as fabric:
        with pytest.raises(PermissionDenied):
            await fabric.audit()


async def test_the_command_shows_accounts_and_ends_with_one_when_a_sum_does_not_hold(
    private_server: RunningServer, tmp_path: Path
) -> None:
    where = ("--url", private_server.url, "--creds", private_server.creds)
    nobody = await command(tmp_path, "audit", *where)
    assert (nobody.code, nobody.out) == (0, ""), nobody
    assert "nobody holds messages" in nobody.err
    async with opened(private_server, "aud-cli") as fabric:
        channel = fabric.channel("aud.cli")
        await channel.publish(b"1")
        async with channel.join(durable="auditor", since="beginning") as member:
            await anext(member)
        shown = await command(tmp_path, "audit", *where)
        assert shown.code == 0
        head, row = shown.out.splitlines()
        assert head.split()[:2] == ["holder", "state"]
        assert " ".join(row.split()) == "cursor auditor of aud-cli closed 1 1 0 0 0 0 0 0 holds"
        unknown = await command(tmp_path, "audit", "somebody-else", *where)
        assert (unknown.code, unknown.out) == (0, "")
        await put(fabric, "queue", "q", Holder(name="w", process="p", epoch=1, account=Account(accepted=4)))
        broken = await command(tmp_path, "audit", *where, "--json")
        assert broken.code == 1
        assert [(one["name"], one["balanced"]) for one in broken.lines()] == [("auditor", True), ("w", False)]
        assert (await command(tmp_path, "audit", "auditor", *where)).code == 0
