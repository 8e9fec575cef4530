"""A2A over HTTP+JSON (A2A 1.0.1, 11): verb, path, query and body <-> an operation and its params.

In: what an HTTP server read, or an operation to be sent. Out: a `Call` whose params are the raw JSON of the
JSON-RPC binding, so that both bindings meet; or a `RestRequest`. A body is taken as it is: params that stand
in the path are put into it without touching another byte. Paths may have a tenant before them, and `/v1` as
0.3 has it. Above: edges and clients.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.a2a.operations import OPERATIONS, Operation
from fabric_codecs.bounds import JSON_BYTES_MAX, REST_PATH_BYTES_MAX
from fabric_codecs.core import jsonscan
from fabric_codecs.core.jsonscan import JsonObject, compose, scan
from fabric_codecs.errors import CodecError

__all__ = ["Call", "RestRequest", "read_error", "read_request", "status_of", "write_error", "write_request"]

CLAUSE: Final = "A2A 1.0.1, 11.3"
QUERY: Final = "A2A 1.0.1, 11.5"
OLD_ROOT: Final = "/v1"  # 0.3, 3.2.3
QUERY_MEMBERS_MAX: Final = 32  # ListTasks, the longest, has eight

# google.rpc codes and HTTP statuses of what can go wrong (A2A 1.0.1, 5.4; 11.6); the rest is INTERNAL, 500.
STATUSES: Final[Mapping[int, tuple[int, str]]] = {
    Fault.PARSE_ERROR: (400, "INVALID_ARGUMENT"),
    Fault.INVALID_REQUEST: (400, "INVALID_ARGUMENT"),
    Fault.METHOD_NOT_FOUND: (404, "NOT_FOUND"),
    Fault.INVALID_PARAMS: (400, "INVALID_ARGUMENT"),
    Fault.INTERNAL_ERROR: (500, "INTERNAL"),
    Fault.TASK_NOT_FOUND: (404, "NOT_FOUND"),
    Fault.TASK_NOT_CANCELABLE: (400, "FAILED_PRECONDITION"),
    Fault.PUSH_NOTIFICATION_NOT_SUPPORTED: (400, "FAILED_PRECONDITION"),
    Fault.UNSUPPORTED_OPERATION: (400, "FAILED_PRECONDITION"),
    Fault.CONTENT_TYPE_NOT_SUPPORTED: (400, "INVALID_ARGUMENT"),
    Fault.INVALID_AGENT_RESPONSE: (500, "INTERNAL"),
    Fault.EXTENDED_AGENT_CARD_NOT_CONFIGURED: (400, "FAILED_PRECONDITION"),
    Fault.EXTENSION_SUPPORT_REQUIRED: (400, "FAILED_PRECONDITION"),
    Fault.VERSION_NOT_SUPPORTED: (400, "FAILED_PRECONDITION"),
}


class Call(NamedTuple):
    """An operation that is asked for; `params` are raw JSON."""

    operation: Operation
    params: bytes
    tenant: str = ""


class RestRequest(NamedTuple):
    """What an HTTP client sends. `target` is path and query; `body` empty where the verb has none."""

    verb: str
    target: str
    body: bytes


def read_request(verb: str, target: str, body: bytes = b"", *, bytes_max: int = JSON_BYTES_MAX) -> Call:
    """The call that an HTTP request is; `target` is path and query as they came, percent-encoded.

    Raises CodecError whose `reason` is METHOD_NOT_FOUND for a path or verb that no operation has, and
    INVALID_PARAMS or PARSE_ERROR for what is in it.
    """
    if len(target) > REST_PATH_BYTES_MAX:
        raise _refusal(f"a target of {len(target):,} bytes, allowed are {REST_PATH_BYTES_MAX:,}")
    if not target.startswith("/"):
        raise _refusal("a target that does not begin with /", reason=Fault.METHOD_NOT_FOUND)
    path, _, query = target.partition("?")
    operation, held, tenant = _match(verb, path)
    params = _params_of_body(body, bytes_max) if body and operation.has_body else b"{}"
    said = {**held, **(_params_of_query(query, operation) if query else {})}
    found = scan(params, protocol="a2a", bytes_max=bytes_max)
    for name, value in said.items():
        found = _placed(found, name, value)
    for name, kind in operation.required.items():
        if found.kind(name) != kind:
            at = found.offset(name) if name in found else 0
            raise _refusal(f"{name} is no {kind}", offset=at, clause=operation.clause)
    if tenant:
        found = _placed(found, "tenant", jsonscan.quote(tenant))
    return Call(operation, found.raw, tenant)


def write_request(call: Call, *, prefix: str = "") -> RestRequest:
    """The HTTP request of a call. `prefix` is the interface's path; the params that the path names leave the
    body, every other member stays as it is. Raises CodecError for params that no URL can hold."""
    operation, params = call.operation, scan(call.params, protocol="a2a")
    path, rest = operation.path, [(name, params.get(name) or b"") for name in params.names()]
    for name in operation.required:
        if f"{{{name}}}" not in path:
            continue
        value = params.text(name)
        if not value:
            raise _refusal(f"{name} is missing or empty: the path needs it")
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
        rest = [one for one in rest if one[0] != name]
    tenant = call.tenant or (params.text("tenant") if params.kind("tenant") == "string" else "") or ""
    if f"/{tenant}" == OLD_ROOT:
        raise _refusal(f"a tenant {tenant!r} cannot be told from the root of 0.3")
    rest = [one for one in rest if one[0] != "tenant"]
    root = prefix + (f"/{quote(tenant, safe='')}" if tenant else "")
    if operation.has_body:
        unchanged = len(rest) == len(params)
        return RestRequest(operation.verb, root + path, params.raw if unchanged else compose(rest))
    return RestRequest(operation.verb, root + path + _query_of(operation, params, rest), b"")


def status_of(code: int) -> tuple[int, str]:
    """HTTP status and google.rpc name of a JSON-RPC error code. Our own codes are HTTP statuses already."""
    if code in STATUSES:
        return STATUSES[code]
    return (code, "UNKNOWN") if 400 <= code <= 599 else (500, "INTERNAL")


def write_error(code: int, message: str, details: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an error (11.6, google.rpc.Status). `details` is the array that JSON-RPC calls
    `data`."""
    status, name = status_of(code)
    members = [
        ("code", b"%d" % status),
        ("status", jsonscan.quote(name)),
        ("message", jsonscan.quote(message)),
    ]
    if details is not None:
        members.append(("details", details))
    return status, compose([("error", compose(members))])


