"""The client library: what agents import. `fabric.connect` is the door; this package is what is behind it.

Above: `fabric.connect`, `fabric.node`, edges, CLI. Below: `fabric.jetstream` and `fabric.rules`.
"""

from fabric.client.agent import Agent
from fabric.client.audit import Finding
from fabric.client.call import Invocation, Progress, Reply
from fabric.client.cards import AgentCard, Skill, ToolContract, ToolSpec
from fabric.client.channel import Channel
from fabric.client.context import handling
from fabric.client.crew import Crew
from fabric.client.dead import DeadLetter, DeadLetters
from fabric.client.durable import DurableMember
from fabric.client.failure import failure_of
from fabric.client.inbox import Inbox, InboxPublisher
from fabric.client.inbox_owner import OwnedInbox
from fabric.client.job import Job
from fabric.client.letter import Letter
from fabric.client.member import Member, Truncation
from fabric.client.parts import Parts
from fabric.client.publisher import ChannelPublisher
from fabric.client.queue import Putter, Queue
from fabric.client.receipt import Receipt
from fabric.client.reception import AgentLimits
from fabric.client.registry import AgentEvent, Watch
from fabric.client.running import Call
from fabric.client.session import Fabric, Session
from fabric.client.story import Crossing, Message, tree_of
from fabric.client.tool import ToolError
from fabric.client.worker import Worker
from fabric.rules.admission import Rate
from fabric.rules.budget import Budget
from fabric.subjects import channel_of

__all__ = [
    "Agent",
    "AgentCard",
    "AgentEvent",
    "AgentLimits",
    "Budget",
    "Call",
    "Channel",
    "ChannelPublisher",
    "Crew",
    "Crossing",
    "DeadLetter",
    "DeadLetters",
    "DurableMember",
    "Fabric",
    "Finding",
    "Inbox",
    "InboxPublisher",
    "Invocation",
    "Job",
    "Letter",
    "Member",
    "Message",
    "OwnedInbox",
    "Parts",
    "Progress",
    "Putter",
    "Queue",
    "Rate",
    "Receipt",
    "Reply",
    "Session",
    "Skill",
    "ToolContract",
    "ToolError",
    "ToolSpec",
    "Truncation",
    "Watch",
    "Worker",
    "channel_of",
    "failure_of",
    "handling",
    "tree_of",
]
