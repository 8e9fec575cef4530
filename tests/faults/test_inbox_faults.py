"""Inboxes through real faults: whatever is killed or cut, every letter that was accepted ends, once."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from fabric.client import Fabric, Inbox, Receipt
from fabric.client import session as session_module
from fabric.client.channels import catchup
from fabric.client.inboxes import owner as inbox_owner
from fabric.errors import Refused
from fabric.jetstream import watchdog
from fabric.rules.channels import repair
from helpers.inbox_world import owning, served
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import until

TOO_LONG_S = 40.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    monkeypatch.setattr(session_module, "TICK_S", 0.05)
    monkeypatch.setattr(catchup, "READ_RETRY_S", 0.05)
    monkeypatch.setattr(inbox_owner, "PURGE_QUIET_S", 0.1)
    monkeypatch.setattr(repair, "QUIET_S", 0.1)
    monkeypatch.setattr(repair, "PROBE_EVERY_S", 0.2)


async def leave(inbox: Inbox, number: int) -> Receipt:
    """Leave a letter; again while there is no room, or nobody knows what became of it."""
    while True:
        try:
            return await inbox.send(b"%d" % number, delivery="once", id=f"letter-{number}")
        except Refused as error:
            if not error.retriable:
                raise
            await asyncio.sleep(error.retry_after_ms / 10_000)


async def leave_all(fabric: Fabric, agent: str, count: int) -> set[str]:
    """The ids of the letters with a Receipt; 16 at once."""
    inbox, numbers, accepted = fabric.inbox(agent), iter(range(count)), set()

    async def some() -> None:
        for number in numbers:
            accepted.add((await leave(inbox, number)).id)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(some())
    return accepted


@pytest.mark.timeout(2 * TOO_LONG_S)
async def test_no_letter_is_lost_or_ends_twice_when_the_server_is_killed(
    private_server: RunningServer,
) -> None:
    seen: Counter[str] = Counter()
    server, agent, count = private_server, "ibf-server", 1200
    async with (
        served(server) as node,
        opened(server, "ibf-sender") as sender,
        owning(server, agent, handler=lambda letter: seen.update([letter.envelope.id])) as inbox,
    ):
        sending = asyncio.create_task(leave_all(sender, agent, count))
        for share in (1, 2):
            await until(lambda share=share: inbox.account.delivered >= count * share // 4, "letters come")
            await server.kill_and_restart()
        async with asyncio.timeout(TOO_LONG_S):
            accepted = await sending
        await until(lambda: inbox.account.delivered == count, "all letters ended", TOO_LONG_S)
        assert len(accepted) == count
        assert seen == Counter(accepted)
        await inbox.commit()
        assert (await node.record(agent)).account == inbox.account
        assert inbox.account.in_flight == inbox.account.unknown == 0
    assert await _empty(server, agent)


@pytest.mark.timeout(2 * TOO_LONG_S)
async def test_no_letter_is_lost_or_ends_twice_over_a_link_that_loses_and_breaks(
    server: RunningServer,
) -> None:
    seen: Counter[str] = Counter()
    agent, count, chance = "ibf-link", 1200, random.Random(5).random
    async with (
        served(server),
        Proxy(server.url) as proxy,
        opened(server, "ibf-link-sender") as sender,
        owning(
            server, agent, url=proxy.url, handler=lambda letter: seen.update([letter.envelope.id])
        ) as inbox,
    ):
        proxy.drop = lambda subject, _header, _data: subject.startswith(b"fab.ibo.") and chance() < 0.2
        sending = asyncio.create_task(leave_all(sender, agent, count))
        for share in (1, 2, 3):
            await until(lambda share=share: inbox.account.delivered >= count * share // 4, "letters come")
            proxy.cut()
        accepted = await sending
        await until(lambda: inbox.account.delivered == count, "all letters ended", TOO_LONG_S)
        assert seen == Counter(accepted)
        assert proxy.dropped > 0
    assert await _empty(server, agent)


@pytest.fixture
def _no_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what the test is about has the log read."""
    for patience in ("QUIET_S", "PROBE_EVERY_S", "READ_BACK_AFTER_S"):
        monkeypatch.setattr(repair, patience, 1000.0)