def read_error(body: bytes) -> tuple[int, str, bytes | None]:
    """Code, message and details of an error body: the code of JSON-RPC when the details name one of A2A's
    reasons, else the HTTP status. Raises CodecError for what is no google.rpc.Status."""
    error = scan(body, protocol="a2a").object("error")
    if error is None or error.kind("code") != "number" or error.kind("message") != "string":
        raise CodecError("no google.rpc.Status in `error`", protocol="a2a", clause="A2A 1.0.1, 11.6")
    details = error.get("details") if error.kind("details") == "array" else None
    code = error.get("code") or b""
    if not code.isdigit() or len(code) > 9:
        raise CodecError(
            "error.code is no status", protocol="a2a", offset=error.offset("code"), clause="A2A 1.0.1, 11.6"
        )
    named = _named_fault(details) if details is not None else None
    return named if named is not None else int(code), error.text("message") or "", details


def _named_fault(details: bytes) -> int | None:
    for raw in jsonscan.elements(details, protocol="a2a"):
        detail = scan(raw, protocol="a2a") if raw.startswith(b"{") else None
        if (
            detail is None
            or detail.get("domain") != b'"a2a-protocol.org"'
            or detail.kind("reason") != "string"
        ):
            continue
        reason = detail.text("reason")
        if reason is not None and reason in Fault.__members__:
            return int(Fault[reason])
    return None


