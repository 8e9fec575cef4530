"""Every method and notification of MCP, one row each: who says it, in which revisions, and what it must hold.

Sources: the schema of each revision (`schema/<revision>/schema.ts`), tasks: extension
`io.modelcontextprotocol/tasks` (SEP-2663) and, for 2025-11-25, the experimental tasks of its core. A member
stands with the kind of value that it needs; what a row does not name is optional or unknown, and let be.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

__all__ = ["CLIENT", "METHODS", "MODERN", "REVISIONS", "SERVER", "Method", "find_method"]

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
MODERN: Final = "2026-07-28"

Kind = Literal["string", "object", "array", "number", "id", "any"]
Members = Mapping[str, Kind]


class Method(NamedTuple):
    """One method. `params` and `result` are the members that must be there; `result` None: a notification.

    `cached` results of 2026-07-28 also say how long they are good for. `about` names the param that says what
    the request is about (2026-07-28, streamable HTTP: the header `Mcp-Name`).
    """

    name: str
    speakers: tuple[str, ...]
    revisions: tuple[str, ...]
    params: Members
    result: Members | None
    about: str = ""
    cached: bool = False

    @property
    def is_request(self) -> bool:
        """Whether somebody answers."""
        return self.result is not None

    def required_result(self, revision: str) -> Members:
        """What a final result must hold in that revision. `resultType` may be absent: that means `complete`
        (2026-07-28, basic, "Result type")."""
        members = dict(self.result or {})
        if revision == MODERN and self.cached:
            members |= {"ttlMs": "number", "cacheScope": "string"}
        return members


CLIENT: Final = "client"
SERVER: Final = "server"
BOTH: Final = (CLIENT, SERVER)
ALL: Final = REVISIONS
LEGACY: Final = REVISIONS[:-1]
FROM_06: Final = REVISIONS[2:-1]
ONLY_11: Final = ("2025-11-25",)
ONLY_NEW: Final = (MODERN,)
TASKS: Final = ("2025-11-25", MODERN)
NOTHING: Final[Members] = {}
TASK: Final[Members] = {"taskId": "string"}


def _client(
    name: str, revisions: tuple[str, ...], params: Members, result: Members, about: str = ""
) -> Method:
    return Method(name, (CLIENT,), revisions, params, result, about)


def _listing(name: str, member: str) -> Method:
    return Method(name, (CLIENT,), ALL, NOTHING, {member: "array"}, cached=True)


def _told(
    name: str, speakers: tuple[str, ...], revisions: tuple[str, ...], params: Members = NOTHING
) -> Method:
    return Method(name, speakers, revisions, params, None)


METHODS: Final = (
    # The beginning: a handshake until 2025-11-25, a question since
    _client(
        "initialize",
        LEGACY,
        {"protocolVersion": "string", "capabilities": "object", "clientInfo": "object"},
        {"protocolVersion": "string", "capabilities": "object", "serverInfo": "object"},
    ),
    _told("notifications/initialized", (CLIENT,), LEGACY),
    Method(
        "server/discover",
        (CLIENT,),
        ONLY_NEW,
        NOTHING,
        {"supportedVersions": "array", "capabilities": "object"},
        cached=True,
    ),
    Method("ping", BOTH, LEGACY, NOTHING, NOTHING),
    # Tools, prompts, resources
    _listing("tools/list", "tools"),
    _client("tools/call", ALL, {"name": "string"}, {"content": "array"}, "name"),
    _listing("prompts/list", "prompts"),
    _client("prompts/get", ALL, {"name": "string"}, {"messages": "array"}, "name"),
    _listing("resources/list", "resources"),
    _listing("resources/templates/list", "resourceTemplates"),
    Method("resources/read", (CLIENT,), ALL, {"uri": "string"}, {"contents": "array"}, "uri", cached=True),
    _client("resources/subscribe", LEGACY, {"uri": "string"}, NOTHING),
    _client("resources/unsubscribe", LEGACY, {"uri": "string"}, NOTHING),
    _client("subscriptions/listen", ONLY_NEW, {"notifications": "object"}, {"_meta": "object"}),
    _client("completion/complete", ALL, {"ref": "object", "argument": "object"}, {"completion": "object"}),
    _client("logging/setLevel", LEGACY, {"level": "string"}, NOTHING),
    # Tasks: experimental in 2025-11-25, an extension since
    _client("tasks/get", TASKS, TASK, {"taskId": "string", "status": "string"}, "taskId"),
    _client("tasks/cancel", TASKS, TASK, NOTHING, "taskId"),
    _client("tasks/update", ONLY_NEW, {"taskId": "string", "inputResponses": "object"}, NOTHING, "taskId"),
    _client("tasks/result", ONLY_11, TASK, NOTHING, "taskId"),
    _client("tasks/list", ONLY_11, NOTHING, {"tasks": "array"}),
    # What a server asks its client, until 2025-11-25
    Method("roots/list", (SERVER,), LEGACY, NOTHING, {"roots": "array"}),
    Method(
        "sampling/createMessage",
        (SERVER,),
        LEGACY,
        {"messages": "array", "maxTokens": "number"},
        {"role": "string", "content": "any", "model": "string"},
    ),
    Method("elicitation/create", (SERVER,), FROM_06, {"message": "string"}, {"action": "string"}),
    # Notifications
    _told("notifications/cancelled", BOTH, (*REVISIONS[:3], MODERN), {"requestId": "id"}),
    _told("notifications/cancelled", BOTH, ONLY_11),  # optional there: tasks have a cancel of their own
    _told("notifications/progress", BOTH, LEGACY, {"progressToken": "id", "progress": "number"}),
    _told("notifications/progress", (SERVER,), ONLY_NEW, {"progressToken": "id", "progress": "number"}),
    _told("notifications/message", (SERVER,), ALL, {"level": "string", "data": "any"}),
    _told("notifications/tools/list_changed", (SERVER,), ALL),
    _told("notifications/prompts/list_changed", (SERVER,), ALL),
    _told("notifications/resources/list_changed", (SERVER,), ALL),
    _told("notifications/resources/updated", (SERVER,), ALL, {"uri": "string"}),
    _told("notifications/roots/list_changed", (CLIENT,), LEGACY),
    _told("notifications/elicitation/complete", (SERVER,), ONLY_11, {"elicitationId": "string"}),
    _told("notifications/subscriptions/acknowledged", (SERVER,), ONLY_NEW, {"notifications": "object"}),
    _told("notifications/tasks/status", BOTH, ONLY_11, {"taskId": "string", "status": "string"}),
    _told("notifications/tasks", (SERVER,), ONLY_NEW, {"taskId": "string", "status": "string"}),
)

_BY_NAME: Final = {
    (method.name, revision, speaker): method
    for method in METHODS
    for revision in method.revisions
    for speaker in method.speakers
}


def find_method(name: str, *, revision: str, speaker: str) -> Method | None:
    """The method that a `client` or `server` of that revision may speak; None when there is none."""
    return _BY_NAME.get((name, revision, speaker))
