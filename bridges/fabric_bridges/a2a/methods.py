"""What each JSON-RPC method of A2A does.

In: a JSON-RPC request, the agent it is addressed to, the principal who sent it. Out: a response, or an error
that the listener puts into words. `SERVED` and `UNSERVED` are the tables of methods.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive

from fabric.client import AgentCard, Fabric
from fabric.clock import monotonic, now_us, timestamp
from fabric.errors import NoSuchAgent, NoSuchTool, Refused
from fabric_bridges.a2a.config import A2aSettings
from fabric_bridges.a2a.deliver import TaskRun
from fabric_bridges.a2a.session import begin
from fabric_bridges.a2a.tasks import TaskStore
from fabric_bridges.crossings import Crossings
from fabric_bridges.http.answer import json_response
from fabric_bridges.http.connection import while_connected
from fabric_bridges.http.sse import EventStream, sse_event
from fabric_codecs.a2a.call import choose_tool, lift_call, tool_named
from fabric_codecs.a2a.faults import Fault, refuse
from fabric_codecs.a2a.params import SendMessage, read_send, read_task_query
from fabric_codecs.a2a.task import as_item
from fabric_codecs.core.jsonrpc import Rpc, corr_of_id, write_result
from fabric_codecs.errors import CodecError

__all__ = ["Exchange", "Methods"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One JSON-RPC request: who asks which agent for what, and how to notice that the asker left."""

    rpc: Rpc
    agent: str
    principal: str
    receive: Receive
    traceparent: str | None = None

    @property
    def id(self) -> bytes:
        """The raw JSON-RPC id."""
        assert self.rpc.id is not None, "a request has an id"
        return self.rpc.id


class Methods:
    """The methods, over one store of tasks."""

    def __init__(self, fabric: Fabric, crossings: Crossings, settings: A2aSettings) -> None:
        self.tasks = TaskStore(
            tasks_max=settings.tasks_max,
            bytes_max=settings.tasks_bytes_max,
            ttl_s=settings.task_ttl_s,
        )
        self._fabric, self._crossings, self._settings = fabric, crossings, settings
        self._works: set[asyncio.Task[None]] = set()
        self._closing = False

    async def answer(self, exchange: Exchange) -> Response:
        """Do what the request asks. Raises CodecError or FabricError for the listener to put into words."""
        method = exchange.rpc.method or ""
        if (fault := UNSERVED.get(method)) is not None:
            raise refuse(f"{method} is not served here", fault)
        if (serve := SERVED.get(method)) is None:
            raise refuse(
                f"no method {method!r}; there are {', '.join(SERVED)}",
                Fault.METHOD_NOT_FOUND,
                "JSON-RPC 2.0, 5.1",
            )
        return await serve(self, exchange)

    async def close(self, grace_s: float) -> None:
        """Begin no task any more, let the running ones end for `grace_s`, then cancel them."""
        self._closing = True
        if self._works:
            await asyncio.wait(set(self._works), timeout=grace_s)
        for run in self.tasks.running:
            await run.cancel("the node is stopping")

    # Methods

    async def send(self, exchange: Exchange) -> Response:
        """SendMessage: the task when it has ended, or at once if the sender does not want to wait."""
        send = read_send(exchange.rpc.params)
        run = await self._begin(exchange, send)
        wanted = send.configuration
        patient = wanted is None or not wanted.return_immediately
        if patient and await while_connected(exchange.receive, _completed(run)) is None:
            return Response(status_code=499)  # nobody is there to read it; the task goes on
        task = run.task.snapshot(wanted.history_length if wanted else None)
        return json_response(write_result(exchange.id, as_item(task)))

    async def stream(self, exchange: Exchange) -> Response:
        """SendStreamingMessage: the task, then its events until it ends."""
        send = read_send(exchange.rpc.params)
        run = await self._begin(exchange, send)
        return self._stream(exchange, run, send.configuration.history_length if send.configuration else None)

    async def get(self, exchange: Exchange) -> Response:
        """GetTask: the task as it is."""
        query = read_task_query(exchange.rpc.params)
        return _task_response(exchange, self._find(exchange, query.id).task.snapshot(query.history_length))

    async def cancel(self, exchange: Exchange) -> Response:
        """CancelTask: the agent is told to stop, and the task is CANCELED."""
        run = self._find(exchange, read_task_query(exchange.rpc.params).id)
        if run.task.is_done:
            raise _ended_already(run)
        caller = self._fabric.on_behalf_of(exchange.principal, protocol="a2a")
        asked = caller.envelope(
            b"",
            kind="cancel",
            subject=run.request.subject,
            fabmethod="CancelTask",
            causationid=run.request.id,
            correlationid=run.request.correlationid,
            fabcorr=corr_of_id(exchange.id),
        )
        self._crossings.came_in(asked, exchange.principal)
        await run.cancel(f"{exchange.principal} cancelled the task over A2A")
        if run.task.state != "TASK_STATE_CANCELED":  # its answer was quicker
            raise _ended_already(run)
        return _task_response(exchange, run.task.snapshot())

    async def subscribe(self, exchange: Exchange) -> Response:
        """SubscribeToTask: as SendStreamingMessage, for a task that is running."""
        run = self._find(exchange, read_task_query(exchange.rpc.params).id)
        if run.task.is_done:
            raise refuse(
                f"task {run.task.id} has ended: ask for it with GetTask",
                Fault.UNSUPPORTED_OPERATION,
                "A2A 1.0.1, 3.1.6",
            )
        return self._stream(exchange, run, None)

    # What they share

    async def _begin(self, exchange: Exchange, send: SendMessage) -> TaskRun:
        """The task that a message begins, or has begun when it was sent before."""
        if send.message.task_id:
            running = self._find(exchange, send.message.task_id)
            raise refuse(
                f"task {running.task.id} takes no further messages: begin another in its context",
                Fault.UNSUPPORTED_OPERATION,
                "A2A 1.0.1, 3.1.1",
            )
        card = await self._fabric.agent_card(exchange.agent)
        if card is None:
            raise NoSuchAgent(exchange.agent)
        # From here to the end nothing is awaited: a message sent twice at once begins one task.
        if (known := self._sent_before(exchange, send)) is not None:
            return known
        if self._closing:
            raise Refused("closing", retry_after_ms=1000, detail="the node is stopping")
        self.tasks.make_room(monotonic())
        return self._start(exchange, send, f"{card.name}.{_tool_of(send, card)}")

    def _sent_before(self, exchange: Exchange, send: SendMessage) -> TaskRun | None:
        """Senders repeat a message when its answer was lost: same id, same message, same task."""
        known = self.tasks.begun_by(
            send.message.message_id, owner=exchange.principal, agent=exchange.agent, now_s=monotonic()
        )
        if known is not None and not known.task.was_begun_by(send.message):
            raise refuse(
                f"messageId {send.message.message_id!r} was used for another message", Fault.INVALID_PARAMS
            )
        return known

    def _start(self, exchange: Exchange, send: SendMessage, target: str) -> TaskRun:
        caller = self._fabric.on_behalf_of(exchange.principal, protocol="a2a")
        context_id = send.message.context_id or caller.new_id()
        lifted = lift_call(
            exchange.rpc,
            send,
            target=target,
            source=caller.source,
            context_id=context_id,
            now_us=now_us(),
            traceparent=exchange.traceparent,
        )
        invocation = caller.invoke(lifted.message, deadline_s=self._settings.call_deadline_s)
        task = begin(
            id=caller.new_id(),
            context_id=context_id,
            owner=exchange.principal,
            agent=exchange.agent,
            message_id=send.message.message_id,
            message=_message(exchange),
            time=timestamp(now_us()),
            events_max=self._settings.task_events_max,
        )
        run = TaskRun(task, invocation, caller, self._crossings)
        self._crossings.came_in(invocation.request, exchange.principal, lifted.losses)
        self.tasks.add(run)
        work = run.start()
        self._works.add(work)
        work.add_done_callback(lambda work: self._ended(work, run))
        return run

    def _ended(self, work: "asyncio.Task[None]", run: TaskRun) -> None:
        self._works.discard(work)
        self.tasks.finished(run, monotonic())

    def _find(self, exchange: Exchange, id: str) -> TaskRun:
        run = self.tasks.find(id, owner=exchange.principal, agent=exchange.agent, now_s=monotonic())
        if run is None:
            raise refuse(
                f"no task {id!r} of yours at {exchange.agent!r}: it never was, or it ended too long ago",
                Fault.TASK_NOT_FOUND,
            )
        return run

    def _stream(self, exchange: Exchange, run: TaskRun, history_length: int | None) -> Response:
        return EventStream(
            _events(exchange.id, run, history_length), keep_alive_s=self._settings.keep_alive_s
        )


