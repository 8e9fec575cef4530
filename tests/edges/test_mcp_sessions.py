"""Legacy MCP sessions as a table: room, owners, and time that the test moves."""

from collections.abc import Callable

import pytest

from fabric.errors import CallCancelled, FabricError, Refused
from fabric_bridges.mcp.session import Session, Sessions

IDLE_S = 100.0


class Call:
    """As much of a running call as a session knows."""

    target = "a.b"

    def __init__(self) -> None:
        self.ended = False
        self.given_up: FabricError | None = None
        self._then: list[Callable[[], None]] = []

    def when_ended(self, act: Callable[[], None]) -> None:
        self._then.append(act)

    def end(self) -> None:
        self.ended = True
        for act in self._then:
            act()

    def give_up(self, why: FabricError) -> None:
        self.given_up = why


def begin(sessions: Sessions, now_s: float = 0.0, principal: str = "ann") -> Session:
    return sessions.begin(principal, "2025-11-25", now_s)


def test_a_session_is_found_by_its_owner_and_nobody_else() -> None:
    sessions = Sessions(2, IDLE_S)
    session = begin(sessions)
    assert sessions.find(session.id, "ann", 1) is session
    assert sessions.find(session.id, "eve", 1) is None
    assert sessions.find("guessed", "ann", 1) is None


def test_ids_cannot_be_guessed_from_each_other() -> None:
    sessions = Sessions(100, IDLE_S)
    ids = {begin(sessions).id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(id) >= 32 and id.isascii() and id.isprintable() for id in ids)


def test_use_keeps_a_session_and_idleness_ends_it() -> None:
    sessions = Sessions(2, IDLE_S)
    session = begin(sessions)
    assert sessions.find(session.id, "ann", IDLE_S) is session
    assert sessions.find(session.id, "ann", 2 * IDLE_S) is session
    assert sessions.find(session.id, "ann", 3 * IDLE_S + 1) is None
    assert len(sessions) == 0


def test_a_running_call_keeps_a_session_and_an_ended_one_does_not() -> None:
    sessions = Sessions(2, IDLE_S)
    session = begin(sessions)
    call = Call()
    session.hold("i:1", call)  # type: ignore[arg-type]
    assert session.running("i:1") is call
    assert sessions.find(session.id, "ann", 10 * IDLE_S) is session
    call.end()
    assert session.running("i:1") is None
    assert not session.calls
    assert sessions.find(session.id, "ann", 20 * IDLE_S) is None


def test_the_end_of_a_call_does_not_take_its_successor_with_it() -> None:
    session = begin(Sessions(2, IDLE_S))
    first, second = Call(), Call()
    for call in (first, second):  # the same id again, once the first has ended
        session.hold("i:1", call)  # type: ignore[arg-type]
    first.end()
    assert session.running("i:1") is second


def test_room_is_made_by_forgetting_the_idle_and_nobody_else() -> None:
    sessions = Sessions(2, IDLE_S)
    idle, used = begin(sessions), begin(sessions)
    assert sessions.find(used.id, "ann", 90) is used
    third = begin(sessions, now_s=IDLE_S + 1)
    assert sessions.find(idle.id, "ann", IDLE_S + 1) is None
    assert sessions.find(used.id, "ann", IDLE_S + 1) is used
    with pytest.raises(Refused, match="every session is in use") as refused:
        begin(sessions, now_s=IDLE_S + 1)
    assert (refused.value.reason, refused.value.depth) == ("full", 2)
    assert sessions.find(third.id, "ann", IDLE_S + 1) is third


def test_the_end_of_a_session_is_the_end_of_its_calls() -> None:
    sessions = Sessions(2, IDLE_S)
    session, call = begin(sessions), Call()
    session.hold("i:1", call)  # type: ignore[arg-type]
    sessions.end(session)
    assert isinstance(call.given_up, CallCancelled)
    assert len(sessions) == 0