def _match(verb: str, path: str) -> tuple[Operation, dict[str, bytes], str]:
    """The operation at a path, the params that it holds, and the tenant before it."""
    path = path.removeprefix(OLD_ROOT) if path.startswith(f"{OLD_ROOT}/") else path
    candidates = [("", path)]
    head, slash, tail = path[1:].partition("/")
    if slash:
        candidates.append((_decoded(head), f"/{tail}"))
    known = False
    for tenant, rest in candidates:
        for operation in OPERATIONS:
            held = _held(operation.path, rest)
            if held is None:
                continue
            known = True
            if verb == operation.verb or verb in operation.verbs_too:
                return operation, held, tenant
    what = f"no operation takes {verb} at {path!r}" if known else f"no operation has the path {path!r}"
    raise _refusal(what, reason=Fault.METHOD_NOT_FOUND)


def _held(template: str, path: str) -> dict[str, bytes] | None:
    """The params of a path that has the form of the template, raw; None when it has another."""
    expected, found = template.split("/"), path.split("/")
    if len(expected) != len(found):
        return None
    held: dict[str, bytes] = {}
    for want, have in zip(expected, found, strict=True):
        if not want.startswith("{"):
            if want != have:
                return None
            continue
        name, _, suffix = want[1:].partition("}")
        value = have.removesuffix(suffix) if suffix and have.endswith(suffix) else have
        if (suffix and value == have) or not value or (not suffix and ":" in have):
            return None
        held[name] = jsonscan.quote(_decoded(value))
    return held


def _decoded(value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise _refusal("a path that is not UTF-8") from error


def _params_of_body(body: bytes, bytes_max: int) -> bytes:
    try:
        return scan(body, protocol="a2a", bytes_max=bytes_max).raw
    except CodecError as error:
        error.reason = int(Fault.PARSE_ERROR)
        raise


def _params_of_query(query: str, operation: Operation) -> dict[str, bytes]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=QUERY_MEMBERS_MAX)
    except ValueError as error:  # not UTF-8, or too many
        raise _refusal(f"the query cannot be read: {error}", clause=QUERY) from error
    params: dict[str, bytes] = {}
    for name, value in pairs:
        kind = operation.query.get(name)
        if kind is None:
            continue  # A2A-Version, and what others put there
        if name in params:
            raise _refusal(f"the query says {name} twice", clause=QUERY)
        params[name] = _value_of(name, value, kind)
    return params


def _value_of(name: str, value: str, kind: str) -> bytes:
    if kind == "number" and value.removeprefix("-").isdecimal() and value.isascii() and len(value) <= 10:
        return b"%d" % int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value.encode()
    if kind != "string":
        raise _refusal(f"{name} is {value!r}, a {kind} is needed", clause=QUERY)
    return jsonscan.quote(value)


def _query_of(operation: Operation, params: JsonObject, rest: list[tuple[str, bytes]]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in rest:
        if name not in operation.query:
            raise _refusal(f"{name} has no place in the query of {operation.name}", clause=QUERY)
        pairs.append((name, (params.text(name) or "") if params.kind(name) == "string" else value.decode()))
    return f"?{urlencode(pairs)}" if pairs else ""


def _placed(params: JsonObject, name: str, value: bytes) -> JsonObject:
    """The params with one more; a body that says something else is refused."""
    if name in params and params.get(name) != value:
        raise _refusal(
            f"{name} is one thing in the address and another in the body", offset=params.offset(name)
        )
    return scan(params.splice(name, value), protocol="a2a")


def _refusal(
    what: str, *, reason: int = Fault.INVALID_PARAMS, offset: int = 0, clause: str = CLAUSE
) -> CodecError:
    return CodecError(what, protocol="a2a", offset=offset, clause=clause, reason=int(reason))
