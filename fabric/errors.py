"""Every error a user of the fabric can meet. One root, branches by blame, each built from facts and telling
the next step.

`code` is stable and the same in code, CLI, metrics and on every protocol's wire; `retriable` says whether
the same request may succeed later: retry loops ask the error, they keep no lists.
"""

from typing import ClassVar

__all__ = [
    "CallCancelled",
    "CallFailed",
    "ConfigInvalid",
    "CursorAhead",
    "DeadlineExceeded",
    "FabricError",
    "Fenced",
    "IdempotencyConflict",
    "InternalError",
    "InvalidName",
    "LimitExceeded",
    "NameInUse",
    "NoSuchAgent",
    "NoSuchLetter",
    "NoSuchTool",
    "NoSuchTopic",
    "NotHeld",
    "OutcomeUnknown",
    "PermissionDenied",
    "PortInUse",
    "Refused",
    "ServerFailed",
    "ServerTooOld",
    "StreamBroken",
    "Unauthenticated",
    "Unreachable",
]


class FabricError(Exception):
    """Root of all errors raised by the fabric."""

    code: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False


# The caller's side: mend the request.


class InvalidName(FabricError, ValueError):
    """A channel, agent, queue or topic name that cannot be one."""

    code = "invalid_name"

    def __init__(self, what: str, name: str, problem: str) -> None:
        self.what, self.name, self.problem = what, name, problem
        super().__init__(f"{what} {name!r} is not a valid name: {problem}")


class LimitExceeded(FabricError):
    """A message or a value over a limit of the fabric."""

    code = "limit_exceeded"

    def __init__(self, limit: str, *, allowed: int, actual: int, hint: str = "") -> None:
        self.limit, self.allowed, self.actual = limit, allowed, actual
        super().__init__(f"{limit} is {actual:,}, allowed are {allowed:,}" + (f": {hint}" if hint else ""))


class NoSuchAgent(FabricError):
    """Nobody of that name is there: never was, or its lease ended."""

    code = "no_such_agent"
    retriable = True

    def __init__(self, agent: str) -> None:
        self.agent = agent
        super().__init__(f"no agent {agent!r} is live; `fabric ls` shows who is")


class NoSuchTool(FabricError):
    """The agent is there and has no tool of that name."""

    code = "no_such_tool"

    def __init__(self, agent: str, tool: str, known: tuple[str, ...] = ()) -> None:
        self.agent, self.tool, self.known = agent, tool, known
        offers = f"; it offers {', '.join(known)}" if known else "; it offers none"
        super().__init__(f"agent {agent!r} has no tool {tool!r}{offers}")


class NoSuchTopic(FabricError):
    """A Kafka topic that is neither configured nor a name a channel can have."""

    code = "no_such_topic"

    def __init__(self, topic: str, problem: str = "") -> None:
        self.topic = topic
        super().__init__(f"no topic {topic!r}" + (f": {problem}" if problem else ""))


class NoSuchLetter(FabricError):
    """No dead letter of that number: it was redriven, or its time was over."""

    code = "no_such_letter"

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(
            f"no dead letter {number}: redriven already, or too old; `fabric dead ls` shows what is there"
        )


class CursorAhead(FabricError):
    """A position that the log has not reached: it was taken from another log, or this one lost its end."""

    code = "cursor_ahead"

    def __init__(self, stream: str, position: int, end: int) -> None:
        self.stream, self.position, self.end = stream, position, end
        super().__init__(
            f"the log {stream} ends at {end:,}, before the position {position:,} after which to begin; "
            "begin at 'now' or at the 'beginning'"
        )


class NotHeld(FabricError):
    """Settling a job that is not ours any more: nothing was sent to the server."""

    code = "not_held"

    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(
            f"job {job} is not held: it was settled before, its worker has stopped, or its time ran out and "
            "another worker may have it; `extend` it while it takes long"
        )


class NameInUse(FabricError):
    """Another live process holds the agent's name."""

    code = "name_in_use"
    retriable = True

    def __init__(self, agent: str, holder: str) -> None:
        self.agent, self.holder = agent, holder
        super().__init__(
            f"agent {agent!r} is live in process {holder}; choose another name or pass take_over=True"
        )


class Fenced(FabricError):
    """What this process owned has another owner now; it must stop writing."""

    code = "fenced"

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        super().__init__(f"{what} is not ours any more: {why}")


class IdempotencyConflict(FabricError):
    """The idempotency key was used before, by the same caller for the same tool, with other arguments."""

    code = "idempotency_conflict"

    def __init__(self, target: str, key: str) -> None:
        self.target, self.key = target, key
        super().__init__(
            f"{target}: the idempotency key {key!r} was used with other arguments; choose a new key"
        )


class PermissionDenied(FabricError):
    """The credential does not allow it."""

    code = "permission_denied"

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"not allowed: {what}" + (f"; {hint}" if hint else ""))


