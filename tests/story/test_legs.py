"""The demo's verdict: a story with a message missing, doubled or out of place fails under its leg's name."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fabric.client import Crossing
from fabric.demo.legs import LEGS, Evidence, judge
from fabric.demo.outsiders import McpAnswer, Record
from fabric.demo.tree import draw
from fabric_codecs.envelope import Envelope

STORY = (  # hop, peer, kind, id, caused by
    ("mcp.in", "assistant", "request", "call", None),
    ("call", "greenhouse", "request", "call", None),
    ("mcp.out", "assistant", "progress", "p1", "call"),
    ("a2a.in", "greenhouse", "request", "question", "call"),
    ("call", "agronomist", "request", "question", "call"),
    ("a2a.out", "greenhouse", "response", "advice", "question"),
    ("mcp.out", "assistant", "progress", "p2", "call"),
    ("mqtt.out", "vent-1", "event", "order-5", "call"),
    ("mqtt.in", "vent-1", "response", "answer-5", "order-5"),
    ("mcp.out", "assistant", "progress", "p3", "call"),
    ("mqtt.out", "valve-1", "event", "order-3", "call"),
    ("mqtt.in", "valve-1", "response", "answer-3", "order-3"),
    ("mcp.out", "assistant", "progress", "p4", "call"),
    ("mcp.out", "assistant", "response", "result", "call"),
)
Change = Callable[[Evidence], object]


def crossing(sequence: int, hop: str, peer: str, kind: str, identity: str, cause: str | None) -> Crossing:
    envelope = Envelope(
        b"{}", id=identity, source="/nats/x", type="t", fabkind=kind, causationid=cause, correlationid="c"
    )
    return Crossing(envelope, hop, peer, 1000 * sequence, (), "", sequence)


def evidence() -> Evidence:
    story = [crossing(sequence, *row) for sequence, row in enumerate(STORY, 1)]
    journal = [(one.sequence, one.envelope.id, one.hop) for one in story]
    records = [
        Record(offset, b"", [("ce_id", identity.encode())]) for offset, (_, identity, _) in enumerate(journal)
    ]
    answer = McpAnswer(
        ["greenhouse.cool_down", "agronomist.ask"],
        [(step, 4, None) for step in (1, 2, 3, 4)],
        {"vent": {"open": True}, "valve": {"closed": True}},
    )
    topics = {"aiokafka": records, "librdkafka": list(records)}
    return Evidence(answer, story, journal, topics, dict.fromkeys(("mcp", "a2a", "mqtt", "kafka"), "refused"))


def lose(identity: str, hop: str) -> Change:
    def change(seen: Evidence) -> None:
        seen.story = [one for one in seen.story if (one.envelope.id, one.hop) != (identity, hop)]

    return change


def double(identity: str, hop: str) -> Change:
    def change(seen: Evidence) -> None:
        seen.story += [one for one in seen.story if (one.envelope.id, one.hop) == (identity, hop)]

    return change


def at(identity: str, hop: str, time_us: int) -> Change:
    def change(seen: Evidence) -> None:
        seen.story = [
            replace(one, time_us=time_us) if (one.envelope.id, one.hop) == (identity, hop) else one
            for one in seen.story
        ]

    return change


def told(steps: list[float]) -> Change:
    def change(seen: Evidence) -> None:
        assert seen.answer is not None
        seen.answer = seen.answer._replace(progress=[(step, 4, None) for step in steps])

    return change


def result(value: dict[str, object]) -> Change:
    def change(seen: Evidence) -> None:
        assert seen.answer is not None
        seen.answer = seen.answer._replace(result=value)

    return change


def uncaused(identity: str) -> Change:
    def change(seen: Evidence) -> None:
        seen.story = [
            replace(one, envelope=one.envelope.replace(None, causationid="elsewhere"))
            if one.envelope.id == identity
            else one
            for one in seen.story
        ]

    return change


def swap(client: str) -> Change:
    def change(seen: Evidence) -> None:
        records = seen.topics[client]
        records[2], records[3] = records[3]._replace(offset=2), records[2]._replace(offset=3)

    return change


BROKEN: list[tuple[str, Change]] = [
    ("mcp list", lambda seen: seen.answer is not None and seen.answer.tools.pop()),
    ("mcp call", lose("call", "mcp.in")),
    ("mcp call", double("call", "call")),
    ("a2a question", lose("question", "a2a.in")),
    ("a2a question", lose("question", "call")),
    ("a2a question", lose("advice", "a2a.out")),
    ("a2a question", uncaused("question")),
    ("mqtt 5 device", lose("order-5", "mqtt.out")),
    ("mqtt 5 device", double("order-5", "mqtt.out")),
    ("mqtt 5 device", lose("answer-5", "mqtt.in")),
    ("mqtt 5 device", uncaused("answer-5")),
    ("mqtt 5 device", at("answer-5", "mqtt.in", 1)),
    ("mqtt 3.1.1 device", lose("answer-3", "mqtt.in")),
    ("mqtt 3.1.1 device", uncaused("answer-3")),
    ("mcp progress", lose("p2", "mcp.out")),
    ("mcp progress", told([1, 3, 2, 4])),
    ("mcp progress", told([1, 2, 4])),
    ("mcp result", lose("result", "mcp.out")),
    ("mcp result", at("result", "mcp.out", 1)),
    ("mcp result", result({"vent": {"open": True}})),
    ("journal", lambda seen: setattr(seen, "dropped", 1)),
    ("kafka aiokafka", lambda seen: seen.topics["aiokafka"].pop(3)),
    ("kafka aiokafka", swap("aiokafka")),
    ("kafka librdkafka", swap("librdkafka")),
    ("kafka librdkafka", lambda seen: seen.failed.update({"kafka librdkafka": "TimeoutError"})),
    ("mcp wrong token", lambda seen: seen.doors.pop("mcp")),
    ("a2a wrong token", lambda seen: seen.doors.update(a2a="let in: HTTP 200")),
    ("mqtt wrong token", lambda seen: seen.doors.update(mqtt="let in")),
    ("kafka wrong token", lambda seen: seen.doors.update(kafka="let in")),
]


def test_a_whole_story_passes_every_leg() -> None:
    assert judge(evidence()) == dict.fromkeys(LEGS)


@pytest.mark.parametrize(("leg", "change"), BROKEN, ids=[f"{n}-{leg}" for n, (leg, _) in enumerate(BROKEN)])
def test_a_broken_story_fails_by_the_leg_that_broke(leg: str, change: Change) -> None:
    seen = evidence()
    change(seen)
    assert judge(seen)[leg], "and says what is wrong"


def test_every_leg_can_fail() -> None:
    assert {leg for leg, _ in BROKEN} == set(LEGS)


def test_the_tree_shows_each_message_below_its_cause() -> None:
    lines = list(draw(evidence().story))
    assert lines[1].startswith("request")
    assert any(line.startswith(("│  └─ response", "├─ event")) for line in lines)
    answer = next(line for line in lines if "from vent-1" in line)
    order = next(line for line in lines if "to vent-1" in line)
    assert len(answer) - len(answer.lstrip("│ ├└─")) > len(order) - len(order.lstrip("│ ├└─"))