Serve = Callable[[Methods, Exchange], Awaitable[Response]]
SERVED: dict[str, Serve] = {
    "SendMessage": Methods.send,
    "SendStreamingMessage": Methods.stream,
    "GetTask": Methods.get,
    "CancelTask": Methods.cancel,
    "SubscribeToTask": Methods.subscribe,
}
UNSERVED = {
    "ListTasks": Fault.UNSUPPORTED_OPERATION,
    "CreateTaskPushNotificationConfig": Fault.PUSH_NOTIFICATION_NOT_SUPPORTED,
    "GetTaskPushNotificationConfig": Fault.PUSH_NOTIFICATION_NOT_SUPPORTED,
    "ListTaskPushNotificationConfigs": Fault.PUSH_NOTIFICATION_NOT_SUPPORTED,
    "DeleteTaskPushNotificationConfig": Fault.PUSH_NOTIFICATION_NOT_SUPPORTED,
    "GetExtendedAgentCard": Fault.EXTENDED_AGENT_CARD_NOT_CONFIGURED,
}


def _tool_of(send: SendMessage, card: AgentCard) -> str:
    asked, offered = tool_named(send), tuple(tool.name for tool in card.tools)
    tool = choose_tool(asked, offered)
    if tool is not None:
        return tool
    if asked is not None:
        raise NoSuchTool(card.name, asked, offered)
    raise refuse(
        f"agent {card.name!r} has no tool `ask` for messages in free form; name one of its tools in"
        f' metadata["io.agentfabric/tool"]: {", ".join(offered) or "it offers none"}',
        Fault.INVALID_PARAMS,
    )


def _message(exchange: Exchange) -> bytes:
    """The message of a request that `read_send` has taken, raw."""
    params = exchange.rpc.body.object("params")
    message = None if params is None else params.get("message")
    assert message is not None, "`read_send` found it"
    return message


def _task_response(exchange: Exchange, task: bytes) -> Response:
    return json_response(write_result(exchange.id, task))


def _ended_already(run: TaskRun) -> CodecError:
    what = f"task {run.task.id} has ended already: {run.task.state}"
    return refuse(what, Fault.TASK_NOT_CANCELABLE)


async def _completed(run: TaskRun) -> bool:
    await run.done()
    return True


async def _events(id: bytes, run: TaskRun, history_length: int | None) -> AsyncGenerator[bytes, None]:
    # The snapshot and the place in the events are taken together: nothing can come between.
    first, at = as_item(run.task.snapshot(history_length)), len(run.task.events)
    yield sse_event(write_result(id, first))
    async for event in run.follow(at):
        yield sse_event(write_result(id, event))
