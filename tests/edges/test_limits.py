"""What a node limits, in each protocol's words: every edge speaks through the same gate. And what a caller
asks for across an edge: one execution for a key, an end for a circle."""

from typing import Any

import pytest

from fabric.client import Channel, Fabric
from fabric.client.channels.publisher import ChannelPublisher
from fabric.client.gate import Gate
from fabric.config import LimitsSettings
from fabric.errors import Refused
from fabric_codecs.mqtt import packets as mqtt
from helpers.lane import opened
from helpers.mcp_world import META, McpWorld, modern, post
from helpers.mqtt_world import mqtt_world
from helpers.server import RunningServer


async def test_a_principal_over_its_rate_hears_429_and_when_to_come_back(server: RunningServer) -> None:
    world = McpWorld(server, {})
    world.gate = Gate(LimitsSettings(principal_per_s=0.01, principal_burst=2))
    async with world.opened():
        for _ in range(2):
            answer = await post(world, modern("tools/call", name=world.tool("nothing")))
            assert "result" in answer.json()
        refused = await post(world, modern("tools/call", name=world.tool("nothing")))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        data = refused.json()["error"]["data"]
        assert (data["reason"], data["retriable"]) == ("rate", True)
        assert world.gate.refused == {("principal", "rate"): 1}


async def test_an_agent_over_its_ceiling_is_full_until_a_call_ends(server: RunningServer) -> None:
    world = McpWorld(server, {})
    world.gate = Gate(LimitsSettings(agent_calls_max=1))
    async with world.opened(), opened(server, "limits-caller", credentials=server.node_creds) as beside:
        fabric = Fabric(beside.session, "limits-caller", gate=world.gate)
        async with fabric.stream(world.tool("wait")):
            refused = await post(world, modern("tools/call", name=world.tool("nothing")))
            assert refused.status_code == 429
            assert refused.json()["error"]["data"]["depth"] == 1
            assert world.gate.calls_running == 1
        assert "result" in (await post(world, modern("tools/call", name=world.tool("nothing")))).json()
        assert world.gate.calls_running == 0


async def test_a_device_over_the_channels_rate_hears_it_with_the_puback(server: RunningServer) -> None:
    async with mqtt_world(server) as world:
        world.fabric.gate = Gate(LimitsSettings(channel_per_s=0.01, channel_burst=1))
        async with world.device("limited-device") as device:
            answers = [
                await device.ask(mqtt.Publish("limits/one", b"1", qos=1, packet_id=number))
                for number in (1, 2)
            ]
            assert [answer.code for answer in answers if isinstance(answer, mqtt.Puback)] == [0, 0x97]
            other = await device.ask(mqtt.Publish("limits/two", b"1", qos=1, packet_id=3))
            assert isinstance(other, mqtt.Puback)
            assert other.code == 0
        assert world.refusals("rate") == 1


def messages(how: str, channel: Channel) -> Any:
    async def send() -> None:
        if how == "publish":
            await channel.publish(b"1")
        elif how == "offer":
            channel.offer(channel.envelope(b"1", {}), lambda _: None)
        else:
            async with ChannelPublisher(channel, 8, "live", None) as out:
                await out.send(b"1")

    return send


@pytest.mark.parametrize("how", ["publish", "offer", "publisher"])
async def test_every_way_to_publish_passes_the_gate(server: RunningServer, how: str) -> None:
    gate = Gate(LimitsSettings(tenant_per_s=0.01, tenant_burst=1))
    async with opened(server, "limits-way") as plain:
        fabric = Fabric(plain.session, "limits-way", gate=gate).on_behalf_of("limits-way")
        send = messages(how, fabric.channel(f"limits.{how}"))
        await send()
        with pytest.raises(Refused, match=r"the tenant is over its rate; see \[limits\]") as refused:
            await send()
        assert (refused.value.reason, refused.value.retry_after_ms) == ("rate", 60_000)


async def test_letters_and_jobs_pass_the_gate(server: RunningServer) -> None:
    gate = Gate(LimitsSettings(channel_per_s=0.01, channel_burst=1))
    async with opened(server, "limits-other") as plain:
        fabric = Fabric(plain.session, "limits-other", gate=gate)
        inbox, queue = fabric.inbox("limits-nobody"), fabric.queue("limits-queue")
        for place in (inbox.place, queue.slot(5, None, None).place):
            gate.message("limits-other", place)
        for send in (inbox.send(b"1"), queue.put(b"1")):
            with pytest.raises(Refused, match="rate"):
                await send


async def test_an_mcp_client_names_the_key_under_which_its_call_runs_once(server: RunningServer) -> None:
    async with McpWorld(server, {}).opened() as world:
        ran = []
        for text, key in (("a", "order-7"), ("a", "order-7"), ("b", "order-7"), ("a", 7)):
            meta = META | {"io.agentfabric/idempotency-key": key}
            call = modern("tools/call", meta=meta, name=world.tool("echo"), arguments={"text": text})
            ran.append((await post(world, call)).json())
        assert ran[0]["result"]["content"] == ran[1]["result"]["content"]
        assert len(world.requests) == 1
        assert ran[2]["error"]["data"]["code"] == "idempotency_conflict"
        assert ran[3]["error"]["code"] == -32602


async def test_the_same_json_rpc_id_is_no_key(server: RunningServer) -> None:
    async with McpWorld(server, {}).opened() as world:
        for _ in range(2):
            call = modern("tools/call", id=1, name=world.tool("echo"), arguments={"text": "a"})
            assert "result" in (await post(world, call)).json()
        assert len(world.requests) == 2


async def test_a_circle_through_an_edge_ends_where_its_hops_end(server: RunningServer) -> None:
    async with McpWorld(server, {}).opened() as world:
        meta = META | {"io.agentfabric/fabhops": "0", "io.agentfabric/fabchain": "a.x>b.y"}
        refused = await post(world, modern("tools/call", meta=meta, name=world.tool("nothing")))
        data = refused.json()["error"]["data"]
        assert (data["reason"], data["chain"]) == ("loop", ["a.x", "b.y", world.tool("nothing")])
