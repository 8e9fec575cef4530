"""The verdict: each leg of the story judged by what the journal holds and what the outsiders saw.

A leg is a function of the evidence that answers None, or what is wrong. A leg whose code is gone, whose
message is missing, doubled or out of order fails under its own name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fabric.client import Crossing
from fabric.demo.outsiders import McpAnswer, Record

__all__ = ["LEGS", "Evidence", "judge"]

AGENTS = ("greenhouse.cool_down", "agronomist.ask")


@dataclass(slots=True)
class Evidence:
    """What there is to judge; a part that never happened is empty, and `failed` says what the attempt
    raised, by leg."""

    answer: McpAnswer | None = None
    story: list[Crossing] = field(default_factory=list)
    journal: list[tuple[int, str, str]] = field(default_factory=list)  # sequence, id, hop of every record
    topics: dict[str, list[Record]] = field(default_factory=dict)
    doors: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def at(self, hop: str, *, kind: str | None = None, peer: str | None = None) -> list[Crossing]:
        """The crossings of one hop, in the journal's order."""
        return [
            one
            for one in self.story
            if one.hop == hop and kind in (None, one.envelope.kind) and peer in (None, one.peer)
        ]


def listed(evidence: Evidence) -> str | None:
    """The MCP client saw the tools of both agents."""
    if evidence.answer is None:
        return "the MCP client got no answer"
    missing = [tool for tool in AGENTS if tool not in evidence.answer.tools]
    return f"not among the tools: {', '.join(missing)}" if missing else None


def called(evidence: Evidence) -> str | None:
    """The call came in over MCP once and reached the agent once."""
    came, reached = evidence.at("mcp.in", kind="request"), evidence.at("call", peer="greenhouse")
    if len(came) != 1 or len(reached) != 1:
        return f"{len(came)} calls came in over MCP, {len(reached)} reached the agent"
    return None if came[0].envelope.id == reached[0].envelope.id else "the call changed its id on the way"


def progressed(evidence: Evidence) -> str | None:
    """Every progress of the agent reached the MCP client, in order."""
    told = [] if evidence.answer is None else [step for step, _, _ in evidence.answer.progress]
    sent = len(evidence.at("mcp.out", kind="progress"))
    if told != sorted(set(told)):
        return f"progress came as {told}"
    return (
        None if len(told) == sent == 4 else f"{len(told)} of 4 progress notifications came, {sent} were sent"
    )


def asked(evidence: Evidence) -> str | None:
    """The other agent was asked over A2A, because of the call, and its answer left over A2A."""
    came = evidence.at("a2a.in", kind="request")
    if len(came) != 1:
        return f"{len(came)} questions came in over A2A"
    if not evidence.at("mcp.in") or came[0].envelope.causationid != evidence.at("mcp.in")[0].envelope.id:
        return "the question does not say that the call caused it"
    if len(evidence.at("call", peer="agronomist")) != 1:
        return "the question did not reach the agent once"
    finals = evidence.at("a2a.out", kind="response")
    return None if len(finals) == 1 else f"{len(finals)} answers left over A2A"


def commanded(device: str) -> Callable[[Evidence], str | None]:
    """An order went out to the device, and its answer came back because of it."""

    def leg(evidence: Evidence) -> str | None:
        orders, answers = evidence.at("mqtt.out", peer=device), evidence.at("mqtt.in", peer=device)
        if len(orders) != 1 or len(answers) != 1:
            return f"{len(orders)} orders went to {device}, {len(answers)} answers came"
        if answers[0].envelope.causationid != orders[0].envelope.id:
            return f"the answer of {device} does not say which order caused it"
        return None if answers[0].time_us >= orders[0].time_us else f"{device} answered before it was asked"

    return leg


def resulted(evidence: Evidence) -> str | None:
    """The devices' answers are the MCP call's result."""
    finals = evidence.at("mcp.out", kind="response")
    if len(finals) != 1 or evidence.answer is None:
        return f"{len(finals)} results left over MCP"
    result = evidence.answer.result
    if result.get("vent") != {"open": True} or result.get("valve") != {"closed": True}:
        return f"the result lacks what the devices said: {result}"
    last_answer = max((one.time_us for one in evidence.at("mqtt.in")), default=0)
    return None if finals[0].time_us >= last_answer else "the result left before the devices answered"


def told(client: str) -> Callable[[Evidence], str | None]:
    """The Kafka topic holds the whole journal, in its order, with dense offsets from 0."""

    def leg(evidence: Evidence) -> str | None:
        records = evidence.topics.get(client, [])
        if [record.offset for record in records] != list(range(len(evidence.journal))):
            return f"offsets are not 0 to {len(evidence.journal) - 1}: {len(records)} records"
        for record, (sequence, identity, _) in zip(records, evidence.journal, strict=True):
            if record.header("ce_id") != identity:
                return f"offset {record.offset} is not the journal's record {sequence}"
        return None

    return leg


def refused(edge: str) -> Callable[[Evidence], str | None]:
    """A wrong token was refused."""

    def leg(evidence: Evidence) -> str | None:
        said = evidence.doors.get(edge, "nobody answered")
        return said if said.startswith(("let in", "nobody")) else None

    return leg


def recorded(evidence: Evidence) -> str | None:
    """No record of the journal was dropped."""
    return f"{evidence.dropped} records were dropped" if evidence.dropped else None


LEGS: dict[str, Callable[[Evidence], str | None]] = {
    "mcp list": listed,
    "mcp call": called,
    "a2a question": asked,
    "mqtt 5 device": commanded("vent-1"),
    "mqtt 3.1.1 device": commanded("valve-1"),
    "mcp progress": progressed,
    "mcp result": resulted,
    "journal": recorded,
    "kafka aiokafka": told("aiokafka"),
    "kafka librdkafka": told("librdkafka"),
    "mcp wrong token": refused("mcp"),
    "a2a wrong token": refused("a2a"),
    "mqtt wrong token": refused("mqtt"),
    "kafka wrong token": refused("kafka"),
}


def judge(evidence: Evidence) -> dict[str, str | None]:
    """Every leg's name and what is wrong with it, None when nothing is."""
    verdicts = {}
    for name, leg in LEGS.items():
        problem = leg(evidence)
        cause = evidence.failed.get(name)
        verdicts[name] = f"{problem} ({cause})" if problem and cause else problem or cause
    return verdicts
