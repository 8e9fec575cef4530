"""The client library: what agents import. `fabric.connect` is the door; this package is what is behind it.

Above: `fabric.connect`, `fabric.node`, edges, CLI. Below: `fabric.jetstream` and `fabric.rules`.
"""

from fabric.client.agents.agent import Agent
from fabric.client.agents.cards import AgentCard, Skill, ToolContract, ToolSpec
from fabric.client.agents.crew import Crew
from fabric.client.agents.registry import AgentEvent, Watch
from fabric.client.audit import Finding
from fabric.client.calls.call import Invocation, Progress, Reply
from fabric.client.calls.failure import failure_of
from fabric.client.calls.parts import Parts
from fabric.client.calls.reception import AgentLimits
from fabric.client.calls.running import Call
from fabric.client.calls.tool import ToolError
from fabric.client.channels.channel import Channel
from fabric.client.channels.durable import DurableMember
from fabric.client.channels.member import Member, Truncation
from fabric.client.channels.publisher import ChannelPublisher
from fabric.client.context import handling
from fabric.client.dead import DeadLetter, DeadLetters
from fabric.client.inboxes.inbox import Inbox, InboxPublisher
from fabric.client.inboxes.letter import Letter
from fabric.client.inboxes.owner import OwnedInbox
from fabric.client.queues.job import Job
from fabric.client.queues.queue import Putter, Queue
from fabric.client.queues.worker import Worker
from fabric.client.receipt import Receipt
from fabric.client.session import Fabric, Session
from fabric.client.story import Crossing, Message, tree_of
from fabric.rules.admission import Rate
from fabric.rules.calls.budget import Budget
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
