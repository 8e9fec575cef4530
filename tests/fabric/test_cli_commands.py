"""`fabric ls, pub, tail, call`, as a user types them, on a fabric that `fabric up` started."""

import asyncio
import json
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fabric.client import Call, Skill
from fabric.connect import connect
from fabric.node.credentials import Keyring
from helpers.cli import BOUND_S, fabric, fabric_up, finish, start
from helpers.server import RunningServer


def mode_of(file: str) -> int:
    return stat.S_IMODE(Path(file).stat().st_mode)


@asynccontextmanager
async def thermostat(address: Any) -> AsyncIterator[None]:
    async with connect("greenhouse", url=address["nats_url"], credentials=address["creds"]) as connected:
        skills = [Skill("climate")]
        async with connected.agent("thermostat", skills=skills, description="Keeps it warm") as agent:

            @agent.tool
            async def set_temperature(celsius: float, call: Call) -> dict[str, float]:
                """Set the temperature."""
                call.progress(1, 2, "heating")
                return {"celsius": celsius}

            yield


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Any]:
    async with fabric_up(tmp_path) as address:
        yield address


async def test_published_message_is_printed_by_tail_with_its_receipt(up: Any, tmp_path: Path) -> None:
    receipt = await fabric(tmp_path, "pub", "a.b", '{"celsius": 21.5}', "--json")
    (told,) = receipt.lines()
    tail = await fabric(tmp_path, "tail", "a.>", "--since", "beginning", "-n", "1", "--json")
    (message,) = tail.lines()
    assert (receipt.code, tail.code) == (0, 0)
    assert message["data"] == '{"celsius": 21.5}'
    assert message["datacontenttype"] == "application/json"
    assert (message["id"], message["source"]) == (told["id"], "/nats/cli")
    assert message["position"] == f"{told['stream']}:{told['sequence']}"


async def test_standard_input_is_published_as_it_is(up: Any, tmp_path: Path) -> None:
    published = await fabric(
        tmp_path, "pub", "a.b", stdin=b"\xff\x00", FABRIC_URL=up["nats_url"], FABRIC_CREDS=up["creds"]
    )
    assert published.code == 0
    assert published.out.startswith("stored as CH_")
    (message,) = (await fabric(tmp_path, "tail", "a.b", "--since", "beginning", "-n", "1", "--json")).lines()
    assert (message["data_base64"], message["datacontenttype"]) == ("/wA=", "application/octet-stream")


async def test_tail_prints_live_messages_until_it_is_interrupted(up: Any, tmp_path: Path) -> None:
    tail = await start(tmp_path, "tail", "news.*", "--json")
    assert tail.stderr is not None
    assert tail.stdout is not None
    async with asyncio.timeout(BOUND_S):
        assert b"listening on news.*" in await tail.stderr.readline()
        assert (await fabric(tmp_path, "pub", "news.today", "hi", "--live")).code == 0
        message = json.loads(await tail.stdout.readline())
    tail.send_signal(signal.SIGINT)
    ended = await finish(tail)
    assert (message["subject"], message["data"], "position" in message) == ("news.today", "hi", False)
    assert (ended.code, ended.err) == (0, "")


async def test_ls_shows_agents_and_tools(up: Any, tmp_path: Path) -> None:
    async with thermostat(up):
        people = await fabric(tmp_path, "ls")
        (card,) = (await fabric(tmp_path, "ls", "--skill", "climate", "--json")).lines()
        nobody = await fabric(tmp_path, "ls", "--skill", "cooking")
    assert people.out == (
        "thermostat  [climate]  Keeps it warm\n  thermostat.set_temperature  Set the temperature.\n"
    )
    assert (card["name"], card["tools"][0]["name"]) == ("thermostat", "set_temperature")
    assert (nobody.code, nobody.out, nobody.err) == (0, "", "no agent is live with the skill 'cooking'\n")


@pytest.mark.parametrize("arguments", [["celsius=21.5"], ['{"celsius": 21.5}']], ids=["words", "json"])
async def test_call_prints_the_result_and_its_progress(up: Any, tmp_path: Path, arguments: list[str]) -> None:
    async with thermostat(up):
        called = await fabric(tmp_path, "call", "thermostat.set_temperature", *arguments, "--json")
    assert called.lines() == [{"celsius": 21.5}]
    assert called.err == "... 1 of 2 heating\n"


async def test_interrupted_call_is_cancelled_at_the_agent(up: Any, tmp_path: Path) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()
    async with (
        connect("sleeper", url=up["nats_url"], credentials=up["creds"]) as connected,
        connected.agent("sleeper") as agent,
    ):

        @agent.tool
        async def sleep() -> None:
            """Until told otherwise."""
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        calling = await start(tmp_path, "call", "sleeper.sleep")
        async with asyncio.timeout(BOUND_S):
            await started.wait()
            calling.send_signal(signal.SIGINT)
            await cancelled.wait()
        assert (await finish(calling)).code == 130


