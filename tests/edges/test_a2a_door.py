"""The A2A edge at its door, byte by byte: what it refuses and how it says so, its bounds, its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fabric.errors import ConfigInvalid
from fabric_bridges.a2a import edge
from helpers.a2a_world import WAIT_S, A2aWorld
from helpers.http_door import BEARER, raw_connection
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer, request: pytest.FixtureRequest) -> AsyncIterator[A2aWorld]:
    """Settings by `@pytest.mark.parametrize("world", [...], indirect=True)`."""
    async with A2aWorld(server, getattr(request, "param", {})).opened() as made:
        yield made


def rpc(method: str, params: object = None, id: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


def message(tool: str = "ask", **fields: object) -> dict[str, Any]:
    return {
        "message": {
            "messageId": "m-1",
            "role": "ROLE_USER",
            "parts": [{"data": {}} if tool != "ask" else {"text": "hi"}],
            "metadata": {"io.agentfabric/tool": tool},
            **fields,
        }
    }


GOOD = json.dumps(rpc("SendMessage", message())).encode()

MALFORMED = {
    "nothing": (b"", -32700),
    "no JSON": (b"{", -32700),
    "two documents": (b"{}{}", -32700),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "an array": (b"[]", -32600),
    "no version": (b'{"id":1,"method":"GetTask"}', -32600),
    "an answer": (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600),
    "a notification": (b'{"jsonrpc":"2.0","method":"GetTask","params":{}}', -32600),
    "params in an array": (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[]}', -32602),
    "a name twice": (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"GetTask"}', -32700),
    "too deep": (
        b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":' + b'{"a":' * 99 + b"1" + b"}" * 100,
        -32700,
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_body_is_answered_and_counted_and_harms_nobody(world: A2aWorld, name: str) -> None:
    body, code = MALFORMED[name]
    async with world.http() as http:
        answer = (await http.post(world.url, content=body)).json()
        assert (
            answer["error"]["code"] in (code, -32600) if code == -32700 else answer["error"]["code"] == code
        )
        assert answer["error"]["data"][0]["@type"].endswith("ErrorInfo")
        assert world.metrics.value("fabric_edge_malformed_total", edge="a2a") == 1
        assert (
            (await http.post(world.url, content=GOOD))
            .json()["result"]["task"]["status"]["state"]
            .endswith("COMPLETED")
        )


BAD_PARAMS: dict[str, tuple[str, object, int]] = {
    "no params": ("SendMessage", {}, -32602),
    "message is text": ("SendMessage", {"message": "hi"}, -32602),
    "no messageId": ("SendMessage", message(messageId=""), -32602),
    "long messageId": ("SendMessage", message(messageId="x" * 65), -32602),
    "line break in messageId": ("SendMessage", message(messageId="a\r\nb"), -32602),
    "role of an agent": ("SendMessage", message(role="ROLE_AGENT"), -32602),
    "no parts": ("SendMessage", message(parts=[]), -32602),
    "empty part": ("SendMessage", message(parts=[{}]), -32602),
    "part of two kinds": ("SendMessage", message(parts=[{"text": "a", "url": "b"}]), -32602),
    "text is a number": ("SendMessage", message(parts=[{"text": 7}]), -32602),
    "metadata is text": ("SendMessage", message(metadata="x"), -32602),
    "tool is a number": ("SendMessage", message(metadata={"io.agentfabric/tool": 7}), -32602),
    "unknown tool": ("SendMessage", message(tool="fly"), -32602),
    "only a link": ("SendMessage", message(parts=[{"url": "https://example.org/a.pdf"}]), -32005),
    "unknown output mode": (
        "SendMessage",
        message() | {"configuration": {"acceptedOutputModes": ["image/png"]}},
        -32005,
    ),
    "push notifications": (
        "SendMessage",
        message() | {"configuration": {"taskPushNotificationConfig": {"url": "https://example.org"}}},
        -32003,
    ),
    "negative history": ("GetTask", {"id": "t", "historyLength": -1}, -32602),
    "no task id": ("GetTask", {}, -32602),
    "empty task id": ("CancelTask", {"id": ""}, -32602),
    "unknown task": ("GetTask", {"id": "t"}, -32001),
    "task of a message": ("SendMessage", message(taskId="t"), -32001),
    "tasks listed": ("ListTasks", {}, -32004),
    "push configuration": ("CreateTaskPushNotificationConfig", {}, -32003),
    "extended card": ("GetExtendedAgentCard", {}, -32007),
    "method of version 0.3": ("message/send", message(), -32601),
}


@pytest.mark.parametrize("name", BAD_PARAMS)
async def test_bad_request_is_answered_with_its_code_id_and_details(world: A2aWorld, name: str) -> None:
    method, params, code = BAD_PARAMS[name]
    async with world.http() as http:
        response = await http.post(world.url, json=rpc(method, params, id="my-7"))
    answer = response.json()
    assert response.status_code == 200
    assert (answer["id"], answer["error"]["code"]) == ("my-7", code)
    assert answer["error"]["message"]
    assert isinstance(answer["error"]["data"], list)
    assert world.journal.crossings == []


@pytest.mark.parametrize("spoken", ["", "0.3", "2.0", "1", "1.1", "nonsense"])
async def test_other_version_is_told_which_one_is_served(world: A2aWorld, spoken: str) -> None:
    async with httpx.AsyncClient(headers=BEARER | {"A2A-Version": spoken}, timeout=WAIT_S) as http:
        error = (await http.post(world.url, content=GOOD)).json()["error"]
    assert error["code"] == -32009
    assert "supported: 1.0" in error["message"]
    assert error["data"][0]["reason"] == "VERSION_NOT_SUPPORTED"


@pytest.mark.parametrize(("header", "query"), [("1.0", ""), ("1.0.1", ""), (None, "?A2A-Version=1.0")])
async def test_version_is_read_from_header_or_query(world: A2aWorld, header: str | None, query: str) -> None:
    headers = BEARER | ({"A2A-Version": header} if header else {})
    async with httpx.AsyncClient(headers=headers, timeout=WAIT_S) as http:
        assert "result" in (await http.post(world.url + query, content=GOOD)).json()


async def test_unknown_agent_is_404_with_an_error_that_names_it(world: A2aWorld) -> None:
    async with world.http() as http:
        response = await http.post(f"{world.edge.address}/nobody", content=GOOD)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, -32602)
    assert "'nobody'" in error["message"]
    assert error["data"][0]["reason"] == "NO_SUCH_AGENT"


async def test_other_methods_and_paths_are_not_there(world: A2aWorld) -> None:
    async with world.http() as http:
        assert (await http.get(world.url)).status_code == 405
        assert (await http.get(f"{world.url}/tasks")).status_code == 404


async def test_list_page_holds_the_card_of_every_live_agent(world: A2aWorld) -> None:
    async with world.http() as http:
        agents = (await http.get(f"{world.edge.address}/agents")).json()["agents"]
    mine = next(card for card in agents if card["name"] == world.agent_name)
    assert mine["supportedInterfaces"][0]["url"] == world.url


@pytest.mark.parametrize("world", [{"public_url": "https://a2a.example/"}], indirect=True)
async def test_card_names_the_public_address_when_there_is_one(world: A2aWorld) -> None:
    (interface,) = (await world.read_card()).supported_interfaces
    assert interface.url == f"https://a2a.example/a2a/{world.agent_name}"


@pytest.mark.parametrize("world", [{"body_bytes_max": 200}], indirect=True)
async def test_body_over_the_limit_is_413(world: A2aWorld) -> None:
    async with world.http() as http:
        assert (await http.post(world.url, content=GOOD + b" " * 200)).status_code == 413


async def begin_waiting(http: httpx.AsyncClient, world: A2aWorld, id: str) -> httpx.Response:
    params = message("wait", messageId=id) | {"configuration": {"returnImmediately": True}}
    return await http.post(world.url, json=rpc("SendMessage", params))


@pytest.mark.parametrize("world", [{"tasks_max": 2}], indirect=True)
async def test_task_over_the_bound_is_refused_with_when_to_come_back(world: A2aWorld) -> None:
    async with world.http() as http:
        for number in range(2):
            assert "result" in (await begin_waiting(http, world, f"m-{number}")).json()
        refused = await begin_waiting(http, world, "m-3")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    error = refused.json()["error"]
    assert {"retryDelay": "1s"}.items() <= error["data"][1].items()
    assert world.metrics.value("fabric_edge_refusals_total", edge="a2a", reason="refused") == 1
    assert world.metrics.value("fabric_a2a_tasks") == 2


@pytest.mark.parametrize("world", [{"tasks_max": 1}], indirect=True)
async def test_finished_task_makes_room_and_is_counted(world: A2aWorld) -> None:
    async with world.http() as http:
        first = (await http.post(world.url, json=rpc("SendMessage", message()))).json()["result"]["task"]
        second = await http.post(world.url, json=rpc("SendMessage", message(messageId="m-2")))
        assert "result" in second.json()
        assert (await http.post(world.url, json=rpc("GetTask", {"id": first["id"]}))).json()["error"][
            "code"
        ] == -32001
    assert world.metrics.value("fabric_a2a_tasks_forgotten_total") == 1


@pytest.mark.parametrize("world", [{"call_deadline_s": 0.2}], indirect=True)
async def test_task_that_takes_too_long_fails_and_its_handler_is_cancelled(world: A2aWorld) -> None:
    async with world.http() as http, asyncio.timeout(WAIT_S):
        task = (await http.post(world.url, json=rpc("SendMessage", message("wait")))).json()["result"]["task"]
        await world.handler_cancelled.wait()
    assert task["status"]["state"] == "TASK_STATE_FAILED"
    assert task["metadata"]["io.agentfabric/code"] == "deadline_exceeded"


async def test_progress_over_the_bound_is_folded_and_said_to_be(server: RunningServer) -> None:
    world = A2aWorld(server, {"task_events_max": 2})
    await world.start()
    async with world.agent(), world.http() as http:
        params = message("count", parts=[{"data": {"steps": 5}}])
        async with http.stream("POST", world.url, json=rpc("SendStreamingMessage", params)) as response:
            lines = [line async for line in response.aiter_lines() if line.startswith("data: ")]
    await world.stop()
    items = [json.loads(line.removeprefix("data: "))["result"] for line in lines]
    assert [next(iter(item)) for item in items] == [
        "task",
        *["statusUpdate"] * 2,
        "artifactUpdate",
        "statusUpdate",
    ]
    (loss,) = items[-1]["statusUpdate"]["metadata"]["io.agentfabric/loss"]
    assert (loss["code"], loss["outcome"]) == ("STREAM_COALESCED", "reports folded into the status: 3")


async def test_sender_that_leaves_while_waiting_leaves_its_task_running(world: A2aWorld) -> None:
    body = json.dumps(rpc("SendMessage", message("wait"))).encode()
    head = (
        f"POST /a2a/{world.agent_name} HTTP/1.1\r\nHost: x\r\nA2A-Version: 1.0\r\n"
        f"Authorization: {BEARER['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with asyncio.timeout(WAIT_S):
        async with raw_connection(world.url) as (_, writer):
            writer.write(head.encode() + body)
            await world.handler_started.wait()
        async with world.http() as http:  # the same message again: the same task
            again = message("wait") | {"configuration": {"returnImmediately": True}}
            task = (await http.post(world.url, json=rpc("SendMessage", again))).json()["result"]["task"]
            assert task["status"]["state"] == "TASK_STATE_SUBMITTED"
            world.release.set()
            ended = (await http.post(world.url, json=rpc("SendMessage", message("wait")))).json()["result"][
                "task"
            ]
    assert (ended["id"], ended["status"]["state"]) == (task["id"], "TASK_STATE_COMPLETED")
    assert not world.handler_cancelled.is_set()


async def test_stopping_edge_cancels_what_runs_and_ends_its_streams(server: RunningServer) -> None:
    world = A2aWorld(server, {})
    await world.start()
    async with world.agent(), world.http() as http, asyncio.timeout(WAIT_S):
        params = rpc("SendStreamingMessage", message("wait"))
        async with http.stream("POST", world.url, json=params) as response:
            await world.handler_started.wait()
            stopping = asyncio.create_task(world.edge.stop(0.05))
            lines = [line async for line in response.aiter_lines() if line.startswith("data: ")]
            await stopping
        await world.handler_cancelled.wait()
    await world.stop()
    last = json.loads(lines[-1].removeprefix("data: "))["result"]["statusUpdate"]
    assert last["status"]["state"] == "TASK_STATE_CANCELED"
    assert "the node is stopping" in last["status"]["message"]["parts"][0]["text"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"prot": 1}, "prot"),
        ({"port": -1}, "port"),
        ({"tasks_max": 0}, "tasks_max"),
        ({"task_ttl_s": "x"}, "task_ttl_s"),
    ],
)
def test_setting_that_cannot_be_used_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"\[edges.a2a\] {key}"):
        edge(settings)
