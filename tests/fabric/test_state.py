"""Records with one writer at a time, on a real server: who may write over what, and what a lost
acknowledgement looks like."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import ANY

import pytest

from fabric import subjects
from fabric.client import Fabric
from fabric.errors import Fenced, Refused
from fabric.jetstream.state import Record, State
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer


@asynccontextmanager
async def a_record(server: RunningServer, name: str) -> AsyncIterator[tuple[State, str]]:
    async with opened(server, name) as fabric:
        yield fabric.session.state, subjects.state(name, "cursor", "auditor")


async def test_a_record_that_nobody_wrote_is_empty(server: RunningServer) -> None:
    async with a_record(server, "state-empty") as (state, subject):
        assert await state.get(subject) == Record(b"", 0)


async def test_a_write_over_the_last_revision_is_kept(server: RunningServer) -> None:
    async with a_record(server, "state-kept") as (state, subject):
        first = await state.put(subject, b"one", expected=0)
        second = await state.put(subject, b"two", expected=first)
        assert second > first
        assert await state.get(subject) == Record(b"two", second, ANY)


async def test_a_writer_that_knows_an_older_revision_is_fenced(server: RunningServer) -> None:
    async with a_record(server, "state-fenced") as (state, subject):
        first = await state.put(subject, b"mine", expected=0)
        second = await state.put(subject, b"theirs", expected=first)
        for expected in (0, first):
            with pytest.raises(Fenced, match="another process"):
                await state.put(subject, b"mine again", expected=expected)
        assert await state.get(subject) == Record(b"theirs", second, ANY)


async def test_the_same_value_of_another_life_is_not_taken_for_our_own(server: RunningServer) -> None:
    async with a_record(server, "state-same") as (state, subject):
        first = await state.put(subject, b"value", expected=0)
        with pytest.raises(Fenced):  # it was there before we wrote
            await state.put(subject, b"value", expected=first + 1)


async def test_a_write_whose_acknowledgement_was_lost_is_found_again(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, opened(server, "state-lost", url=proxy.url) as fabric:
        state, subject = fabric.session.state, subjects.state("state-lost", "cursor", "auditor")
        proxy.drop = lambda _subject, _header, payload: b'"stream":"CUR"' in payload
        with pytest.raises(Refused) as refused:
            await state.put(subject, b"mine", expected=0, timeout_s=0.3)
        assert (refused.value.reason, refused.value.unknown) == ("timeout", True)
        assert proxy.dropped == 1
        proxy.drop = None
        revision = await state.put(subject, b"mine", expected=0)
        assert await state.get(subject) == Record(b"mine", revision, ANY)


async def test_a_write_whose_acknowledgement_was_lost_is_fenced_when_somebody_wrote_over_it(
    server: RunningServer,
) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "state-over", url=proxy.url) as fabric,
        opened(server, "state-over") as other,
    ):
        subject = subjects.state("state-over", "cursor", "auditor")
        proxy.drop = lambda _subject, _header, payload: b'"stream":"CUR"' in payload
        with pytest.raises(Refused):
            await fabric.session.state.put(subject, b"mine", expected=0, timeout_s=0.3)
        proxy.drop = None
        stored = await other.session.state.get(subject)
        await other.session.state.put(subject, b"theirs", expected=stored.revision)
        with pytest.raises(Fenced):
            await fabric.session.state.put(subject, b"mine", expected=0)


async def test_an_emptied_record_goes_on_fencing(server: RunningServer) -> None:
    async with a_record(server, "state-emptied") as (state, subject):
        first = await state.put(subject, b"one", expected=0)
        emptied = await state.put(subject, b"", expected=first)
        assert await state.get(subject) == Record(b"", emptied, ANY)
        with pytest.raises(Fenced):
            await state.put(subject, b"late", expected=0)


@pytest.mark.parametrize("verb", ["get", "put"])
async def test_the_records_of_another_name_are_out_of_reach(server: RunningServer, verb: str) -> None:
    credentials = server.credentials("state-stranger", history=False)
    async with opened(server, "state-stranger", credentials=credentials) as stranger:
        with pytest.raises(Refused) as refused:
            await attempt(stranger, verb, subjects.state("state-owner", "cursor", "auditor"))
        assert refused.value.reason == "denied"
        await attempt(stranger, verb, subjects.state("state-stranger", "cursor", verb))


async def attempt(fabric: Fabric, verb: str, subject: str) -> None:
    state = fabric.session.state
    await (state.get(subject) if verb == "get" else state.put(subject, b"x", expected=0))
