"""Inboxes on a real server: letters wait, are handed out, end once, and leave the log."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fabric.client import Letter, Receipt
from fabric.client.inboxes import owner as inbox_owner
from fabric.errors import Refused
from fabric.jetstream.layout import INBOX_LETTERS_PER_SOURCE
from fabric.rules.accounts import Account
from helpers.inbox_world import InboxNode, letters_of, owning, served
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import until


@pytest_asyncio.fixture
async def node(server: RunningServer) -> AsyncIterator[InboxNode]:
    async with served(server) as node:
        yield node


def texts(letters: list[Letter]) -> list[str]:
    return [letter.data.decode() for letter in letters]


async def test_letters_left_for_an_agent_that_never_was_are_there_when_it_comes(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ib-early") as sender:
        receipts = [await sender.inbox("ib-late").send(f"{number}") for number in range(3)]
    assert [receipt.stream[:3] for receipt in receipts] == ["IB_"] * 3
    async with owning(server, "ib-late") as inbox:
        letters = await letters_of(inbox, 3)
        assert texts(letters) == ["0", "1", "2"]
        assert {letter.sender for letter in letters} == {"ib-early"}
        assert letters[0].envelope.subject == "ib-late"
        assert letters[0].envelope.id == receipts[0].id


async def test_a_letter_is_settled_when_the_iteration_comes_back_and_comes_again_when_it_does_not(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ib-sender") as sender:
        for number in range(3):
            await sender.inbox("ib-again").send(f"{number}")
    async with owning(server, "ib-again") as inbox:
        assert texts(await letters_of(inbox, 2)) == ["0", "1"]
    async with owning(server, "ib-again") as inbox:
        letters = await letters_of(inbox, 2)
        assert texts(letters) == ["1", "2"]
        assert [letter.attempts for letter in letters] == [2, 1]
        assert inbox.epoch == 2
        await inbox.commit()
        assert inbox.account == Account(accepted=3, delivered=2)
    record = await node.record("ib-again")
    assert record.account == Account(accepted=2, delivered=2)  # what was out went back to the log
    assert not record.open
    assert await node.in_log("ib-again") == 1


async def test_what_is_settled_leaves_the_log_and_makes_room_for_its_source(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_owner, "PURGE_QUIET_S", 1000.0)  # it does not wait for a quiet moment
    count = 3 * INBOX_LETTERS_PER_SOURCE
    got: list[bytes] = []
    refused: list[Refused] = []
    async with (
        owning(server, "ib-room", handler=lambda letter: got.append(letter.data)) as inbox,
        opened(server, "ib-many") as sender,
    ):
        to = sender.inbox("ib-room")
        for number in range(count):
            while True:
                try:
                    await to.send(b"%d" % number)
                    break
                except Refused as error:
                    refused.append(error)
                    await until(lambda: inbox.in_hand == 0, "the owner is through")
        await until(lambda: len(got) == count, "all letters came")
        await until(lambda: inbox.account.delivered == count, "all are settled")
    assert got == [b"%d" % number for number in range(count)]
    assert all((error.reason, error.depth) == ("full", 256) for error in refused)
    assert await node.in_log("ib-room") == 0


async def test_the_server_refuses_a_source_that_has_left_its_part_and_takes_another(
    server: RunningServer,
) -> None:
    outcomes: list[Receipt | Refused] = []
    async with opened(server, "ib-flood") as flood, opened(server, "ib-other") as other:
        async with flood.inbox("ib-full").publisher(on_outcome=lambda _, it: outcomes.append(it)) as out:
            for _ in range(300):
                await out.send(b"x")
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        assert len(outcomes) - len(refused) == INBOX_LETTERS_PER_SOURCE
        assert {(error.reason, error.depth, error.share) for error in refused} == {("full", 256, 1.0)}
        assert isinstance(await other.inbox("ib-full").send(b"y"), Receipt)


async def test_letters_are_handled_at_once_by_hand_and_end_in_any_order(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ib-hand") as sender:
        for number in range(5):
            await sender.inbox("ib-byhand").send(f"{number}")
    async with owning(server, "ib-byhand", settling="by_hand", hold=4) as inbox:
        letters = await letters_of(inbox, 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(inbox), 0.05)  # four are out
        assert inbox.settle(letters[2])
        assert not inbox.settle(letters[2])
        assert texts(await letters_of(inbox, 1)) == ["4"]
        assert inbox.settle(letters[0])
        await inbox.commit()
    async with owning(server, "ib-byhand", settling="by_hand") as inbox:
        again = await letters_of(inbox, 3)
        assert texts(again) == ["1", "3", "4"]
        assert not inbox.settle(letters[1])  # of another life
        assert inbox.settle(again[0])
