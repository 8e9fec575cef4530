"""Inboxes at their limits: copies, forgeries, full queues, unwritten records, requests too far."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fabric import subjects
from fabric.client import Letter
from fabric.client import session as session_module
from fabric.client.inboxes import graves, letter_queue
from fabric.client.inboxes import keeper as inbox_keeper
from fabric.client.inboxes import owner as inbox_owner
from fabric.client.inboxes.custody import record_subject
from fabric.errors import CallFailed, Fenced, InternalError, PermissionDenied, Refused
from fabric.jetstream.state import State
from fabric.rules.accounts import Account
from fabric.rules.channels import repair
from helpers.inbox_world import InboxNode, letters_of, owning, served
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "TICK_S", 0.05)
    monkeypatch.setattr(inbox_owner, "PURGE_QUIET_S", 0.1)


@pytest_asyncio.fixture
async def node(server: RunningServer) -> AsyncIterator[InboxNode]:
    async with served(server) as node:
        yield node


async def test_a_second_copy_of_a_letter_is_withheld_and_leaves_the_log(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ibe-copy") as sender, owning(server, "ibe-copies") as inbox:
        header = sender.inbox("ibe-copies").envelope(b"x", {}).nats_header()
        marked = header.replace(b"\r\n", b"\r\nFab-Retry: 1\r\n", 1)
        for block in (header, marked):
            await sender.session.connection.request(
                subjects.inbox("ibe-copies", "ibe-copy"), b"x", header=block
            )
        await sender.inbox("ibe-copies").send("y")
        assert [letter.data for letter in await letters_of(inbox, 2)] == [b"x", b"y"]
        await inbox.commit()
        assert inbox.copies == 1
        assert inbox.account == Account(accepted=2, delivered=1)
    assert await node.in_log("ibe-copies") == 1


async def test_a_letter_that_says_another_source_than_its_credential_is_dead(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ibe-forger") as sender, owning(server, "ibe-target") as inbox:
        forged = sender.inbox("ibe-target").envelope(b"x", {}).replace(None, source="/nats/somebody")
        with pytest.raises(PermissionDenied, match="on_behalf_of"):
            await sender.inbox("ibe-target").leave(forged)
        await sender.session.connection.request(
            subjects.inbox("ibe-target", "ibe-forger"), b"x", header=forged.nats_header()
        )
        await sender.inbox("ibe-target").send("good")
        assert [letter.data for letter in await letters_of(inbox, 1)] == [b"good"]
        await until(lambda: inbox.account.dead == 1, "it is dead")
        assert inbox.forged == 1
    causes = [letter.cause async for letter in node.fabric.dead.letters(kind="inbox", holder="ibe-target")]
    assert causes == ["its source attribute is not the credential's name"]


async def test_a_dead_letter_is_put_back_into_its_inbox(server: RunningServer, node: InboxNode) -> None:
    async with opened(server, "ibe-again") as sender, owning(server, "ibe-redrive", attempts_max=1) as inbox:
        await sender.inbox("ibe-redrive").send("x")
        (letter,) = await letters_of(inbox, 1)
        inbox.put_back(letter, cause="not now")
        await until(lambda: inbox.account.dead == 1, "it is dead")
        (dead,) = [one async for one in node.fabric.dead.letters(kind="inbox", holder="ibe-redrive")]
        await node.fabric.dead.redrive(dead.number)
        (again,) = await letters_of(inbox, 1)
        assert (again.data, again.sender) == (b"x", "ibe-again")


@pytest.mark.parametrize(("limit", "value"), [("LETTERS_MAX", 8), ("BYTES_MAX", 4000)])
async def test_letters_that_find_no_room_in_memory_come_from_the_log_in_order(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(letter_queue, limit, value)
    for patience in ("QUIET_S", "PROBE_EVERY_S", "READ_BACK_AFTER_S"):
        monkeypatch.setattr(repair, patience, 1000.0)  # nothing but a full queue has the log read
    agent, page_bytes = f"ibe-queue-{value}", (8 if limit == "LETTERS_MAX" else 128) * 500
    async with opened(server, "ibe-fast") as sender, owning(server, agent, letters_max=10_000) as inbox:
        async with sender.inbox(agent).publisher() as out:
            for number in range(200):
                await out.send(b"%03d" % number + bytes(497))
        held = inbox._keeper.queued_bytes
        assert held <= 4000 + page_bytes
        got = [int(letter.data[:3]) for letter in await letters_of(inbox, 200)]
        assert got == list(range(200))


async def test_all_inboxes_of_a_process_share_one_bound(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_keeper, "QUEUED_BYTES_MAX", 2000)
    async with opened(server, "ibe-bytes") as sender, opened(server, "*", credentials=server.creds) as fabric:
        agents = [fabric.agent(f"ibe-share-{number}") for number in range(3)]
        async with fabric.crew(agents):
            inboxes = [agent.inbox() for agent in agents]
            for inbox in inboxes:
                await inbox.__aenter__()
            for agent in agents:
                async with sender.inbox(agent.name).publisher() as out:
                    for _ in range(20):
                        await out.send(bytes(500))
            assert inboxes[0]._keeper.queued_bytes <= 2000 + 3 * 500
            for inbox in inboxes:
                assert len(await letters_of(inbox, 20)) == 20
                await inbox.close()


async def test_no_letter_is_handed_out_while_too_many_ends_are_not_written(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_owner, "UNCOMMITTED_MAX", 4)
    monkeypatch.setattr(inbox_keeper, "COMMIT_S", 0.01)
    written = asyncio.Event()
    put = State.put

    async def late(self: State, *args: object, **more: object) -> int:
        await written.wait()
        return await put(self, *args, **more)  # type: ignore[arg-type]

    got: list[bytes] = []
    async with (
        opened(server, "ibe-pace") as sender,
        owning(server, "ibe-unwritten", handler=lambda letter: got.append(letter.data)) as inbox,
    ):
        monkeypatch.setattr(State, "put", late)
        for number in range(10):
            await sender.inbox("ibe-unwritten").send(f"{number}")
        await until(lambda: inbox.in_hand == 6, "four ended, six wait")
        assert got == [b"0", b"1", b"2", b"3"]
        written.set()
        await until(lambda: inbox.account.delivered == 10, "all ended")


async def test_a_commit_that_fails_is_made_again(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_keeper, "COMMIT_S", 0.01)
    monkeypatch.setattr(inbox_owner, "PURGE_QUIET_S", 1000.0)  # else a quiet moment would commit it
    failing = 3
    put = State.put

    async def lost(self: State, subject: str, value: bytes, **more: int) -> int:
        nonlocal failing
        revision = await put(self, subject, value, **more)  # type: ignore[arg-type]
        if failing and ".inbox." in subject:
            failing -= 1
            raise Refused("timeout", unknown=True, detail="the answer was lost")
        return revision

    got: list[Letter] = []
    async with opened(server, "ibe-lost") as sender, owning(server, "ibe-retry", handler=got.append) as inbox:
        monkeypatch.setattr(State, "put", lost)
        await sender.inbox("ibe-retry").send("0")
        await until(lambda: not failing, "it was tried again")
        await sender.inbox("ibe-retry").send("1")
        await until(lambda: inbox.account.delivered == 2, "both ended")
        await inbox.commit()
        assert (await node.record("ibe-retry")).account == Account(accepted=2, delivered=2)


async def test_settling_reaches_no_other_inbox(server: RunningServer, node: InboxNode) -> None:
    async with opened(server, "ibe-sly") as sly:
        await sly.inbox("ibe-mine").send("x")
        await sly.inbox("ibe-sly").send("to myself")
        for source in ("*", "a.b", ">", "", "a b"):
            with pytest.raises(CallFailed, match="one token"):
                await sly.session.ask("settle", "ibe-sly", {"floors": {source: 1_000_000}})
        with pytest.raises(CallFailed, match="sources in a request"):
            await sly.session.ask("settle", "ibe-sly", {"floors": {f"s{at}": 1 for at in range(2000)}})
        with pytest.raises((CallFailed, Refused)):
            await sly.session.ask("settle", "ibe-mine", {"floors": {"ibe-sly": 1_000_000}}, timeout_s=1.0)
        assert await sly.session.ask("settle", "ibe-sly", {"floors": {"ibe-sly": 1_000_000}}) == {"purged": 1}
    assert await node.in_log("ibe-mine") == 1


async def test_a_record_that_cannot_be_read_is_said(server: RunningServer, node: InboxNode) -> None:
    await node.session.state.put(record_subject("ibe-broken"), b"{", expected=0)
    with pytest.raises(InternalError, match="cannot be read"):
        async with owning(server, "ibe-broken"):
            pass


async def test_a_letter_ends_dead_only_once_its_dead_letter_is_stored(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graves, "RETRY_S", 0.01)
    bury, refusals = graves.bury, [Refused("full", detail="no room")] * 2

    async def refused_twice(*args: object, **more: object) -> object:
        assert inbox.account.dead == 0
        if refusals:
            raise refusals.pop()
        return await bury(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(graves, "bury", refused_twice)
    async with opened(server, "ibe-grave") as sender, owning(server, "ibe-dead", attempts_max=1) as inbox:
        await sender.inbox("ibe-dead").send("x")
        (letter,) = await letters_of(inbox, 1)
        inbox.put_back(letter)
        await until(lambda: inbox.account.dead == 1, "it is dead")
    assert not refusals
    assert len([one async for one in node.fabric.dead.letters(kind="inbox", holder="ibe-dead")]) == 1


async def test_a_closed_inbox_stays_closed_and_settles_nothing(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ibe-late") as sender, owning(server, "ibe-closed") as inbox:
        await sender.inbox("ibe-closed").send("x")
        (letter,) = await letters_of(inbox, 1)
        closing = asyncio.create_task(inbox.close())
        await asyncio.gather(closing, *(inbox.commit() for _ in range(3)))
        assert not inbox.settle(letter)
        with pytest.raises(StopAsyncIteration):
            await anext(inbox)
        record = await node.record("ibe-closed")
        assert (record.open, record.account) == (False, Account())


async def test_a_letter_that_nobody_got_because_its_taker_was_cancelled_comes_again(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(server, "ibe-asks") as sender:
        await sender.inbox("ibe-cancel").send("x")
    async with owning(server, "ibe-cancel") as inbox:
        await letters_of(inbox, 1)
        inbox._custody._tenure.fenced = Fenced("ibe-cancel", "it crashed, as this test has it")
    put, blocked = State.put, asyncio.Event()

    async def late(self: State, *args: object, **more: object) -> int:
        await blocked.wait()
        return await put(self, *args, **more)  # type: ignore[arg-type]

    async with owning(server, "ibe-cancel") as inbox:  # what a crash left is written down before it is given
        monkeypatch.setattr(State, "put", late)
        taking = asyncio.create_task(anext(inbox))
        await until(lambda: inbox._out, "it is on its way out")
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        blocked.set()
        assert [letter.data for letter in await letters_of(inbox, 1)] == [b"x"]


async def test_the_gate_is_looked_at_once_a_second_whoever_sends(server: RunningServer) -> None:
    async with opened(server, "ibe-looks") as sender:
        first, second = sender.inbox("ibe-gated"), sender.on_behalf_of("ibe-looks").inbox("ibe-gated")
        assert b"%full.ibe-gated" in first.gate_lines()
        assert (first.gate_lines(), second.gate_lines()) == (b"", b"")
        assert sender.inbox("ibe-other").gate_lines()


async def test_a_session_that_ends_closes_all_its_inboxes(server: RunningServer, node: InboxNode) -> None:
    count = 150
    async with opened(server, "*", credentials=server.creds) as fabric:
        agents = [fabric.agent(f"ibe-many-{number}") for number in range(count)]
        crew = fabric.crew(agents)
        await crew.__aenter__()
        inboxes = [agent.inbox(lambda _: None) for agent in agents]
        for inbox in inboxes:
            await inbox.__aenter__()
            await fabric.inbox(inbox.name).send("x")
        await until(lambda: all(inbox.account.delivered for inbox in inboxes), "all were handed out")
    records = [await node.record(agent.name) for agent in agents]
    assert [record.open for record in records] == [False] * count
    assert {record.account.delivered for record in records} == {1}
