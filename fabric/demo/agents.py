"""The two agents of the demo, each a process of its own: `python -m fabric.demo.agents
greenhouse|agronomist`.

They are what a user would write: the client library, and for the question to the other agent the stock A2A
client.
"""

import asyncio
import base64
import os
import sys
from typing import Any

import httpx
import uvloop
from a2a.client import ClientConfig, ClientFactory
from a2a.helpers import get_data_parts
from a2a.types import Message, Part, Role, SendMessageRequest

import fabric
from fabric.client import Agent, Fabric

__all__ = ["main"]

DEVICE_TIMEOUT_S = 10.0
VENT, VALVE = "devices.vent", "devices.valve"


def agronomist(me: Agent) -> None:
    """An agent that knows what plants like."""

    @me.tool(name="ask", side_effects="none")
    async def ask(text: str, call: fabric.Call) -> dict[str, Any]:
        """Which temperature is right?"""
        call.progress(1, 2, "looking at the crop")
        await asyncio.sleep(0)
        call.progress(2, 2, "comparing with last year")
        return {"celsius": 21.5, "reason": "tomatoes in flower"}


def greenhouse(me: Agent) -> None:
    """An agent that runs a greenhouse: it asks, commands two devices, and reports."""

    @me.tool(side_effects="writes", errors=("device_silent",))
    async def cool_down(zone: str, call: fabric.Call) -> dict[str, Any]:
        """Bring a zone to the temperature that its crop likes."""
        call.progress(1, 4, "asking the agronomist")
        advice = await ask_agronomist(f"how cool may {zone} be?", call)
        call.progress(2, 4, "opening the vent")
        vent = await command(
            me, VENT, {"open": True, "target": advice["celsius"]}, call, reply=f"{VENT}.reply"
        )
        call.progress(3, 4, "closing the valve")
        valve = await command(
            me, VALVE, {"closed": True, "call": call.id}, call, reply=f"{VALVE}.reply.{call.id}"
        )
        call.progress(4, 4, "done")
        return {"zone": zone, "advice": advice, "vent": vent, "valve": valve}


async def command(me: Agent, device: str, order: dict[str, Any], call: fabric.Call, *, reply: str) -> Any:
    """Publish an order to a device and wait for what it answers on the reply channel."""
    correlation = base64.b64encode(call.id.encode()).decode()
    async with me.channel(reply).join() as answers, asyncio.timeout(DEVICE_TIMEOUT_S):
        await me.channel(f"{device}.command").publish(order, fabreply=reply, fabcorr=correlation)
        async for envelope in answers:
            return envelope.json()
    raise fabric.ToolError("device_silent", f"{device} gave no answer", retriable=True)


async def ask_agronomist(question: str, call: fabric.Call) -> dict[str, Any]:
    """A question to the other agent over A2A, as any A2A client would put it; the answer is its artifact."""
    message = Message(message_id=f"{call.id}-q", context_id=call.conversation, role=Role.ROLE_USER)
    message.parts.append(Part(text=question))
    message.metadata.update(call.trace())
    headers = {"Authorization": f"Bearer {os.environ['DEMO_A2A_TOKEN']}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        factory = ClientFactory(ClientConfig(httpx_client=http, streaming=True))
        client = await factory.create_from_url(f"{os.environ['DEMO_A2A_URL']}/agronomist")
        events = client.send_message(SendMessageRequest(message=message))
        parts = [part async for event in events for part in event.artifact_update.artifact.parts]
    if not (advice := get_data_parts(parts)):
        raise fabric.ToolError("no_advice", "the agronomist's task ended without an artifact")
    return dict(advice[0])


ROLES = {"greenhouse": (greenhouse, ["climate"]), "agronomist": (agronomist, ["plants"])}


async def main(name: str) -> None:
    """Be that agent until standard input closes, which is when the demo ends."""
    role, skills = ROLES[name]
    async with fabric.connect(name=name) as fab:
        await live(fab, name, role, skills)


async def live(fab: Fabric, name: str, role: Any, skills: list[str]) -> None:
    """Offer the role's tools and say so, then wait for the end."""
    agent = fab.agent(name, skills=skills, description=role.__doc__ or "")
    role(agent)
    async with agent:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
