"""Legacy sessions: what `initialize` began, and which calls run in it. Modern requests have none.

| state | input                        | becomes | what happens                                        |
|-------|------------------------------|---------|-----------------------------------------------------|
| -     | `initialize`, room for it    | open    | an id that cannot be guessed                        |
| -     | `initialize`, table full     | -       | Refused, after the idle ones were forgotten         |
| open  | a request of its principal   | open    | it is not idle                                      |
| open  | a request of another         | open    | not found: a session is nobody else's               |
| open  | idle for too long, no call   | ended   | not found from then on                              |
| open  | DELETE, the edge stops       | ended   | its calls are cancelled at their agents             |
"""

import secrets
from dataclasses import dataclass, field

from fabric.errors import CallCancelled, Refused
from fabric_bridges.mcp.deliver import RunningCall

__all__ = ["Session", "Sessions"]


@dataclass(slots=True)
class Session:
    """One client's session. `calls` are those that run, by typed request id."""

    id: str
    principal: str
    revision: str
    used_at_s: float
    calls: dict[str, RunningCall] = field(default_factory=dict)

    def running(self, key: str) -> RunningCall | None:
        """The call with that request id, when it has not ended."""
        call = self.calls.get(key)
        return call if call is not None and not call.ended else None

    def hold(self, key: str, call: RunningCall) -> None:
        """Remember a call until it ends."""
        self.calls[key] = call

        def drop() -> None:
            if self.calls.get(key) is call:
                del self.calls[key]

        call.when_ended(drop)


class Sessions:
    """All sessions of an edge, of which there are at most `sessions_max`. Times are of a monotonic clock."""

    def __init__(self, sessions_max: int, idle_s: float) -> None:
        self._sessions_max, self._idle_s = sessions_max, idle_s
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, principal: str, revision: str, now_s: float) -> Session:
        """A new session. Raises Refused when there are as many as are allowed."""
        if len(self._open) >= self._sessions_max:
            for session in [session for session in self._open.values() if self._is_idle(session, now_s)]:
                self.end(session)
        if len(self._open) >= self._sessions_max:
            detail = "every session is in use; end one with DELETE, or speak 2026-07-28, which needs none"
            raise Refused("full", retry_after_ms=1000, depth=len(self._open), detail=detail)
        session = Session(secrets.token_urlsafe(24), principal, revision, now_s)
        self._open[session.id] = session
        return session

    def find(self, id: str, principal: str, now_s: float) -> Session | None:
        """The principal's session of that id, used now; None when there is none (any more)."""
        session = self._open.get(id)
        if session is None or session.principal != principal:
            return None
        if self._is_idle(session, now_s):
            self.end(session)
            return None
        session.used_at_s = now_s
        return session

    def end(self, session: Session) -> None:
        """Forget a session; what runs in it is cancelled."""
        self._open.pop(session.id, None)
        for call in session.calls.values():
            call.give_up(CallCancelled(call.target, "the session was ended"))

    def _is_idle(self, session: Session, now_s: float) -> bool:
        return not session.calls and now_s - session.used_at_s > self._idle_s
