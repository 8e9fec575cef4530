"""The operations of A2A, one row each, in their three spellings: JSON-RPC 1.0, JSON-RPC 0.3, HTTP+JSON.

Sources: A2A 1.0.1, 5.3 (method mapping), 9 (JSON-RPC), 11 (HTTP+JSON) and `a2a.proto`'s annotations; 0.3,
3.5.6. `{name}` in a path is a param that moves there; what is left goes into the body, or into the query
where the verb has none.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["OPERATIONS", "Operation", "find_operation"]

Kind = str  # of a JSON value: string, object, array, number, boolean


class Operation(NamedTuple):
    """One operation. `old_name` is empty for what came with 1.0. `query` are the params that may stand in the
    query, with their kinds; `required` those that must be there, wherever they stand."""

    name: str
    old_name: str
    verb: str
    path: str
    required: Mapping[str, Kind]
    query: Mapping[str, Kind] = {}
    streams: bool = False
    verbs_too: tuple[str, ...] = ()  # verbs that are also taken

    @property
    def clause(self) -> str:
        """Where the specification says what it does; the rows stand in its order."""
        return f"A2A 1.0.1, 3.1.{OPERATIONS.index(self) + 1}"

    @property
    def has_body(self) -> bool:
        """Whether params travel in a body."""
        return self.verb == "POST"


_TASK: Final = {"id": "string"}
_CONFIG: Final = {"taskId": "string", "id": "string"}
_HISTORY: Final = {"historyLength": "number"}
_PAGE: Final = {"pageSize": "number", "pageToken": "string"}
_CONFIGS: Final = "/tasks/{taskId}/pushNotificationConfigs"

OPERATIONS: Final = (
    Operation("SendMessage", "message/send", "POST", "/message:send", {"message": "object"}),
    Operation(
        "SendStreamingMessage",
        "message/stream",
        "POST",
        "/message:stream",
        {"message": "object"},
        streams=True,
    ),
    Operation("GetTask", "tasks/get", "GET", "/tasks/{id}", _TASK, _HISTORY),
    Operation(
        "ListTasks",
        "",
        "GET",
        "/tasks",
        {},
        {
            "contextId": "string",
            "status": "string",
            "statusTimestampAfter": "string",
            "includeArtifacts": "boolean",
            **_PAGE,
            **_HISTORY,
        },
    ),
    Operation("CancelTask", "tasks/cancel", "POST", "/tasks/{id}:cancel", _TASK),
    # The table of 11.3.1 says POST, the annotation GET; the official SDK serves both.
    Operation(
        "SubscribeToTask",
        "tasks/resubscribe",
        "POST",
        "/tasks/{id}:subscribe",
        _TASK,
        streams=True,
        verbs_too=("GET",),
    ),
    Operation(
        "CreateTaskPushNotificationConfig",
        "tasks/pushNotificationConfig/set",
        "POST",
        _CONFIGS,
        {"taskId": "string"},
    ),
    Operation(
        "GetTaskPushNotificationConfig",
        "tasks/pushNotificationConfig/get",
        "GET",
        _CONFIGS + "/{id}",
        _CONFIG,
    ),
    Operation(
        "ListTaskPushNotificationConfigs",
        "tasks/pushNotificationConfig/list",
        "GET",
        _CONFIGS,
        {"taskId": "string"},
        _PAGE,
    ),
    Operation(
        "DeleteTaskPushNotificationConfig",
        "tasks/pushNotificationConfig/delete",
        "DELETE",
        _CONFIGS + "/{id}",
        _CONFIG,
    ),
    Operation("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", "GET", "/extendedAgentCard", {}),
)

_BY_NAME: Final = {operation.name: operation for operation in OPERATIONS} | {
    operation.old_name: operation for operation in OPERATIONS if operation.old_name
}


def find_operation(method: str) -> Operation | None:
    """The operation of a JSON-RPC method, in either version's spelling."""
    return _BY_NAME.get(method)