class Unauthenticated(FabricError):
    """No credential, or a wrong one. Never says which part was wrong."""

    code = "unauthenticated"

    def __init__(self, where: str, hint: str = "") -> None:
        super().__init__(f"{where} needs a valid credential" + (f": {hint}" if hint else ""))


class ConfigInvalid(FabricError):
    """fabric.toml, an environment variable or a flag that cannot be used."""

    code = "config_invalid"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


class PortInUse(FabricError):
    """A listener's port is taken."""

    code = "port_in_use"

    def __init__(self, what: str, host: str, port: int, holder: str) -> None:
        self.what, self.host, self.port, self.holder = what, host, port, holder
        super().__init__(
            f"{what} cannot listen on {host}:{port}: held by {holder}; stop it or choose another port"
        )


# Refusals and deadlines: come back later.


class Refused(FabricError):
    """The fabric did not take the message, and says why and when to come back. Nothing was stored unless
    `unknown`.

    `reason` is one of `full`, `rate`, `timeout`, `too_large`, `denied`, `closing`, `unreachable`,
    `conflict` (somebody else wrote first), `loop` (the chain of messages is too long), `budget` (nothing is
    left to spend); the last two name in `chain` the messages that led there, oldest first.
    `unknown` is True when the outcome could not be learned: the message may or may not have been stored.
    `depth` (messages waiting) and `share` (this source's part of it, 0 to 1) are None where they do not
    apply.
    """

    code = "refused"
    retriable = True

    def __init__(
        self,
        reason: str,
        *,
        retry_after_ms: int = 0,
        depth: int | None = None,
        share: float | None = None,
        unknown: bool = False,
        detail: str = "",
        chain: tuple[str, ...] = (),
    ) -> None:
        self.reason = reason
        self.retry_after_ms = retry_after_ms
        self.depth = depth
        self.share = share
        self.unknown = unknown
        self.detail = detail
        self.chain = chain
        sentence = f"refused ({reason})" + (f": {detail}" if detail else "")
        if chain:
            sentence += f"; after {' > '.join(chain)}"
        if unknown:
            sentence += "; it may or may not have been stored"
        if retry_after_ms:
            sentence += f"; try again in {retry_after_ms} ms"
        super().__init__(sentence)


class DeadlineExceeded(FabricError):
    """The answer did not come in time. The work may still be going on unless it was cancelled."""

    code = "deadline_exceeded"
    retriable = True

    def __init__(self, what: str, deadline_s: float) -> None:
        self.what, self.deadline_s = what, deadline_s
        super().__init__(f"{what} gave no answer within {deadline_s:g} s; it was told to stop")


# The peer's side.


class CallFailed(FabricError):
    """The agent's handler raised. `remote_code` and `data` are the agent's own words."""

    code = "call_failed"

    def __init__(
        self,
        target: str,
        remote_code: str,
        message: str,
        *,
        remote_retriable: bool = False,
        data: object = None,
    ) -> None:
        self.target, self.remote_code, self.message, self.data = target, remote_code, message, data
        self.remote_retriable = remote_retriable
        super().__init__(f"{target} failed ({remote_code}): {message}")


class CallCancelled(FabricError):
    """The call was cancelled before it ended, by the caller or because the agent left."""

    code = "cancelled"

    def __init__(self, target: str, why: str) -> None:
        self.target = target
        super().__init__(f"call of {target} was cancelled: {why}")


class OutcomeUnknown(FabricError):
    """A kept call whose execution ended without a result: its agent died, left or ran out of time. Whether
    the tool had its effects nobody can say, and its contract does not allow to run it again."""

    code = "outcome_unknown"

    def __init__(self, target: str, key: str) -> None:
        self.target, self.key = target, key
        super().__init__(
            f"{target} with the idempotency key {key!r} was begun and never ended; find out whether it had"
            " effect, then call with a new key"
        )


class StreamBroken(FabricError):
    """A streamed answer with a hole or more parts than were asked for: what came so far is whole."""

    code = "stream_broken"

    def __init__(self, target: str, problem: str) -> None:
        self.target = target
        super().__init__(f"the stream of {target} broke: {problem}; call it again")


class Unreachable(FabricError):
    """No NATS server answers."""

    code = "unreachable"
    retriable = True

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        super().__init__(f"no NATS server at {url}: {problem}; start one with `fabric up`, or set FABRIC_URL")


class ServerTooOld(FabricError):
    """The NATS server lacks what the fabric builds on."""

    code = "server_too_old"

    def __init__(self, found: str, needed: str) -> None:
        super().__init__(
            f"nats-server {found} is too old: {needed} or newer is needed (message TTLs, republish)"
        )


class ServerFailed(FabricError):
    """The embedded nats-server did not start."""

    code = "server_failed"

    def __init__(self, problem: str, log_file: str) -> None:
        self.log_file = log_file
        super().__init__(f"nats-server did not start: {problem}; its log is {log_file}")


class InternalError(FabricError):
    """Our own fault. Please report it with its text."""

    code = "internal"
