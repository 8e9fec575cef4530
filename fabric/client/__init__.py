"""The client library: what agents import. `fabric.connect` is the door; this package is what is behind it.

Above: `fabric.connect`, `fabric.node`, edges, CLI. Below: `fabric.jetstream` and `fabric.rules`.
"""

from fabric.client.agent import Agent
from fabric.client.call import Invocation, Progress, Reply, failure_of
from fabric.client.cards import AgentCard, Skill, ToolContract, ToolSpec
from fabric.client.channel import Channel
from fabric.client.crew import Crew
from fabric.client.member import Member
from fabric.client.publisher import ChannelPublisher
from fabric.client.receipt import Receipt
from fabric.client.registry import AgentEvent, Watch
from fabric.client.running import Call
from fabric.client.session import Fabric, Session
from fabric.client.story import Crossing, Message, tree_of
from fabric.client.tool import ToolError
from fabric.subjects import channel_of

__all__ = [
    "Agent",
    "AgentCard",
    "AgentEvent",
    "Call",
    "Channel",
    "ChannelPublisher",
    "Crew",
    "Crossing",
    "Fabric",
    "Invocation",
    "Member",
    "Message",
    "Progress",
    "Receipt",
    "Reply",
    "Session",
    "Skill",
    "ToolContract",
    "ToolError",
    "ToolSpec",
    "Watch",
    "channel_of",
    "failure_of",
    "tree_of",
]
