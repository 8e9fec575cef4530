"""The official A2A SDK's client against the edge: real sockets, a real agent, a real nats-server."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from a2a.client import A2ACardResolver
from a2a.client.errors import AgentCardResolutionError
from a2a.types import CancelTaskRequest, GetTaskRequest, SubscribeToTaskRequest, TaskState
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.json_format import MessageToDict

from helpers.a2a_world import WAIT_S, A2aWorld, collect, data, only_task, request, state, text
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[A2aWorld]:
    async with A2aWorld(server, {}).opened() as made:
        yield made


async def test_card_of_a_live_agent_says_where_and_how_it_answers(world: A2aWorld) -> None:
    card = await world.read_card()
    assert (card.name, card.description, card.version) == (world.agent_name, "helps", "7")
    (interface,) = card.supported_interfaces
    assert (interface.url, interface.protocol_binding, interface.protocol_version) == (
        world.url,
        "JSONRPC",
        "1.0",
    )
    assert card.capabilities.streaming
    assert [skill.id for skill in card.skills][:3] == ["climate", "ask", "add"]


async def test_stream_is_task_then_progress_then_artifact_then_completed(world: A2aWorld) -> None:
    async with world.client() as client:
        items = await collect(client.send_message(request(data({"steps": 3}), tool="count")))
    assert [item.WhichOneof("payload") for item in items] == [
        "task",
        *["status_update"] * 3,
        "artifact_update",
        "status_update",
    ]
    told = [item.status_update.status.message.parts[0].text for item in items[1:4]]
    assert told == ["step 1", "step 2", "step 3"]
    assert MessageToDict(items[4].artifact_update.artifact.parts[0].data) == {"counted": 3}
    assert items[5].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    ids = {(item.status_update.task_id, item.status_update.context_id) for item in (*items[1:4], items[5])}
    assert ids == {(items[0].task.id, items[0].task.context_id)}


async def test_text_reaches_the_tool_ask_and_its_words_come_back_as_text(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        task = await only_task(client, request(text("good"), text("morning")))
    assert state(task) == "TASK_STATE_COMPLETED"
    assert task.artifacts[0].parts[0].text == "you said: good\nmorning"


async def test_integers_that_protobuf_made_doubles_reach_integer_arguments(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        task = await only_task(client, request(data({"a": 20, "b": 22}), tool="add"))
    assert MessageToDict(task.artifacts[0].parts[0].data) == {"sum": 42.0}


async def test_number_beyond_a_double_comes_back_with_all_its_digits(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        task = await only_task(client, request(data({}), tool="huge"))
    part = task.artifacts[0].parts[0]
    assert (part.media_type, part.raw) == ("application/json", b'{"n":9007199254740993}')


async def test_tool_that_returns_nothing_completes_without_an_artifact(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        task = await only_task(client, request(data({}), tool="nothing"))
    assert (state(task), list(task.artifacts)) == ("TASK_STATE_COMPLETED", [])


async def test_error_of_the_handler_fails_the_task_with_its_own_code(world: A2aWorld) -> None:
    async with world.client() as client:
        *_, last = await collect(client.send_message(request(data({}), tool="fail")))
    update = last.status_update
    assert update.status.state == TaskState.TASK_STATE_FAILED
    assert update.status.message.parts[0].text == "it is too hot here"
    facts = MessageToDict(update.metadata)
    assert facts["io.agentfabric/code"] == "too_hot"
    assert facts["io.agentfabric/data"] == {"celsius": 99}


async def test_return_immediately_answers_before_the_handler_and_get_task_sees_the_end(
    world: A2aWorld,
) -> None:
    async with world.client(streaming=False, polling=True) as client:
        task = await only_task(client, request(data({}), tool="wait"))
        assert state(task) in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
    async with world.client() as client, asyncio.timeout(WAIT_S):
        stream = client.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(stream)).task.id == task.id
        world.release.set()
        assert (await collect(stream))[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        ended = await client.get_task(GetTaskRequest(id=task.id))
    assert (state(ended), ended.artifacts[0].parts[0].text) == ("TASK_STATE_COMPLETED", "waited")
    assert ended.history[0].message_id


async def test_cancel_reaches_the_handler_and_ends_the_stream_canceled(world: A2aWorld) -> None:
    async with world.client() as client, asyncio.timeout(WAIT_S):
        stream = client.send_message(request(data({}), tool="wait"))
        task = (await anext(stream)).task
        await world.handler_started.wait()
        canceled = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert state(canceled) == "TASK_STATE_CANCELED"
        await world.handler_cancelled.wait()
        rest = await collect(stream)
        assert rest[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task.id))
    assert world.journal.kinds("a2a.in") == ["request", "cancel"]


async def test_concurrent_streams_of_a_task_see_the_same_events(world: A2aWorld) -> None:
    async with world.client() as client, asyncio.timeout(WAIT_S):
        first = client.send_message(request(data({}), tool="wait"))
        task = (await anext(first)).task
        second = client.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(second)).task.id == task.id
        world.release.set()
        assert await collect(first) == await collect(second)


async def test_leaving_a_stream_does_not_end_its_task(world: A2aWorld) -> None:
    async with world.client() as client, asyncio.timeout(WAIT_S):
        stream = client.send_message(request(data({}), tool="wait"))
        task = (await anext(stream)).task
        await world.handler_started.wait()
        await stream.aclose()
    async with world.client() as another, asyncio.timeout(WAIT_S):
        again = another.subscribe(SubscribeToTaskRequest(id=task.id))
        await anext(again)
        world.release.set()
        rest = await collect(again)
    assert rest[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    assert not world.handler_cancelled.is_set()


async def test_message_sent_again_gets_the_task_that_it_began(world: A2aWorld) -> None:
    asked = request(data({"a": 1, "b": 2}), tool="add")
    async with world.client(streaming=False) as client:
        first, again = await only_task(client, asked), await only_task(client, asked)
        asked.message.parts[0].CopyFrom(data({"a": 1, "b": 3}))
        with pytest.raises(InvalidParamsError, match="was used for another message"):
            await only_task(client, asked)
    assert first.id == again.id
    assert world.journal.kinds("a2a.in") == ["request"]


async def test_journal_tells_who_caused_what(world: A2aWorld) -> None:
    asked = request(data({"steps": 1}), tool="count", context_id="conversation-1")
    asked.message.metadata.update({"io.agentfabric/causationid": "cause-1"})
    async with world.client() as client:
        await collect(client.send_message(asked))
    called, *answers = [crossing.envelope for crossing in world.journal.crossings]
    assert (called.id, called.causationid) == (asked.message.message_id, "cause-1")
    assert (called.source, called.subject) == ("/a2a/tester", f"{world.agent_name}.count")
    assert called.get("fabmethod") == "SendStreamingMessage"
    assert [answer.kind for answer in answers] == ["progress", "response"]
    assert {answer.causationid for answer in answers} == {called.id}
    assert {envelope.correlationid for envelope in (called, *answers)} == {"conversation-1"}
    assert {crossing.peer for crossing in world.journal.crossings} == {"tester"}


async def test_part_that_no_tool_takes_is_reported_as_lost(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        await only_task(client, request(data({"a": 1, "b": 2}), text("please"), tool="add"))
    assert [loss.code for loss in world.journal.crossings[0].losses] == ["PART_UNMAPPED"]


async def test_unknown_tool_names_the_tools_there_are(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        with pytest.raises(InvalidParamsError, match=r"no tool 'fly'.*ask, add, count"):
            await only_task(client, request(text("hi"), tool="fly"))


async def test_unknown_task_is_not_found_by_any_method(world: A2aWorld) -> None:
    async with world.client() as client:
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="nobody"))
        with pytest.raises(TaskNotFoundError):
            await client.cancel_task(CancelTaskRequest(id="nobody"))
        with pytest.raises(TaskNotFoundError):
            await collect(client.subscribe(SubscribeToTaskRequest(id="nobody")))


async def test_further_message_to_a_task_is_an_unsupported_operation(world: A2aWorld) -> None:
    async with world.client(streaming=False) as client:
        task = await only_task(client, request(text("hi")))
        with pytest.raises(UnsupportedOperationError):
            await only_task(client, request(text("and?"), task_id=task.id))


async def test_unknown_agent_has_no_card(world: A2aWorld) -> None:
    async with world.http() as http:
        with pytest.raises(AgentCardResolutionError, match="404"):
            await A2ACardResolver(http, f"{world.edge.address}/nobody").get_agent_card()


async def test_wrong_token_is_refused_everywhere(world: A2aWorld) -> None:
    async with httpx.AsyncClient(headers={"Authorization": "Bearer wrong"}, timeout=WAIT_S) as http:
        for answer in (
            await http.get(f"{world.url}/.well-known/agent-card.json"),
            await http.get(f"{world.edge.address}/agents"),
            await http.post(world.url, json={}),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_card_of_an_agent_that_left_is_gone(server: RunningServer) -> None:
    world = A2aWorld(server, {})
    await world.start()
    async with world.agent():
        assert (await world.read_card()).name == world.agent_name
    with pytest.raises(AgentCardResolutionError, match="404"):
        await world.read_card()
    await world.stop()
