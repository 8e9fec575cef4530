"""A task's life and the store of tasks, without a loop, a socket or a clock."""

import json
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fabric.errors import Refused
from fabric_bridges.a2a.deliver import TaskRun
from fabric_bridges.a2a.session import TaskSession, begin
from fabric_bridges.a2a.tasks import TaskStore
from fabric_codecs.a2a.params import read_send
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError

MESSAGE = b'{"messageId":"m-1","role":"ROLE_USER","parts":[{"text":"hi"}],"later":1.0}'
PROGRESS = {"progress": 1, "total": 2, "message": "half"}
RESULT = {"sum": 3}
FAILURE = {"code": "too_hot", "message": "no"}
REFUSAL = {"code": "refused", "message": "full"}
CANCELLATION = {"code": "cancelled", "message": "stop"}

TABLE = [
    ("SUBMITTED", [], 0),
    ("WORKING", [("progress", PROGRESS)], 1),
    ("WORKING", [("progress", PROGRESS)] * 2, 2),
    ("COMPLETED", [("response", RESULT)], 2),
    ("COMPLETED", [("response", None)], 1),
    ("COMPLETED", [("progress", PROGRESS), ("response", RESULT)], 3),
    ("FAILED", [("error", FAILURE)], 1),
    ("FAILED", [("progress", PROGRESS), ("error", FAILURE)], 2),
    ("REJECTED", [("error", REFUSAL)], 1),
    ("CANCELED", [("progress", PROGRESS), ("error", CANCELLATION)], 2),
    ("COMPLETED", [("response", None), ("progress", PROGRESS)], 1),
    ("COMPLETED", [("response", None), ("error", FAILURE)], 1),
    ("FAILED", [("error", FAILURE), ("response", RESULT)], 1),
    ("CANCELED", [("error", CANCELLATION), ("error", CANCELLATION)], 1),
]


def new_task(id: str = "t-1", *, events_max: int = 10, message_id: str = "m-1") -> TaskSession:
    return begin(
        id=id,
        context_id="c-1",
        owner="planner",
        agent="thermostat",
        message_id=message_id,
        message=MESSAGE,
        time="2026-11-21T04:00:00Z",
        events_max=events_max,
    )


def envelope(kind: str, value: object) -> Envelope:
    return Envelope(
        msgspec.json.encode(value),
        id="e-1",
        source="/nats/thermostat",
        type=f"io.agentfabric.{kind}",
        fabkind=kind,
        datacontenttype="application/json",
    )


@pytest.mark.parametrize(("state", "inputs", "events"), TABLE)
def test_state_and_number_of_events_are_those_of_the_table(
    state: str, inputs: list[tuple[str, object]], events: int
) -> None:
    task = new_task()
    for kind, value in inputs:
        task.apply(envelope(kind, value))
    assert task.state == f"TASK_STATE_{state}"
    assert len(task.events) == events
    assert task.is_done is (state not in ("SUBMITTED", "WORKING"))


def test_envelope_that_cannot_be_translated_leaves_the_task_as_it_was() -> None:
    task = new_task()
    with pytest.raises(CodecError):
        task.apply(envelope("presence", {}))
    assert (task.state, task.events) == ("TASK_STATE_SUBMITTED", [])


def test_snapshot_holds_the_message_unless_no_history_is_wanted() -> None:
    task = new_task()
    (turn,) = json.loads(task.snapshot())["history"]
    assert turn == json.loads(MESSAGE) | {"taskId": "t-1", "contextId": "c-1"}
    assert task.snapshot(1) == task.snapshot()
    assert "history" not in json.loads(task.snapshot(0))


def test_snapshot_holds_what_the_task_has_produced() -> None:
    task = new_task()
    task.apply(envelope("artifact", 1))
    task.apply(envelope("response", RESULT))
    shown = json.loads(task.snapshot())
    assert [one["parts"][0]["data"] for one in shown["artifacts"]] == [1, RESULT]
    assert shown["status"]["state"] == "TASK_STATE_COMPLETED"