async def test_unknown_tool_says_which_there_are(up: Any, tmp_path: Path) -> None:
    async with thermostat(up):
        called = await fabric(tmp_path, "call", "thermostat.fly")
    assert called.code == 3
    assert called.err == "fabric: agent 'thermostat' has no tool 'fly'; it offers set_temperature\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["call", "nobody.x"], 3, "no agent 'nobody' is live; `fabric ls` shows who is"),
        (["call", "nobody"], 3, "no agent 'nobody'"),
        (["call", "a.b", "novalue"], 2, "the argument 'novalue': must be KEY=VALUE"),
        (["call", "a.b", "{"], 2, "the arguments: are no JSON object"),
        (["pub", "a.*", "x"], 2, "it is a pattern"),
        (["pub", "a..b", "x"], 2, "not a valid name"),
        (["tail", "a.>.b"], 2, "not a valid name"),
        (["ls", "--creds", "absent.creds"], 2, "absent.creds: is no credentials file"),
    ],
)
async def test_mistake_is_one_line_with_its_exit_code(
    up: Any, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    ended = await fabric(tmp_path, *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1), ended
    assert ended.err.startswith("fabric: ")
    assert says in ended.err


async def test_message_over_the_limit_is_refused_before_it_is_sent(up: Any, tmp_path: Path) -> None:
    ended = await fabric(tmp_path, "pub", "a.b", stdin=b"x" * (2 << 20))
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended


async def test_credential_speaks_under_its_own_name(up: Any, tmp_path: Path) -> None:
    creds = tmp_path / "planner.creds"
    creds.write_text(Keyring.open(tmp_path).mint("planner"))
    assert (await fabric(tmp_path, "pub", "a.b", "x", "--creds", str(creds))).code == 0
    (message,) = (await fabric(tmp_path, "tail", "a.b", "--since", "beginning", "-n", "1", "--json")).lines()
    assert message["source"] == "/nats/planner"


async def test_made_credential_is_held_to_its_name_and_channels(up: Any, tmp_path: Path) -> None:
    creds = str(tmp_path / "robot.creds")
    made = await fabric(tmp_path, "creds", "robot", "--channel", "plant.>", "--out", creds)
    assert (made.code, mode_of(creds)) == (0, 0o600)
    within = await fabric(tmp_path, "pub", "plant.door", "x", "--creds", creds)
    outside = await fabric(tmp_path, "pub", "office.door", "x", "--creds", creds)
    forged = await fabric(tmp_path, "pub", "plant.door", "x", "--creds", creds, "--name", "planner")
    assert (within.code, outside.code) == (0, 1)
    assert "denied" in outside.err
    assert forged.code != 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["robot", "--channel", "a..b"], "not a valid name"),
        (["n" * 257], "not a valid name"),
        (["robot", "--out", "absent/robot.creds"], "cannot be written"),
        (["robot", "--expires", "0"], "--expires"),
    ],
)
async def test_credential_that_cannot_be_made_says_why(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    Keyring.open(tmp_path)
    ended = await fabric(tmp_path, "creds", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


async def test_credential_needs_the_keys_of_a_fabric(tmp_path: Path) -> None:
    ended = await fabric(tmp_path, "creds", "robot")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "`fabric up` makes them" in ended.err


async def test_nothing_running_says_how_to_start(tmp_path: Path) -> None:
    for command in (["ls"], ["pub", "a", "x"], ["tail", "a"], ["call", "a.b"]):
        ended = await fabric(tmp_path, *command)
        assert (ended.code, ended.err.count("\n")) == (3, 1), ended
        assert "`fabric up`" in ended.err


async def test_error_is_json_when_asked(tmp_path: Path) -> None:
    ended = await fabric(tmp_path, "ls", "--json")
    assert json.loads(ended.err)["error"]["code"] == "unreachable"


async def test_refused_credential_is_told_as_such(server: RunningServer, tmp_path: Path) -> None:
    creds = tmp_path / "foreign.creds"
    creds.write_text(Keyring.open(tmp_path / "other").mint("*"))
    ended = await fabric(tmp_path, "ls", "--url", server.url, "--creds", str(creds))
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended
    assert "valid credential" in ended.err


async def test_help_lists_commands_and_every_command_has_help(tmp_path: Path) -> None:
    top = await fabric(tmp_path, "--help")
    assert top.code == 0
    for name in ("up", "doctor", "ls", "pub", "tail", "call", "creds", "version"):
        assert f"\n  {name} " in top.out
        one = await fabric(tmp_path, name, "--help")
        assert (one.code, "--json" in one.out) == (0, True)


async def test_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    ended = await fabric(tmp_path, "fly")
    assert ended.code == 2
    assert "No such command 'fly'" in ended.err


async def test_version_names_what_it_runs_on(tmp_path: Path) -> None:
    (versions,) = (await fabric(tmp_path, "version", "--json")).lines()
    assert {"agent-message-fabric", "nats-server", "nats-py", "python"} <= versions.keys()
