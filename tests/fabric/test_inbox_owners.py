"""Owners of inboxes: one at a time, fenced when another takes over; crashes, poison, expiry, the total."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from fabric.client import Letter, OwnedInbox
from fabric.client import session as session_module
from fabric.client.inboxes import custody
from fabric.client.inboxes import keeper as inbox_keeper
from fabric.client.inboxes import owner as inbox_owner
from fabric.clock import now_us
from fabric.errors import (
    ConfigInvalid,
    Fenced,
    InvalidName,
    LimitExceeded,
    NameInUse,
    PermissionDenied,
    Refused,
)
from fabric.rules.accounts import Account
from helpers.inbox_world import InboxNode, letters_of, owning, served
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "TICK_S", 0.05)
    monkeypatch.setattr(inbox_owner, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(inbox_owner, "PURGE_QUIET_S", 0.1)
    monkeypatch.setattr(inbox_keeper, "GATE_LOOK_S", 0.0)


@pytest_asyncio.fixture
async def node(server: RunningServer) -> AsyncIterator[InboxNode]:
    async with served(server) as node:
        yield node


async def leave(
    server: RunningServer, agent: str, *letters: str, sender: str = "ibo-sender", **more: object
) -> None:
    async with opened(server, sender) as fabric:
        for letter in letters:
            await fabric.inbox(agent).send(letter, **more)  # type: ignore[arg-type]


async def dead_letters(node: InboxNode, agent: str) -> list[tuple[str, int]]:
    return [
        (letter.cause, letter.attempts)
        async for letter in node.fabric.dead.letters(kind="inbox", holder=agent)
    ]


def crash(inbox: OwnedInbox) -> None:
    """The owner's process is gone: nothing of it is written any more."""
    inbox._custody._tenure.fenced = Fenced(inbox.name, "it crashed, as this test has it")
    inbox.fail(inbox._custody.fenced)


async def test_a_second_owner_waits_for_the_first_unless_it_takes_over(
    server: RunningServer, node: InboxNode
) -> None:
    async with (
        opened(server, "ibo-two") as one,
        opened(server, "ibo-two") as two,
        one.agent("ibo-two") as first,
        first.inbox() as inbox,
    ):
        await leave(server, "ibo-two", "0", "1")
        letters = await letters_of(inbox, 2)
        await inbox.commit()
        taken = OwnedInbox(two.agent("ibo-two").identity)
        with pytest.raises(NameInUse, match="owns its inbox"):
            await taken.__aenter__()
        with pytest.raises(NameInUse):
            await first.inbox().__aenter__()  # twice in one process
        async with two.agent("ibo-two", take_over=True) as second, second.inbox() as other:
            assert [letter.data for letter in await letters_of(other, 1)] == [b"1"]
            with pytest.raises(Fenced):
                await inbox.commit()
            with pytest.raises(Fenced):
                inbox.settle(letters[1])
            with pytest.raises(Fenced):
                await anext(inbox)
            assert (await node.record("ibo-two")).process == two.session.process


async def test_letters_of_an_owner_that_crashed_come_again_with_their_attempts(
    server: RunningServer, node: InboxNode
) -> None:
    await leave(server, "ibo-crash", "0", "1", "2")
    async with owning(server, "ibo-crash") as inbox:
        await letters_of(inbox, 2)  # one settled, one out
        await inbox.commit()
        await letters_of(inbox, 1)  # settles the second, which nobody learns
        crash(inbox)
    async with owning(server, "ibo-crash") as inbox:
        letters = await letters_of(inbox, 2)
        assert [(letter.data, letter.attempts) for letter in letters] == [(b"1", 2), (b"2", 1)]
        await inbox.commit()
        assert inbox.account == Account(accepted=5, delivered=2, unknown=2)
        record = await node.record("ibo-crash")
        assert list(record.attempts.values()) == [1]  # written before it was handed out


async def test_a_letter_that_kills_each_of_its_owners_becomes_a_dead_letter(
    server: RunningServer, node: InboxNode
) -> None:
    await leave(server, "ibo-poison", "poison", "good")
    lives = 0
    while True:
        lives += 1
        async with owning(server, "ibo-poison", attempts_max=3) as inbox:
            (letter,) = await letters_of(inbox, 1)
            if letter.data == b"good":
                break
            crash(inbox)
    assert lives == 5  # the first life had no reason to write attempts down
    assert await dead_letters(node, "ibo-poison") == [("handed out 3 times and never settled", 3)]