def test_message_that_says_the_same_is_known_by_its_parts() -> None:
    task = new_task()
    for text, same in (("hi", True), ("ho", False)):
        said = {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": text}]}
        assert task.was_begun_by(read_send(json.dumps({"message": said}).encode()).message) is same


def test_progress_over_the_bound_changes_the_status_and_is_counted_as_folded() -> None:
    task = new_task(events_max=1)
    assert task.apply(envelope("progress", PROGRESS)) == ()
    (loss,) = task.apply(envelope("progress", PROGRESS | {"message": "later"}))
    assert loss.code == "STREAM_COALESCED"
    assert json.loads(task.snapshot())["status"]["message"]["parts"][0]["text"] == "later"
    losses = task.apply(envelope("response", RESULT))
    assert [one.outcome for one in losses] == ["reports folded into the status: 1"]
    assert len(task.events) == 3


def test_artifact_over_the_bound_is_not_kept_and_counted() -> None:
    task = new_task(events_max=1)
    task.apply(envelope("artifact", 1))
    (loss,) = task.apply(envelope("artifact", 2))
    assert loss.code == "STREAM_COALESCED"
    shown = json.loads(task.snapshot())
    assert (len(shown["artifacts"]), shown["status"]["state"]) == (1, "TASK_STATE_SUBMITTED")


def run_of(task: TaskSession) -> TaskRun:
    """As much of a run as a store looks at."""
    return cast(TaskRun, SimpleNamespace(task=task))


def new_store(**changes: Any) -> TaskStore:
    return TaskStore(**{"tasks_max": 2, "bytes_max": 1 << 20, "ttl_s": 60.0} | changes)


def add(store: TaskStore, id: str, now_s: float = 0.0, **changes: Any) -> TaskRun:
    run = run_of(new_task(id, message_id=f"m-{id}", **changes))
    store.make_room(now_s)
    store.add(run)
    return run


def test_task_is_found_by_its_owner_at_its_agent_only() -> None:
    store = new_store()
    run = add(store, "t")
    assert store.find("t", owner="planner", agent="thermostat", now_s=0) is run
    assert store.begun_by("m-t", owner="planner", agent="thermostat", now_s=0) is run
    for owner, agent in (("stranger", "thermostat"), ("planner", "other")):
        assert store.find("t", owner=owner, agent=agent, now_s=0) is None
        assert store.begun_by("m-t", owner=owner, agent=agent, now_s=0) is None


def test_finished_task_is_kept_for_its_time_and_not_longer() -> None:
    store = new_store()
    store.finished(add(store, "t"), 10.0)
    assert store.find("t", owner="planner", agent="thermostat", now_s=69.9)
    assert store.find("t", owner="planner", agent="thermostat", now_s=70.0) is None
    assert len(store) == 0


def test_running_task_is_never_forgotten() -> None:
    store = new_store()
    run = add(store, "t")
    assert store.find("t", owner="planner", agent="thermostat", now_s=1e9) is run
    assert store.running == [run]


def test_oldest_finished_task_makes_room_and_is_counted() -> None:
    store, forgotten = new_store(), []
    store.on_forgotten = lambda: forgotten.append(1)
    first, second = add(store, "a"), add(store, "b")
    store.finished(second, 1.0)
    store.finished(first, 2.0)
    add(store, "c", now_s=3.0)
    assert store.find("b", owner="planner", agent="thermostat", now_s=3.0) is None
    assert store.find("a", owner="planner", agent="thermostat", now_s=3.0) is first
    assert forgotten == [1]


def test_newcomer_is_refused_when_only_running_tasks_are_left() -> None:
    store = new_store()
    add(store, "a")
    add(store, "b")
    with pytest.raises(Refused) as refused:
        store.make_room(0.0)
    assert (refused.value.reason, refused.value.depth) == ("full", 2)
    assert refused.value.retry_after_ms > 0


def test_bytes_are_bounded_too() -> None:
    store = new_store(tasks_max=100, bytes_max=2000)
    run = add(store, "a")
    while run.task.size_bytes < 2000:
        run.task.apply(envelope("progress", PROGRESS))
    with pytest.raises(Refused):
        store.make_room(0.0)
    store.finished(run, 0.0)
    store.make_room(0.0)
    assert len(store) == 0
