"""One life at a time writes a holder's record, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fabric import subjects
from fabric.client import Fabric, tenure
from fabric.client.tenure import Tenure
from fabric.errors import Fenced, LimitExceeded, NameInUse, Refused
from fabric.jetstream.state import Record
from fabric.rules.accounts import Account, Holder
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer


def tenure_of(fabric: Fabric) -> Tenure[Holder]:
    return Tenure(fabric.session, subjects.state(fabric.token, "queue", "mine"), Holder)


def record_of(fabric: Fabric, *, accepted: int = 0, open: bool = True) -> Holder:
    link = fabric.session
    return Holder(
        name="mine",
        process=link.process,
        connection=link.token,
        epoch=1,
        open=open,
        account=Account(accepted=accepted),
    )


@asynccontextmanager
async def two(server: RunningServer, name: str) -> AsyncIterator[tuple[Fabric, Fabric]]:
    async with opened(server, name) as one, opened(server, name) as other:
        yield one, other


async def test_the_first_life_finds_nothing_and_the_next_one_its_record(server: RunningServer) -> None:
    async with two(server, "ten-next") as (one, other):
        first = tenure_of(one)
        assert await first.claim() is None
        await first.write(record_of(one, accepted=3))
        await first.write(record_of(one, accepted=4, open=False))
        later = tenure_of(other)
        former = await later.claim()
        assert former is not None
        assert former.account.accepted == 4
        assert later.former_at


async def test_a_live_holder_keeps_its_record_and_is_named(server: RunningServer) -> None:
    async with two(server, "ten-live") as (one, other):
        first = tenure_of(one)
        await first.claim()
        await first.write(record_of(one))
        for fabric in (one, other):
            with pytest.raises(NameInUse, match=one.session.process):
                await tenure_of(fabric).claim()
        assert await tenure_of(other).claim(take_over=True) is not None


async def test_the_former_holder_is_fenced_when_it_writes_and_when_it_asks(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(server, "ten-over") as (one, other):
        first, later = tenure_of(one), tenure_of(other)
        await first.claim()
        await first.write(record_of(one))
        await first.confirm()
        await later.claim(take_over=True)
        await later.write(record_of(other))
        await first.confirm()  # heard of it within the last second
        monkeypatch.setattr(tenure, "CONFIRM_S", 0.0)
        with pytest.raises(Fenced):
            await first.confirm()
        with pytest.raises(Fenced):
            await first.write(record_of(one))
        await later.confirm()
        await later.write(record_of(other, accepted=1))


async def test_of_two_that_claim_at_once_one_becomes_the_holder(server: RunningServer) -> None:
    async with two(server, "ten-both") as (one, other):
        first, second = tenure_of(one), tenure_of(other)
        assert (await first.claim(), await second.claim()) == (None, None)
        await first.write(record_of(one))
        with pytest.raises(Fenced):
            await second.write(record_of(other))


async def test_a_lost_acknowledgement_is_made_up_for_before_anything_else_is_written(
    server: RunningServer,
) -> None:
    async with Proxy(server.url) as proxy, opened(server, "ten-lost", url=proxy.url) as fabric:
        mine = tenure_of(fabric)
        await mine.claim()
        await mine.write(record_of(fabric))

        def lose(_subject: bytes, _header: bytes, payload: bytes) -> bool:
            if b'"stream":"CUR"' in payload:
                proxy.cut()  # and nobody waits for the timeout
            return b'"stream":"CUR"' in payload

        proxy.drop = lose
        with pytest.raises(Refused, match="lost"):
            await mine.write(record_of(fabric, accepted=1))
        assert proxy.dropped == 1
        proxy.drop = None
        await mine.write(record_of(fabric, accepted=2))
        assert mine.fenced is None


async def test_an_answer_that_is_older_than_the_last_write_fences_nobody(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenure, "CONFIRM_S", 0.0)
    async with opened(server, "ten-turn") as fabric:
        mine, state, late = tenure_of(fabric), fabric.session.state, asyncio.Event()
        await mine.claim()
        await mine.write(record_of(fabric))
        ask = state.get

        async def slow(subject: str, **settings: float) -> Record:
            answer = await ask(subject, **settings)
            await late.wait()
            return answer

        monkeypatch.setattr(state, "get", slow)
        asking = asyncio.create_task(mine.confirm())
        writing = asyncio.create_task(mine.write(record_of(fabric, accepted=1)))
        await asyncio.wait({writing}, timeout=0.2)  # it has its turn after the question
        late.set()
        await asyncio.gather(asking, writing)
        assert mine.fenced is None


async def test_a_lagging_replica_confirms_nothing_and_fences_nobody(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenure, "CONFIRM_S", 0.0)
    async with opened(server, "ten-lag") as fabric:
        mine, state = tenure_of(fabric), fabric.session.state
        await mine.claim()
        await mine.write(record_of(fabric))

        async def behind(_subject: str, **_settings: float) -> Record:
            return Record(b"", 0)

        with monkeypatch.context() as lagging:
            lagging.setattr(state, "get", behind)
            with pytest.raises(Refused, match="lags"):
                await mine.confirm()
        await mine.confirm()


async def test_a_record_that_is_too_large_is_not_written_and_says_so(server: RunningServer) -> None:
    async with opened(server, "ten-large") as fabric:
        mine = tenure_of(fabric)
        await mine.claim()
        large = record_of(fabric)
        large.name = "x" * tenure.RECORD_BYTES_MAX
        with pytest.raises(LimitExceeded, match="record"):
            await mine.write(large)
        await mine.write(record_of(fabric))
