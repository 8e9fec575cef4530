"""Calls on a real server: one answer, progress in order, deadlines that reach the handler, errors by name."""

import asyncio
from typing import Any

import pytest

from fabric.client import Call, Progress
from fabric.clock import now_us
from fabric.errors import (
    CallCancelled,
    CallFailed,
    ConfigInvalid,
    DeadlineExceeded,
    InvalidName,
    LimitExceeded,
    NoSuchAgent,
    NoSuchTool,
    PermissionDenied,
    Refused,
)
from fabric.jetstream.layout import JOURNAL_STREAM
from fabric.subjects import JOURNAL_ALL
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.headers import value_in
from fabric_codecs.nats.wire import timestamp
from helpers.lane import opened
from helpers.pair import pair
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


async def test_a_call_returns_what_the_tool_returns(server: RunningServer) -> None:
    async with pair(server, "call-add") as two:
        reply = await two.caller.call("call-add.add", {"a": 40, "b": 2})
        assert reply.json() == 42
        assert (reply.envelope.source_name, reply.envelope.kind) == ("call-add", "response")
        assert (await two.caller.call("call-add.add", b'{"a":1}')).json() == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "a"),
        (None, "a"),
        ({"a": "1"}, r"\$\.a"),
        ({"a": 1, "c": 2}, "c"),
        ([1], "object"),
        (b"{", "truncated"),
        (b"\xff", "add"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_where(
    server: RunningServer, arguments: Any, words: str
) -> None:
    async with pair(server, "call-check") as two:
        with pytest.raises(CallFailed, match=words) as failed:
            await two.caller.call("call-check.add", arguments)
        assert failed.value.remote_code == "bad_arguments"


async def test_a_typed_error_keeps_its_code_and_data(server: RunningServer) -> None:
    async with pair(server, "call-typed") as two:
        with pytest.raises(CallFailed, match="it burns") as failed:
            await two.caller.call("call-typed.fail", {"how": "typed"})
        error = failed.value
        assert (error.remote_code, error.remote_retriable, error.data) == ("too_hot", True, {"celsius": 99})


async def test_an_untyped_error_is_internal_and_logged_there(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with pair(server, "call-untyped") as two:
        with pytest.raises(CallFailed) as failed:
            await two.caller.call("call-untyped.fail", {"how": "other"})
        assert failed.value.remote_code == "internal"
        assert "Traceback" not in str(failed.value)
        assert "secret detail of mine" in caplog.text


async def test_progress_comes_in_order_before_the_answer(server: RunningServer) -> None:
    async with pair(server, "call-progress") as two:
        seen: list[Progress] = []
        reply = await two.caller.call("call-progress.count", {"to": 50}, on_progress=seen.append)
        assert reply.json() == "done"
        assert seen == [Progress(number, 50, f"step {number}") for number in range(50)]


async def test_an_invocation_yields_progress_then_one_answer(server: RunningServer) -> None:
    request = Envelope(b'{"to":3}', id="inv-1", source="/nats/x", type="t", subject="call-invoke.count")
    async with pair(server, "call-invoke") as two, two.caller.invoke(request, deadline_s=BOUND_S) as replies:
        got = [envelope async for envelope in replies]
        assert [envelope.kind for envelope in got] == ["progress"] * 3 + ["response"]
        assert [envelope.get("fabfinal") for envelope in got] == ["false"] * 3 + ["true"]
        assert [envelope.get("fabseq") for envelope in got] == ["0", "1", "2", "3"]
        assert {envelope.causationid for envelope in got} == {"inv-1"}


async def test_progress_that_nobody_reads_is_bounded_and_counted(server: RunningServer) -> None:
    async with pair(server, "call-unread") as two:
        request = Envelope(b'{"to":3000}', id="1", source="/nats/x", type="t", subject="call-unread.count")
        async with two.caller.invoke(request, deadline_s=BOUND_S) as replies:
            await until(lambda: replies._waiting is not None and replies._waiting.answer.done(), "the answer")
            got = [envelope async for envelope in replies]
        assert len(got) + replies.skipped == 3001
        assert replies.skipped > 0
        assert got[-1].kind == "response"


async def test_the_deadline_reaches_the_caller_and_the_handler(server: RunningServer) -> None:
    async with pair(server, "call-deadline") as two:
        with pytest.raises(DeadlineExceeded, match=r"call-deadline\.hang"):
            await two.caller.call("call-deadline.hang", deadline_s=0.2)
        await until(lambda: two.ended, "the handler was cancelled")


async def test_cancelling_the_caller_cancels_the_handler(server: RunningServer) -> None:
    async with pair(server, "call-cancel") as two:
        calling = asyncio.create_task(two.caller.call("call-cancel.hang"))
        await asyncio.wait_for(two.started.wait(), BOUND_S)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await until(lambda: two.ended, "the handler was cancelled")
        assert two.ended == ["the caller left"]


@pytest.mark.parametrize("how", ["leave", "cancel"])
async def test_leaving_an_invocation_cancels_the_handler(server: RunningServer, how: str) -> None:
    async with pair(server, "call-leave") as two:
        request = Envelope(b"{}", id="1", source="/nats/x", type="t", subject="call-leave.hang")
        async with two.caller.invoke(request, deadline_s=BOUND_S) as replies:
            await asyncio.wait_for(two.started.wait(), BOUND_S)
            if how == "cancel":
                replies.cancel("changed my mind")
                with pytest.raises(CallCancelled, match="changed my mind"):
                    await anext(replies)
        await until(lambda: two.ended, "the handler was cancelled")


async def test_another_callers_cancel_changes_nothing(server: RunningServer) -> None:
    async with pair(server, "call-foreign") as two, opened(server, "call-stranger") as stranger:
        calling = asyncio.create_task(two.caller.call("call-foreign.hang", deadline_s=BOUND_S))
        await asyncio.wait_for(two.started.wait(), BOUND_S)
        [(_, identity)] = two.agent._receive()._running
        cancel = stranger.envelope(b"", kind="cancel", subject="call-foreign.hang", causationid=identity)
        subject = b"fab.call.call-foreign.call-stranger"
        stranger.session.connection.writer.publish(subject, b"", cancel.nats_header(), b"")
        with pytest.raises(NoSuchTool):
            await stranger.call("call-foreign.none")  # by then the agent has read the cancel
        assert two.ended == []
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await until(lambda: two.ended, "the handler was cancelled")


async def test_nobody_there_is_told_at_once(server: RunningServer) -> None:
    async with opened(server, "call-alone") as fabric, asyncio.timeout(5.0):
        with pytest.raises(NoSuchAgent, match="fabric ls"):
            await fabric.call("nobody.tool", deadline_s=60.0)
        request = Envelope(b"{}", id="1", source="/nats/x", type="t", subject="nobody.tool")
        with pytest.raises(NoSuchAgent):
            async with fabric.invoke(request, deadline_s=60.0) as replies:
                await anext(replies)


async def test_an_unknown_tool_is_told_with_the_known_ones(server: RunningServer) -> None:
    async with pair(server, "call-unknown") as two:
        with pytest.raises(NoSuchTool, match="it offers add, count") as unknown:
            await two.caller.call("call-unknown.nope")
        assert "add" in str(unknown.value)


@pytest.mark.parametrize("target", ["", ".tool", "x" * 300 + ".tool", "\ud800.tool", "a%\r\nPING\r\n.tool"])
async def test_a_target_that_is_none_is_refused(server: RunningServer, target: str) -> None:
    async with opened(server, "call-target") as fabric:
        with pytest.raises(InvalidName):
            await fabric.call(target)


async def test_a_target_with_bytes_of_the_protocol_is_only_a_name(server: RunningServer) -> None:
    async with opened(server, "call-inject") as fabric:
        for target in ("a% 1.tool", "100% sure.tool", "a*.tool", ">.tool"):
            with pytest.raises(NoSuchAgent):
                await fabric.call(target)
        assert fabric.session.connection.reconnects == 0


async def test_a_full_agent_refuses_and_says_when_to_come_back(server: RunningServer) -> None:
    async with pair(server, "call-full", calls_max=1) as two:
        calling = asyncio.create_task(two.caller.call("call-full.hang", deadline_s=BOUND_S))
        await asyncio.wait_for(two.started.wait(), BOUND_S)
        with pytest.raises(Refused, match="has 1 calls running") as refused:
            await two.caller.call("call-full.add", {"a": 1})
        assert (refused.value.reason, refused.value.depth) == ("full", 1)
        assert refused.value.retry_after_ms > 0
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await until(lambda: not two.agent.is_busy, "the handler ended")
        assert (await two.caller.call("call-full.add", {"a": 1})).json() == 2


async def test_a_nested_call_inherits_conversation_cause_and_deadline(server: RunningServer) -> None:
    async with (
        pair(server, "call-inner") as inner,
        opened(server, "call-outer") as fabric,
        fabric.agent("call-outer") as outer,
        fabric.channel("call.nested").join() as member,
    ):
        left_s: list[float] = []

        @outer.tool
        async def relay(call: Call) -> None:
            left_s.append(call.time_left_s)
            await outer.channel("call.nested").publish("on the way")
            for delivery in ("durable", "live"):
                async with outer.channel("call.nested").publisher(delivery=delivery) as out:  # type: ignore[arg-type]
                    await out.send(b"many on the way")
            try:
                await outer.call("call-inner.hang", deadline_s=1000.0)
            finally:
                inner.ended.append("relay")

        with pytest.raises((DeadlineExceeded, CallFailed)):
            await inner.caller.call("call-outer.relay", deadline_s=0.5)
        await until(lambda: len(inner.ended) == 2, "both handlers ended")
        assert 0 < left_s[0] <= 0.5
        for _ in range(3):
            envelope = await asyncio.wait_for(anext(member), BOUND_S)
            assert envelope.causationid == envelope.correlationid
            assert (envelope.causationid or "").startswith(inner.caller.session.process)


async def test_a_request_that_comes_too_late_has_no_effect(server: RunningServer) -> None:
    async with pair(server, "call-late") as two:
        header = two.caller.envelope(
            b"", kind="request", subject="call-late.hang", expirytime=timestamp(now_us() - 1)
        ).nats_header()
        reply = await two.caller.session.connection.request(
            "fab.call.call-late.call-late-caller", header=header
        )
        assert Envelope.from_nats(b"", reply.header, reply.data).json()["code"] == "deadline_exceeded"
        assert not two.started.is_set()


@pytest.mark.parametrize("reply", [b"", b"fab.jr.call-hostile.9999"])
async def test_a_reply_subject_that_is_no_inbox_is_not_written_to(
    server: RunningServer, reply: bytes
) -> None:
    async with pair(server, "call-hostile") as two:
        header = two.caller.envelope(b"", kind="request", subject="call-hostile.add").nats_header()
        subject = b"fab.call.call-hostile.call-hostile-caller"
        two.caller.session.connection.writer.publish(subject, reply, header, b'{"a":1}')
        assert (await two.caller.call("call-hostile.add", {"a": 1})).json() == 2
        assert await two.caller.session.reader.last(JOURNAL_STREAM, "fab.jr.call-hostile.9999") is None
        assert two.agent.identity.link.connection.reconnects == 0


async def test_a_forged_caller_is_refused(server: RunningServer) -> None:
    async with pair(server, "call-forged") as two:
        header = Envelope(b"", id="1", source="/nats/boss", type="t", subject="call-forged.add").nats_header()
        subject = "fab.call.call-forged.call-forged-caller"
        reply = await two.caller.session.connection.request(subject, b'{"a":1}', header=header)
        assert Envelope.from_nats(b"", reply.header, reply.data).json()["data"]["reason"] == "denied"


async def test_a_call_under_a_name_that_is_not_ours_is_denied_at_once(server: RunningServer) -> None:
    async with pair(server, "call-names") as two, asyncio.timeout(5.0):
        with pytest.raises(PermissionDenied, match=r"calling call-names\.add"):
            await two.caller.on_behalf_of("boss").call("call-names.add", {"a": 1}, deadline_s=60.0)


async def test_a_connection_lost_during_a_call_is_told_with_the_outcome_unknown(
    server: RunningServer,
) -> None:
    async with Proxy(server.url) as proxy, pair(server, "call-lost", url=proxy.url) as two:
        calling = asyncio.create_task(two.caller.call("call-lost.hang", deadline_s=BOUND_S))
        await asyncio.wait_for(two.started.wait(), BOUND_S)
        proxy.cut()
        with pytest.raises(Refused, match="lost during the call") as refused:
            await asyncio.wait_for(calling, BOUND_S)
        assert refused.value.unknown
        await two.caller.session.connection.wait_up(BOUND_S)
        assert (await two.caller.call("call-lost.add", {"a": 1})).json() == 2
        await two.agent.leave(grace_s=0.01)  # its handler was not told, and would end by its deadline


async def test_an_answer_or_a_request_over_the_limit_is_told(server: RunningServer) -> None:
    async with pair(server, "call-size") as two:
        limit = two.caller.session.connection.writer.payload_max
        with pytest.raises(CallFailed, match="cannot be sent") as failed:
            await two.caller.call("call-size.size", {"answer": limit})
        assert failed.value.remote_code == "limit_exceeded"
        with pytest.raises(LimitExceeded, match="bytes of a call"):
            await two.caller.call("call-size.size", {"data": "x" * limit})
        assert (await two.caller.call("call-size.size", {"data": "xxx"})).json() == "xxx"
        assert two.caller.session.connection.reconnects == 0


async def test_late_and_forged_answers_are_counted_and_nobodys(server: RunningServer) -> None:
    async with pair(server, "call-count") as two:
        desk = two.caller.session.calls
        await two.caller.call("call-count.add", {"a": 1})
        header = Envelope(b"", id="1", source="/nats/x", type="t", fabkind="response").nats_header()
        desk._arrived(b"_INBOX.x.1", b"", header, b"{}")
        assert desk.late == 1
        calling = asyncio.create_task(two.caller.call("call-count.hang", deadline_s=BOUND_S))
        await asyncio.wait_for(two.started.wait(), BOUND_S)
        desk._arrived(b"_INBOX.x.2", b"", header, b'"forged"')
        assert desk.forged == 1
        assert not calling.done()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await until(lambda: two.ended, "the handler was cancelled")


async def test_an_agent_that_leaves_ends_its_calls_by_name(server: RunningServer) -> None:
    async with pair(server, "call-leaving") as two:
        calling = asyncio.create_task(two.caller.call("call-leaving.hang", deadline_s=BOUND_S))
        await asyncio.wait_for(two.started.wait(), BOUND_S)
        await two.agent.leave(grace_s=0.01)
        with pytest.raises(CallCancelled, match="leaving"):
            await asyncio.wait_for(calling, BOUND_S)
        with pytest.raises(NoSuchAgent):
            await two.caller.call("call-leaving.add", {"a": 1})


async def test_the_journal_has_one_record_for_each_message_of_a_call(server: RunningServer) -> None:
    async with pair(server, "call-journal") as two:
        reply = await two.caller.call("call-journal.count", {"to": 2})
        conversation = reply.envelope.correlationid
        for session in (two.caller.session, two.agent.identity.link):
            assert await session.journal.flush(BOUND_S)
            assert session.journal.dropped == 0
        kinds = []
        async for page in two.caller.session.reader.pages(JOURNAL_STREAM, JOURNAL_ALL, 1):
            for stored in page:
                if (
                    Envelope.from_nats(stored.subject, stored.header, b"").get("correlationid")
                    == conversation
                ):
                    kinds.append(
                        (value_in(stored.header, b"Fab-Hop"), value_in(stored.header, b"ce-fabkind"))
                    )
        assert sorted(kinds) == [
            (b"call", b"request"),
            (b"reply", b"progress"),
            (b"reply", b"progress"),
            (b"reply", b"response"),
        ]


@pytest.mark.parametrize("name", ["", "a.b"])
async def test_a_tool_with_a_name_that_cannot_be_called_is_refused(server: RunningServer, name: str) -> None:
    async with opened(server, "call-tools") as fabric:
        me = fabric.agent("call-tools")
        with pytest.raises(ConfigInvalid):
            me.tool(name=name or ".")(_tool)
        with pytest.raises(ConfigInvalid, match="async def"):
            me.tool(lambda: None)


async def _tool() -> None: ...
