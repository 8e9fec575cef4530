"""A tool call's life: the client's request to the agent, the agent's answers to the client.

| state   | input                             | becomes | what happens                                      |
|---------|-----------------------------------|---------|---------------------------------------------------|
| running | progress, and a progress token    | running | a notification waits to be handed over            |
| running | progress, no token                | running | nothing: nobody asked                             |
| running | response, or an error of the tool | ended   | the result                                        |
| running | nobody there, deadline, refused   | ended   | the error in MCP's words                          |
| running | given up (client, DELETE, stop)   | ended   | cancelled at the agent; an error to who listens   |
| running | abandoned (a legacy client left)  | running | answers go nowhere; the call goes on, as MCP says |

The call runs in a task of its own, which fills a bounded outbox: how a client listens does not decide how
long a call lives.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import NamedTuple

import msgspec

from fabric.client import Invocation, failure_of
from fabric.clock import now_us
from fabric.edge import House
from fabric.errors import CallCancelled, CallFailed, DeadlineExceeded, FabricError, Refused
from fabric_bridges.crossings import Crossings
from fabric_bridges.mcp.config import McpSettings
from fabric_bridges.mcp.faults import McpFault, fault_of
from fabric_bridges.refusal import as_answer
from fabric_codecs.core.jsonrpc import Rpc
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode
from fabric_codecs.mcp.lift import lift
from fabric_codecs.mcp.lower import lower
from fabric_codecs.mcp.progress import rising
from fabric_codecs.mcp.tools import split_tool_name
from fabric_codecs.mcp.wire import read_tool_call
from fabric_codecs.names import encode_level

__all__ = ["Answer", "Desk", "RunningCall"]

NAME = "mcp"


class Answer(NamedTuple):
    """Something for the client: a JSON-RPC message, the envelope it was made of, and what that cost."""

    message: bytes
    envelope: Envelope
    losses: tuple[Loss, ...] = ()
    final: bool = True
    fault: McpFault | None = None


class Desk:
    """All tool calls of an edge, and what they need of the house."""

    def __init__(self, house: House, settings: McpSettings, server_info: bytes) -> None:
        self.house, self.settings, self.server_info = house, settings, server_info
        self.crossings = Crossings(house, NAME)
        self.running: set[RunningCall] = set()
        self._closing = False

    def begin(self, rpc: Rpc, *, request_id: bytes, principal: str, revision: str) -> "RunningCall":
        """Start a call. Raises CodecError for a name or params that cannot be, FabricError when it is not
        taken."""
        if self._closing:
            raise Refused("closing", retry_after_ms=1000, detail="this node is shutting down")
        if len(self.running) >= self.settings.calls_max:
            detail = "as many calls are running as are allowed"
            raise Refused("full", retry_after_ms=1000, depth=len(self.running), detail=detail)
        running = RunningCall(self, rpc, request_id, principal, revision)
        self.running.add(running)
        running.when_ended(lambda: self.running.discard(running))
        return running

    async def close(self, grace_s: float) -> None:
        """Begin no more; let those that run end for a while, then cancel them at their agents."""
        self._closing = True
        if self.running:
            await asyncio.wait({call.task for call in self.running}, timeout=grace_s)
        for call in list(self.running):
            call.give_up(Refused("closing", retry_after_ms=1000, detail="this node is shutting down"))


class RunningCall:
    """One `tools/call`. Take `next` answers until the final one, and `hand_over` each as it is sent."""

    def __init__(self, desk: Desk, rpc: Rpc, request_id: bytes, principal: str, revision: str) -> None:
        call = read_tool_call(rpc)
        agent, tool = split_tool_name(call.name)
        self.target = f"{encode_level(agent)}.{tool}"
        self.request_id, self.revision = request_id, revision
        self.wants_progress = call.progress_token is not None
        self._desk, self._call, self._principal = desk, call, principal
        caller = desk.house.fabric.on_behalf_of(principal, protocol=NAME)
        request = lift(
            rpc.body.raw,
            source=caller.source,
            fresh_id=caller.new_id(),
            now_us=now_us(),
            target=self.target,
            revision=revision,
        ).message
        self._invocation = caller.invoke(request, deadline_s=desk.settings.deadline_s)
        self._request = self._invocation.request
        self._outbox: asyncio.Queue[Answer] = asyncio.Queue(desk.settings.answers_waiting_max)
        self._abandoned = False
        self._given_up: FabricError | None = None
        self._last_progress = -math.inf
        desk.crossings.came_in(self._request, principal)
        self.task = asyncio.create_task(self._run(), name=f"mcp {call.name}")

    @property
    def ended(self) -> bool:
        """Whether the agent is done with it, one way or the other."""
        return self.task.done()

    def when_ended(self, act: Callable[[], None]) -> None:
        """Do something once the agent is done with it."""
        self.task.add_done_callback(lambda _: act())

    async def next(self, timeout_s: float | None = None) -> Answer | None:
        """The next answer; None when there is none within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._outbox.get()
        except TimeoutError:
            return None

    def hand_over(self, answer: Answer) -> bytes:
        """The message, written down in the journal as given to the client."""
        self._desk.crossings.went_out(answer.envelope, self._principal, answer.losses)
        return answer.message

    def give_up(self, why: FabricError) -> None:
        """Cancel the call at its agent. Whoever still listens gets `why`."""
        if not self.ended and self._given_up is None:
            self._given_up = why
            # Not at once: a task that is cancelled before its first step never runs, and would answer nobody.
            asyncio.get_running_loop().call_soon(self.task.cancel)

    def abandon(self) -> None:
        """Nobody takes answers any more; the call goes on."""
        self._abandoned = True
        while not self._outbox.empty():
            self._outbox.get_nowait()

    def leave(self) -> None:
        """The client is gone, and with it the reason to work."""
        self.abandon()
        self.give_up(CallCancelled(self.target, "the client closed the stream"))

    async def _run(self) -> None:
        try:
            answer = await self._answered(self._converse())
        except asyncio.CancelledError:
            if self._given_up is None:
                raise
            answer = self._fault(self._given_up)
        await self._put(answer)

    async def _answered(self, conversation: Coroutine[None, None, Answer]) -> Answer:
        """The final answer of a conversation, whatever came of it."""
        try:
            return await conversation
        except FabricError as error:
            return self._fault(error)
        except (CodecError, msgspec.DecodeError) as broken:
            return self._fault(
                CallFailed(self.target, "invalid_answer", f"its answer cannot be read: {broken}")
            )

    async def _converse(self) -> Answer:
        async with self._invocation as answers:
            async for envelope in answers:
                if envelope.kind != "progress":
                    return self._final(envelope, answers)
                if self._call.progress_token is not None:
                    await self._put(self._progress(envelope, self._call.progress_token))
        raise CallCancelled(self.target, "it ended without an answer")

    def _progress(self, envelope: Envelope, token: bytes) -> Answer:
        step = rising(envelope, after=self._last_progress)
        self._last_progress = step.value
        lowered = lower(step.envelope, revision=self.revision, progress_token=token, losses=step.losses)
        return Answer(lowered.message, envelope, lowered.losses, final=False)

    def _final(self, envelope: Envelope, answers: Invocation) -> Answer:
        losses: tuple[Loss, ...] = ()
        if answers.skipped:
            losses = (Loss(LossCode.STREAM_COALESCED, "progress", f"{answers.skipped} steps were skipped"),)
        if envelope.kind == "error":
            failure = failure_of(envelope, self.target)
            if not isinstance(failure, CallFailed):
                return self._fault(failure, envelope)
            if failure.remote_code == DeadlineExceeded.code:
                return self._fault(DeadlineExceeded(self.target, self._desk.settings.deadline_s), envelope)
        lowered = lower(
            envelope,
            revision=self.revision,
            request_id=self.request_id,
            server_info=self._desk.server_info,
            losses=losses,
        )
        return Answer(lowered.message, envelope, lowered.losses)

    def _fault(self, error: FabricError, envelope: Envelope | None = None) -> Answer:
        """An error answer. Without an envelope of the agent's it is our own word, and the journal gets one of
        ours."""
        fault = fault_of(error, tool=self._call.name)
        self._desk.house.metrics.refusals.labels(NAME, error.code).inc()
        if envelope is None:
            envelope = as_answer(error, self._request, self._desk.house.fabric)
        return Answer(fault.line(self.request_id), envelope, fault=fault)

    async def _put(self, answer: Answer) -> None:
        if not self._abandoned:
            await self._outbox.put(answer)
