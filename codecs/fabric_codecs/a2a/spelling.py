"""A2A 0.3 <-> 1.0: the same messages in two spellings (A2A 1.0.1, appendix A; A2A 0.3, 6 and 7).

In: a JSON-RPC message, raw. Out: the same in the other version; members that neither version knows stay as
they are, and so does every number. What one version has no word for is refused.

| 1.0                                              | 0.3                                                  |
|--------------------------------------------------|------------------------------------------------------|
| methods `SendMessage`, `GetTask` ..              | `message/send`, `tasks/get` ..                       |
| `role: ROLE_USER`, `ROLE_AGENT`                  | `user`, `agent`                                      |
| `state: TASK_STATE_INPUT_REQUIRED` ..            | `input-required` ..                                  |
| a part by its member: `text`, `data`, `raw`, `url` | by `kind`: `text`, `data`, `file` with bytes or uri |
| a result by its member: `task`, `statusUpdate` .. | by `kind`: `task`, `status-update` ..               |
| `returnImmediately`                              | `blocking`, its opposite                             |
| the end of a stream                              | `final` in the last status update                    |
| `taskPushNotificationConfig`                     | `pushNotificationConfig`                             |
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fabric_codecs.errors import CodecError

__all__ = ["METHODS", "OLD_STATES", "to_new", "to_old"]

# 1.0 -> 0.3; ListTasks came with 1.0.
METHODS: Final[Mapping[str, str]] = {
    "SendMessage": "message/send",
    "SendStreamingMessage": "message/stream",
    "GetTask": "tasks/get",
    "CancelTask": "tasks/cancel",
    "SubscribeToTask": "tasks/resubscribe",
    "CreateTaskPushNotificationConfig": "tasks/pushNotificationConfig/set",
    "GetTaskPushNotificationConfig": "tasks/pushNotificationConfig/get",
    "ListTaskPushNotificationConfigs": "tasks/pushNotificationConfig/list",
    "DeleteTaskPushNotificationConfig": "tasks/pushNotificationConfig/delete",
    "GetExtendedAgentCard": "agent/getAuthenticatedExtendedCard",
}
OLD_STATES: Final[Mapping[str, str]] = {
    "TASK_STATE_UNSPECIFIED": "unknown",
    "TASK_STATE_SUBMITTED": "submitted",
    "TASK_STATE_WORKING": "working",
    "TASK_STATE_INPUT_REQUIRED": "input-required",
    "TASK_STATE_AUTH_REQUIRED": "auth-required",
    "TASK_STATE_COMPLETED": "completed",
    "TASK_STATE_FAILED": "failed",
    "TASK_STATE_CANCELED": "canceled",
    "TASK_STATE_REJECTED": "rejected",
}
NEW_METHODS: Final = {old: new for new, old in METHODS.items()}
NEW_STATES: Final = {old: new for new, old in OLD_STATES.items()}
OLD_ROLES: Final = {"ROLE_USER": "user", "ROLE_AGENT": "agent"}
NEW_ROLES: Final = {old: new for new, old in OLD_ROLES.items()}
OLD_KINDS: Final = {
    "task": "task",
    "message": "message",
    "statusUpdate": "status-update",
    "artifactUpdate": "artifact-update",
}
NEW_KINDS: Final = {old: new for new, old in OLD_KINDS.items()}
ENDS: Final = frozenset({"completed", "failed", "canceled", "rejected", "input-required", "auth-required"})

SECTIONS: Final = {"state": "6.3", "role": "6.4"}  # of 0.3: the words

Raw = msgspec.Raw
Members = dict[str, Any]  # a member is Raw until somebody changes it
Change = Callable[[Members], Members]


def to_old(message: bytes) -> bytes:
    """A JSON-RPC message of 1.0 as 0.3 spells it. Raises CodecError for what 0.3 has no word for."""
    return _respelled(message, _old_params, _old_result, METHODS)


def to_new(message: bytes, *, method: str | None = None) -> bytes:
    """A JSON-RPC message of 0.3 as 1.0 spells it. Raises CodecError for what 1.0 has no word for.

    `method` is what a result answers, in either spelling: 1.0 puts the task that GetTask asks for into the
    result itself, and the one that SendMessage began one level deeper.
    """
    bare = NEW_METHODS.get(method or "", method) in ("GetTask", "CancelTask")
    return _respelled(message, _new_params, _new_bare if bare else _new_result, NEW_METHODS)


def _respelled(message: bytes, params: Change, result: Change, methods: Mapping[str, str]) -> bytes:
    try:
        rpc = _open(message)
        if "method" in rpc:
            method = msgspec.json.decode(rpc["method"], type=str)
            if method not in methods:
                raise _nameless(f"the method {method!r}", "A2A 0.3, 3.5.6", -32601)
            rpc["method"] = methods[method]
            if "params" in rpc:
                rpc["params"] = params(_open(rpc["params"]))
        elif "result" in rpc and bytes(rpc["result"]).startswith(b"{"):
            rpc["result"] = result(_open(rpc["result"]))
        return msgspec.json.encode(rpc)
    except msgspec.DecodeError as error:
        raise _refusal(f"a member has the wrong type: {error}", "A2A 1.0.1, 4", -32602) from error


def _open(raw: Any) -> Members:
    return msgspec.json.decode(raw, type=dict[str, Raw])


def _text(raw: Any) -> str | None:
    return msgspec.json.decode(raw, type=str) if raw is not None and bytes(raw).startswith(b'"') else None


def _word(words: Mapping[str, str], raw: Any, what: str) -> str:
    said = _text(raw)
    if said is None or said not in words:
        said_raw = bytes(raw).decode()
        raise _nameless(f"the {what} {said_raw}", f"A2A 0.3, {SECTIONS[what]}", -32602)
    return words[said]


def _nameless(what: str, clause: str, reason: int) -> CodecError:
    return _refusal(f"{what} has no name in the other version", clause, reason)


def _refusal(what: str, clause: str, reason: int) -> CodecError:
    return CodecError(what, protocol="a2a", clause=clause, reason=reason)


def _inside(members: Members, name: str, change: Change) -> None:
    """Change an object member, if it is there."""
    if name in members and bytes(members[name]).startswith(b"{"):
        members[name] = change(_open(members[name]))


def _each(members: Members, name: str, change: Change) -> None:
    """Change each object of an array member, if it is there."""
    if name in members and bytes(members[name]).startswith(b"["):
        members[name] = [change(_open(one)) for one in msgspec.json.decode(members[name], type=list[Raw])]


# 1.0 -> 0.3


def _old_params(params: Members) -> Members:
    _inside(params, "message", _old_message)
    _inside(params, "configuration", _old_configuration)
    params.pop("tenant", None)  # 0.3 knows none: the address says it
    return params


def _old_configuration(configuration: Members) -> Members:
    if "returnImmediately" in configuration:
        configuration["blocking"] = bytes(configuration.pop("returnImmediately")) == b"false"
    if "taskPushNotificationConfig" in configuration:
        configuration["pushNotificationConfig"] = configuration.pop("taskPushNotificationConfig")
    return configuration


def _old_message(message: Members) -> Members:
    if "role" in message:
        message["role"] = _word(OLD_ROLES, message["role"], "role")
    _each(message, "parts", _old_part)
    return {"kind": "message"} | message


def _old_part(part: Members) -> Members:
    media_type = part.pop("mediaType", None)
    filename = part.pop("filename", None)
    if "raw" in part or "url" in part:
        file = {"bytes": part.pop("raw")} if "raw" in part else {"uri": part.pop("url")}
        said = {"mimeType": media_type, "name": filename}
        file |= {name: value for name, value in said.items() if value is not None}
        return {"kind": "file", "file": file} | part
    if "data" in part and not bytes(part["data"]).startswith(b"{"):
        # 0.3 has objects only in `data`: any other value goes as the file that it is.
        content = msgspec.json.encode(bytes(part.pop("data")))
        return {"kind": "file", "file": {"bytes": Raw(content), "mimeType": "application/json"}} | part
    said_type = _text(media_type)
    usual = "text/plain" if "text" in part else "application/json"
    if said_type is not None and said_type != usual:
        metadata = _open(part.get("metadata", b"{}"))
        part["metadata"] = metadata | {"io.agentfabric/mediaType": said_type}
    return {"kind": "text" if "text" in part else "data"} | part


def _old_result(result: Members) -> Members:
    for member, kind in OLD_KINDS.items():
        if member in result and bytes(result[member]).startswith(b"{"):
            return _old_item(_open(result[member]), kind)
    if "status" in result and "id" in result:
        return _old_item(result, "task")
    return result


def _old_item(item: Members, kind: str) -> Members:
    if kind == "message":
        return _old_message(item)
    if kind == "status-update":
        state = _text(_open(item["status"]).get("state")) if "status" in item else None
        item["final"] = OLD_STATES.get(state or "") in ENDS
    _inside(item, "status", _old_status)
    _inside(item, "artifact", _old_artifact)
    _each(item, "artifacts", _old_artifact)
    _each(item, "history", _old_message)
    return {"kind": kind} | item


def _old_status(status: Members) -> Members:
    if "state" in status:
        status["state"] = _word(OLD_STATES, status["state"], "state")
    _inside(status, "message", _old_message)
    return status


def _old_artifact(artifact: Members) -> Members:
    _each(artifact, "parts", _old_part)
    return artifact


# 0.3 -> 1.0


def _new_params(params: Members) -> Members:
    _inside(params, "message", _new_message)
    _inside(params, "configuration", _new_configuration)
    return params


def _new_configuration(configuration: Members) -> Members:
    if "blocking" in configuration:
        configuration["returnImmediately"] = bytes(configuration.pop("blocking")) == b"false"
    if "pushNotificationConfig" in configuration:
        configuration["taskPushNotificationConfig"] = configuration.pop("pushNotificationConfig")
    return configuration


def _new_message(message: Members) -> Members:
    message.pop("kind", None)
    if "role" in message:
        message["role"] = _word(NEW_ROLES, message["role"], "role")
    _each(message, "parts", _new_part)
    return message


def _new_part(part: Members) -> Members:
    kind = _text(part.pop("kind", None))
    if kind == "file" and "file" in part:
        file = _open(part.pop("file"))
        names = {"bytes": "raw", "uri": "url", "mimeType": "mediaType", "name": "filename"}
        return {names.get(name, name): value for name, value in file.items()} | part
    if "metadata" in part and bytes(part["metadata"]).startswith(b"{"):
        metadata = _open(part["metadata"])
        if "io.agentfabric/mediaType" in metadata:
            part["mediaType"] = metadata.pop("io.agentfabric/mediaType")
            part["metadata"] = metadata
            if not metadata:
                del part["metadata"]
    return part


def _new_result(result: Members) -> Members:
    kind = _text(result.get("kind"))
    if kind in NEW_KINDS:
        return {NEW_KINDS[kind]: _new_item(result)}
    return result


def _new_bare(result: Members) -> Members:
    return _new_item(result) if "kind" in result else result


def _new_item(item: Members) -> Members:
    if _text(item.pop("kind", None)) == "message":
        return _new_message(item)
    item.pop("final", None)  # in 1.0 the stream's end says it
    _inside(item, "status", _new_status)
    _inside(item, "artifact", _new_artifact)
    _each(item, "artifacts", _new_artifact)
    _each(item, "history", _new_message)
    return item


def _new_status(status: Members) -> Members:
    if "state" in status:
        status["state"] = _word(NEW_STATES, status["state"], "state")
    _inside(status, "message", _new_message)
    return status


def _new_artifact(artifact: Members) -> Members:
    _each(artifact, "parts", _new_part)
    return artifact