@pytest.mark.usefixtures("_no_probes")
async def test_what_was_left_while_the_owners_link_was_down_is_read_when_it_is_back(
    server: RunningServer,
) -> None:
    seen: list[bytes] = []
    async with (
        served(server),
        Proxy(server.url) as proxy,
        opened(server, "ibf-down-sender") as sender,
        owning(server, "ibf-down", url=proxy.url, handler=lambda letter: seen.append(letter.data)) as inbox,
    ):
        await proxy.go_away()
        for number in range(5):
            await sender.inbox("ibf-down").send(f"{number}")
        await proxy.come_back()
        await until(lambda: len(seen) == 5, "they are read")
        await until(lambda: inbox.account.delivered == 5, "they ended")


async def test_a_lost_letter_is_found_although_as_many_others_left_the_log(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "READ_BACK_AFTER_S", 1000.0)
    seen: list[bytes] = []
    async with (
        served(server) as node,
        Proxy(server.url) as proxy,
        opened(server, "ibf-loud") as loud,
        opened(server, "ibf-quiet") as quiet,
        owning(server, "ibf-hole", url=proxy.url, handler=lambda letter: seen.append(letter.data)) as inbox,
    ):
        monkeypatch.setattr(repair, "QUIET_S", 1000.0)  # until one letter is lost and another is gone
        proxy.drop = lambda subject, _header, _data: subject.endswith(b".ibf-quiet")
        await loud.inbox("ibf-hole").send("heard")
        await quiet.inbox("ibf-hole").send("lost")
        await until(lambda: inbox.account.delivered == 1, "one came")
        await until(lambda: not inbox._custody.letters.spent, "it left the log")
        assert await node.in_log("ibf-hole") == 1
        monkeypatch.setattr(repair, "QUIET_S", 0.1)
        await until(lambda: seen == [b"heard", b"lost"], "the other was found")


@pytest.mark.timeout(2 * TOO_LONG_S)
async def test_what_owners_that_were_killed_had_in_hand_comes_again_and_nothing_is_lost(
    server: RunningServer, tmp_path: Path
) -> None:
    agent, count, file = "ibf-owner", 1500, tmp_path / "seen"
    file.touch()

    def had() -> list[str]:
        return file.read_text().splitlines()

    async with served(server) as node, opened(server, "ibf-owner-sender") as sender:
        sending = asyncio.create_task(leave_all(sender, agent, count))
        for share in (1, 2, 3):
            process = await _owner(server, agent, file)
            await until(lambda share=share: len(had()) >= count * share // 4, "letters come", TOO_LONG_S)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        last: list[str] = []
        async with owning(
            server, agent, take_over=True, handler=lambda letter: last.append(letter.envelope.id)
        ) as inbox:
            accepted = await sending
            await until(lambda: inbox.account.delivered == count, "all letters ended", TOO_LONG_S)
            assert inbox.epoch == 4
            assert 0 < inbox.account.unknown <= 3 * (inbox_owner.UNCOMMITTED_MAX + 1)
        times = Counter([*had(), *last])
        assert times.keys() == accepted
        assert sum(times.values()) - count <= inbox.account.unknown  # at least once: what was not committed
        assert (await node.record(agent)).account.in_flight == 0
        assert await node.in_log(agent) == 0


async def _owner(server: RunningServer, agent: str, file: Path) -> asyncio.subprocess.Process:
    command = (
        sys.executable,
        "-m",
        "helpers.inbox_process",
        server.url,
        server.credentials(agent),
        agent,
        file,
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return await asyncio.create_subprocess_exec(*map(str, command), env=place)


async def _empty(server: RunningServer, agent: str) -> bool:
    async with served(server) as node:
        return await node.in_log(agent) == 0
