"""The MCP listener: Streamable HTTP at /mcp, both eras at one address.

| request                | modern (2026-07-28)                  | legacy (2025-11-25, 2025-06-18)        |
|------------------------|--------------------------------------|----------------------------------------|
| POST, a request        | by itself: `_meta` says who and what | `initialize`, else in a session        |
| POST, a notification   | 202; there is none that we act on    | 202; `notifications/cancelled` cancels |
| POST, a response       | 400: nothing was asked               | an error: nothing was asked            |
| GET                    | 405                                  | 405: the server starts nothing         |
| DELETE                 | 405                                  | ends the session                       |
| the client leaves      | its call is cancelled                | its call goes on                       |

A call is answered with one JSON message; with a stream of events when the client gave a progress token or
prefers one, and the answer is not there at once.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric.clock import monotonic
from fabric.config import read_settings
from fabric.edge import House
from fabric.errors import CallCancelled, FabricError
from fabric_bridges.crossings import FABRIC
from fabric_bridges.http.answer import json_response
from fabric_bridges.http.app import HttpServer, build_app
from fabric_bridges.http.connection import while_connected
from fabric_bridges.http.limits import HttpRefused, read_body
from fabric_bridges.http.sse import EventStream, sse_event
from fabric_bridges.mcp.config import McpSettings
from fabric_bridges.mcp.deliver import NAME, Answer, Desk, RunningCall
from fabric_bridges.mcp.faults import McpFault, fault_of
from fabric_bridges.mcp.methods import SERVER_INFO, discover, initialize, list_tools
from fabric_bridges.mcp.modern import (
    HANDSHAKE_REVISIONS,
    SESSION_HEADER,
    VERSION_HEADER,
    check_modern,
    check_served,
    is_modern,
)
from fabric_bridges.mcp.session import Session, Sessions
from fabric_codecs.core.jsonrpc import INVALID_REQUEST, Rpc, corr_of_id, peek_id, read_rpc, write_result
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.wire import (
    CANCELLED,
    DISCOVER,
    INITIALIZE,
    LEGACY,
    METHOD_NOT_FOUND,
    MODERN,
    PING,
    TOOLS_CALL,
    TOOLS_LIST,
    read_cancelled,
)

__all__ = ["McpEdge", "edge"]

PATH = "/mcp"
LAST_WORDS_S = 0.5  # for clients to be told that their call was cancelled


class McpEdge:
    """The edge; see `fabric.edge`."""

    name = NAME

    def __init__(self, settings: McpSettings) -> None:
        self._settings = settings
        self._sessions = Sessions(settings.sessions_max, settings.session_idle_s)
        self._desk: Desk | None = None
        self._server: HttpServer | None = None

    @property
    def address(self) -> str:
        """The endpoint: `http://127.0.0.1:8181/mcp`."""
        return f"{self._server.url if self._server else self._settings.url}{PATH}"

    async def start(self, house: House) -> None:
        """Listen. Raises PortInUse."""
        self._desk = Desk(house, self._settings, SERVER_INFO)
        route = Route(PATH, self._request, methods=["POST", "GET", "DELETE"])
        app = build_app(
            [route],
            edge=NAME,
            settings=self._settings,
            authenticator=house.authenticator,
            metrics=house.metrics,
        )
        self._server = HttpServer(NAME, app, self._settings, house.metrics)
        await self._server.start()

    async def stop(self, grace_s: float = 2.0) -> None:
        """Begin no call, let the running ones end, cancel what is left at its agent, close."""
        if self._server is None or self._desk is None:
            return
        await self._desk.close(grace_s)
        await self._server.stop(LAST_WORDS_S)

    async def _request(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._post(request)
        if request.method == "DELETE" and SESSION_HEADER in request.headers:
            self._sessions.end(self._session(request))
            return Response(status_code=204)
        return Response(status_code=405, headers={"Allow": "POST"})

    async def _post(self, request: Request) -> Response:
        _check_media_types(request)
        body = await read_body(
            request, bytes_max=self._settings.body_bytes_max, timeout_s=self._settings.body_timeout_s
        )
        try:
            rpc = read_rpc(body)
        except CodecError as broken:
            self._open_desk().house.metrics.malformed.labels(NAME).inc()
            return fault_of(broken).response(peek_id(body), MODERN)
        revision = MODERN
        try:
            if is_modern(request.headers, rpc):
                return await self._modern(request, rpc)
            revision = LEGACY[0]
            return await self._legacy(request, rpc)
        except McpFault as fault:
            return self._refused(fault, rpc, revision)
        except (FabricError, CodecError) as error:
            return self._refused(fault_of(error), rpc, revision)

    # The two eras

    async def _modern(self, request: Request, rpc: Rpc) -> Response:
        if rpc.kind == "notification":
            check_served(request.headers.get(VERSION_HEADER, ""))
            return Response(status_code=202)
        request_id = _asked(rpc)
        check_modern(request.headers, rpc)
        if rpc.method == DISCOVER:
            return json_response(write_result(request_id, discover()))
        if rpc.method == TOOLS_LIST:
            return await self._list(rpc, request_id, MODERN)
        if rpc.method == TOOLS_CALL:
            call = self._begin(request, rpc, request_id, MODERN)
            return await self._respond(request, call, on_leave=call.leave)
        raise _no_method(rpc)

    async def _legacy(self, request: Request, rpc: Rpc) -> Response:
        if rpc.method == INITIALIZE and rpc.id is not None:
            revision, result = initialize(rpc)
            session = self._sessions.begin(request.state.principal, revision, monotonic())
            return json_response(write_result(rpc.id, result), headers={SESSION_HEADER: session.id})
        session = self._session(request)
        if rpc.kind == "notification":
            if rpc.method == CANCELLED:
                _cancel(session, rpc)
            return Response(status_code=202)
        request_id = _asked(rpc)
        if rpc.method == PING:
            return json_response(write_result(request_id, b"{}"))
        if rpc.method == TOOLS_LIST:
            return await self._list(rpc, request_id, session.revision)
        if rpc.method == TOOLS_CALL:
            key = corr_of_id(request_id)
            if session.running(key) is not None:
                raise McpFault(
                    INVALID_REQUEST, f"a request with the id {request_id.decode()} is still running"
                )
            call = self._begin(request, rpc, request_id, session.revision)
            session.hold(key, call)
            return await self._respond(request, call, on_leave=call.abandon)
        raise _no_method(rpc)

    def _session(self, request: Request) -> Session:
        """The session that a request names. Raises HttpRefused: 400 without one, 404 for one that is over."""
        version = request.headers.get(VERSION_HEADER)
        if version is not None and version not in HANDSHAKE_REVISIONS:
            raise HttpRefused(400, "version", f"MCP {version!r} is not served in a session")
        session_id = request.headers.get(SESSION_HEADER)
        if session_id is None:
            raise HttpRefused(400, "no_session", f"the header {SESSION_HEADER} is missing: initialize first")
        session = self._sessions.find(session_id, request.state.principal, monotonic())
        if session is None:
            raise HttpRefused(404, "no_session", "the session is over; initialize a new one")
        return session

    # Answers

    async def _list(self, rpc: Rpc, request_id: bytes, revision: str) -> Response:
        desk = self._open_desk()
        result, losses = await list_tools(
            rpc, desk.house.fabric, revision=revision, page_max=self._settings.tools_page_max
        )
        desk.crossings.lost(FABRIC, NAME, losses)
        return json_response(write_result(request_id, result))

    def _begin(self, request: Request, rpc: Rpc, request_id: bytes, revision: str) -> RunningCall:
        return self._open_desk().begin(
            rpc, request_id=request_id, principal=request.state.principal, revision=revision
        )

    async def _respond(
        self, request: Request, call: RunningCall, *, on_leave: Callable[[], None]
    ) -> Response:
        """The answers of a call as one message, or as a stream when progress comes first or it takes long."""
        streams = call.wants_progress or _prefers_stream(request.headers.get("accept", ""))
        first: Answer | None = None

        async def wait() -> bool:
            nonlocal first
            first = await call.next(self._settings.keep_alive_s if streams else None)
            return True

        streaming = False
        try:
            if not await while_connected(request.receive, wait()):
                return Response()  # to nobody
            if first is not None and first.final:
                message = call.hand_over(first)
                if first.fault is not None:
                    return first.fault.response(call.request_id, call.revision)
                return json_response(message)
            streaming = True
            return EventStream(
                _events(call, first), keep_alive_s=self._settings.keep_alive_s, on_close=on_leave
            )
        finally:
            if not streaming:
                on_leave()

    def _refused(self, fault: McpFault, rpc: Rpc, revision: str) -> Response:
        self._open_desk().house.metrics.refusals.labels(NAME, str(fault.code)).inc()
        return fault.response(rpc.id, revision)

    def _open_desk(self) -> Desk:
        assert self._desk is not None, "the edge serves only between start and stop"
        return self._desk


def edge(settings: Mapping[str, Any]) -> McpEdge:
    """The edge factory of the entry point. Raises ConfigInvalid naming the key."""
    return McpEdge(read_settings(McpSettings, settings, f"[edges.{NAME}]"))


async def _events(call: RunningCall, first: Answer | None) -> AsyncGenerator[bytes, None]:
    answer = first or await call.next()
    while answer is not None:
        yield sse_event(call.hand_over(answer))
        answer = None if answer.final else await call.next()


def _check_media_types(request: Request) -> None:
    """Raise HttpRefused unless JSON is sent, and JSON and event streams are taken."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":
        raise HttpRefused(415, "media_type", "send Content-Type: application/json")
    accepted = _accepted(request.headers.get("accept", ""))
    if "*/*" not in accepted and not {"application/json", "text/event-stream"} <= accepted.keys():
        raise HttpRefused(406, "media_type", "send Accept: application/json, text/event-stream")


def _prefers_stream(accept: str) -> bool:
    accepted = _accepted(accept)
    return accepted.get("text/event-stream", 0.0) > accepted.get("application/json", accepted.get("*/*", 0.0))


def _accepted(accept: str) -> dict[str, float]:
    """The media types of an Accept header, each with its quality (RFC 9110, 12.5.1)."""
    accepted = {}
    for part in accept.lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        accepted[media_type] = float(quality) if quality.replace(".", "", 1).isdigit() else 0.0
    return accepted


def _asked(rpc: Rpc) -> bytes:
    """The id of a request. A posted response answers nothing: this edge asks its clients nothing."""
    if rpc.kind != "request" or rpc.id is None:
        raise McpFault(INVALID_REQUEST, f"a request or a notification is expected, this is a {rpc.kind}")
    return rpc.id


def _cancel(session: Session, rpc: Rpc) -> None:
    request_id, reason = read_cancelled(rpc)
    call = session.running(corr_of_id(request_id))
    if call is not None:  # else it has ended meanwhile: the specification says to ignore it
        call.give_up(CallCancelled(call.target, reason))


def _no_method(rpc: Rpc) -> McpFault:
    return McpFault(METHOD_NOT_FOUND, f"the method {rpc.method!r} is not served")