async def test_a_letter_that_kills_its_owners_in_their_handler_becomes_a_dead_letter(
    server: RunningServer, node: InboxNode
) -> None:
    await leave(server, "ibo-killer", "poison", "good")
    got: list[bytes] = []

    def handle(letter: Letter) -> None:
        got.append(letter.data)
        if letter.data == b"poison":
            crash(inbox)

    for _ in range(6):
        async with owning(server, "ibo-killer", handler=handle, attempts_max=2) as inbox:
            await until(lambda: inbox._custody.fenced or got[-1:] == [b"good"], "it is handed out")
    assert got[:4] == [b"poison", b"poison", b"poison", b"good"]
    assert await dead_letters(node, "ibo-killer") == [("handed out 2 times and never settled", 2)]


async def test_a_handler_that_raises_gets_the_letter_again_and_at_last_it_is_dead(
    server: RunningServer, node: InboxNode
) -> None:
    seen: list[int] = []

    def handle(letter: Letter) -> None:
        seen.append(letter.attempts)
        if letter.data == b"bad":
            raise ValueError("no")

    async with owning(server, "ibo-raise", handler=handle, attempts_max=3) as inbox:
        await leave(server, "ibo-raise", "bad", "good")
        await until(lambda: inbox.account.dead == 1, "it is given up")
        assert inbox.account == Account(accepted=2, delivered=1, dead=1)
    assert seen == [1, 1, 2, 3]
    assert await dead_letters(node, "ibo-raise") == [("the handler raised ValueError: no", 3)]


async def test_what_is_put_back_comes_again_and_a_letter_of_another_inbox_is_not_ours(
    server: RunningServer, node: InboxNode
) -> None:
    await leave(server, "ibo-back", "0")
    async with owning(server, "ibo-back", settling="by_hand") as inbox:
        (letter,) = await letters_of(inbox, 1)
        assert inbox.put_back(letter, after_s=0)
        assert not inbox.put_back(letter)
        assert not inbox.settle(letter)  # it is not out any more
        (again,) = await letters_of(inbox, 1)
        assert (again.data, again.attempts) == (b"0", 2)
        stranger = Letter(letter.subject, letter.sequence, letter.header, letter.data)
        assert not inbox.settle(stranger)
        assert inbox.settle(again)


async def test_a_letter_past_its_time_is_not_handed_out_and_counted(
    server: RunningServer, node: InboxNode
) -> None:
    await leave(server, "ibo-old", "old", expires_s=-1.0)
    await leave(server, "ibo-old", "fresh", expires_s=60.0)
    async with owning(server, "ibo-old") as inbox:
        assert [letter.data for letter in await letters_of(inbox, 1)] == [b"fresh"]
        assert inbox.account == Account(accepted=2, expired=1)


async def test_a_letter_whose_time_ends_while_it_waits_is_not_handed_out(
    server: RunningServer, node: InboxNode
) -> None:
    async with owning(server, "ibo-slow", settling="by_hand", hold=1) as inbox:
        await leave(server, "ibo-slow", "first")
        (first,) = await letters_of(inbox, 1)
        await leave(server, "ibo-slow", "old", expires_s=0.2)
        over_us = now_us() + 200_000
        await leave(server, "ibo-slow", "last")
        await until(lambda: inbox.in_hand == 3 and now_us() > over_us, "its time is over")
        inbox.settle(first)
        assert [letter.data for letter in await letters_of(inbox, 1)] == [b"last"]
        assert inbox.account == Account(accepted=3, delivered=1, expired=1)


async def test_a_reply_from_an_earlier_life_is_fenced_counted_and_dead(
    server: RunningServer, node: InboxNode
) -> None:
    await leave(server, "ibo-worker", "0", "1", sender="ibo-asker")
    async with (
        owning(server, "ibo-asker") as answers,
        owning(server, "ibo-worker", settling="by_hand") as old,
    ):
        asked = await letters_of(old, 2)
        await old.reply(asked[0], "early")
        async with owning(server, "ibo-worker", take_over=True, settling="by_hand") as new:
            (again, _) = await letters_of(new, 2)
            await new.reply(again, "late")
        await old.reply(asked[1], "from before")
        got = await letters_of(answers, 2)
        assert [letter.data for letter in got] == [b"early", b"late"]
        assert got[0].envelope.causationid == asked[0].envelope.id
        await until(lambda: answers.account.dead == 1, "the late reply is dead")
        assert answers.fenced_replies == 1
    assert await dead_letters(node, "ibo-asker") == [("a reply from an earlier life of its sender", 0)]


async def test_an_inbox_with_as_many_letters_as_its_owner_allows_refuses_and_opens_again(
    server: RunningServer, node: InboxNode
) -> None:
    async with (
        opened(server, "ibo-a") as a,
        opened(server, "ibo-b") as b,
        owning(server, "ibo-total", settling="by_hand", letters_max=8) as inbox,
    ):
        for number in range(8):
            await a.inbox("ibo-total").send(f"{number}")
        await until(lambda: inbox.is_shut, "it is shut")
        await inbox.commit()
        for sender in (a, b):
            with pytest.raises(Refused, match="is shut") as caught:
                await sender.inbox("ibo-total").send("no")
            assert caught.value.reason == "full"
            assert caught.value.retry_after_ms > 0
        for letter in await letters_of(inbox, 8):
            inbox.settle(letter)
        await until(lambda: not inbox.is_shut, "it is open")
        await inbox.commit()
        await b.inbox("ibo-total").send("yes")
        assert [letter.data for letter in await letters_of(inbox, 1)] == [b"yes"]


async def test_a_log_that_began_anew_voids_the_record(server: RunningServer, node: InboxNode) -> None:
    agent = "ibo-anew"
    await leave(server, agent, "0", "1", "2")
    async with owning(server, agent) as inbox:
        await letters_of(inbox, 3)
    # What a server that lost its disk would show: a record from before, and letters with low sequences.
    record = await node.record(agent)
    record.floors = {"ibo-sender": 1_000_000}
    found = await node.session.state.get(custody.record_subject(agent))
    await node.session.state.put(
        custody.record_subject(agent), msgspec.json.encode(record), expected=found.revision
    )
    await leave(server, agent, "new")
    async with owning(server, agent) as inbox:
        assert [letter.data for letter in await letters_of(inbox, 1)] == [b"new"]
        assert inbox.account.truncated == 1


async def test_names_and_sizes_that_cannot_be_are_refused_before_anything_is_sent(
    server: RunningServer,
) -> None:
    async with opened(server, "ibo-bad") as fabric:
        with pytest.raises(InvalidName):
            fabric.inbox("")
        with pytest.raises(InvalidName):
            fabric.inbox("x" * 300)
        with pytest.raises(InvalidName):
            await fabric.inbox("ibo-x").send("live", delivery="live")
        with pytest.raises(LimitExceeded):
            await fabric.inbox("ibo-x").send(bytes(2 << 20))
        with pytest.raises(ConfigInvalid):
            fabric.agent("ibo-bad").inbox(hold=0)


async def test_only_the_agent_itself_may_own_its_inbox(server: RunningServer) -> None:
    async with opened(server, "ibo-thief") as fabric:
        thief = OwnedInbox(fabric.on_behalf_of("ibo-victim"))
        with pytest.raises((PermissionDenied, Refused)):
            await thief.__aenter__()


async def test_a_letter_sent_again_under_its_id_is_stored_once(
    server: RunningServer, node: InboxNode
) -> None:
    async with opened(server, "ibo-once") as fabric:
        first = await fabric.inbox("ibo-dup").send("x", delivery="once", id="one")
        second = await fabric.inbox("ibo-dup").send("x", delivery="once", id="one")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert await node.in_log("ibo-dup") == 1


async def test_without_a_node_letters_are_settled_and_stay_in_the_log_until_there_is_one(
    server: RunningServer,
) -> None:
    await leave(server, "ibo-alone", "0", "1")
    async with owning(server, "ibo-alone") as inbox:
        await letters_of(inbox, 2)
        await inbox.commit()
    async with served(server) as node:
        assert await node.in_log("ibo-alone") == 2
        async with owning(server, "ibo-alone") as inbox:
            assert [letter.data for letter in await letters_of(inbox, 1)] == [b"1"]
        assert await node.in_log("ibo-alone") == 1
