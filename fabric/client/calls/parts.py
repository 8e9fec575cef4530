"""Streamed answers, the caller's side: the parts that a tool yields, as they come, none missing.

| state   | input                            | becomes | reader sees |
|---------|----------------------------------|---------|-------------|
| open    | the next part                    | open    | it |
| open    | the final response               | ended   | the end, after the last part |
| open    | the final error                  | ended   | the error, after the last part |
| open    | a number that is not the next    | broken  | StreamBroken, after the parts before the hole |
| open    | more parts than the window       | broken  | the same |
| open    | deadline, connection lost, nobody there | ended | as for any call |
| any     | the reader leaves                | ended   | nothing |

The agent is told to cancel when the reader leaves before the end, and when the stream broke.
In: envelopes of kind `artifact`, numbered by `fabseq`. Out: credit, as the reader takes. `rules/calls/flow`
decides. Above: `session`, `agent`. Below: `desk`. Bounded: the window, which the agent may not overrun.
"""

import asyncio
from collections import deque
from typing import Self

from fabric.client.calls.call import CALLER_LEFT, PAST_DEADLINE, Reply, Terms, as_arguments, left_of
from fabric.client.calls.desk import CallDesk, Waiting
from fabric.client.calls.failure import failure_of
from fabric.client.calls.spending import Grant
from fabric.client.identity import Identity
from fabric.client.outbox import attribute_line
from fabric.errors import DeadlineExceeded, FabricError, StreamBroken
from fabric.rules.calls.flow import Arrival, Inflow
from fabric_codecs.envelope import Envelope

__all__ = ["Parts"]

REGRANT_S = 1.0  # with nothing to read for so long, the last grant may have been lost on its way


class Parts:
    """Made by `Fabric.stream`. `progress` counts what the tool reported besides; nobody reads it here."""

    def __init__(
        self,
        desk: CallDesk,
        caller: Identity,
        target: str,
        arguments: object,
        deadline_s: float,
        window: int,
        terms: Terms,
    ) -> None:
        self.progress = 0
        self._desk = desk
        self._caller = caller
        self._target = target
        self._data = as_arguments(arguments)
        self._deadline_s = deadline_s
        self._terms = terms
        self._flow = Inflow(window)
        self._parts: deque[Envelope] = deque()
        self._changed = asyncio.Event()
        self._grant: Grant | None = None
        self._ticket = 0
        self._waiting: Waiting | None = None

    async def __aenter__(self) -> Self:
        await self._caller.link.connection.wait_up(self._deadline_s)
        self._grant = await self._terms.grant(self._target, self._deadline_s)
        lines = self._terms.lines(self._grant) + attribute_line("fabwindow", str(self._flow.window))
        try:
            self._ticket, self._waiting = self._desk.start(
                self._caller, self._target, self._data, self._deadline_s, self._arrived, lines
            )
        except BaseException:
            if self._grant is not None:
                self._grant.settle(self._grant.amount)
            raise
        self._waiting.answer.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._waiting is not None
        answer = self._waiting.answer
        unanswered = self._desk.end(self._ticket)
        failure = answer.exception() if answer.done() and not answer.cancelled() else None
        if unanswered or isinstance(failure, DeadlineExceeded | StreamBroken):
            reason = PAST_DEADLINE if isinstance(failure, DeadlineExceeded) else CALLER_LEFT
            self._desk.cancel(self._caller, self._waiting, reason)
        if self._grant is not None:
            self._grant.settle(left_of(self._grant, answer))
        answer.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply:
        """The next part. Raises what a call raises, StreamBroken when one was lost."""
        assert self._waiting is not None, "enter the stream first: async with"
        while not self._parts:
            if self._waiting.answer.done():
                self._finish(self._waiting.answer.result())
            self._changed.clear()
            try:
                async with asyncio.timeout(REGRANT_S):
                    await self._changed.wait()
            except TimeoutError:
                self._desk.grant(self._caller, self._waiting, self._flow.grant())
        part = self._parts.popleft()
        if self._flow.take(len(part.data)) and not self._waiting.answer.done():
            self._desk.grant(self._caller, self._waiting, self._flow.grant())
        return Reply(part.data, part)

    def _finish(self, last: Envelope) -> None:
        if last.kind == "error":
            raise failure_of(last, self._target)
        if self._number(last) != self._flow.expected:
            raise StreamBroken(
                self._target, f"its end is number {self._number(last)}, {self._flow.expected} came"
            )
        raise StopAsyncIteration

    def _arrived(self, envelope: Envelope) -> None:
        part, number = envelope.kind == "artifact", self._number(envelope)
        match self._flow.arrived(number, part=part):
            case Arrival.NEXT if part:
                self._parts.append(envelope)
                self._changed.set()
            case Arrival.NEXT:
                self.progress += envelope.kind == "progress"
            case Arrival.GAP:
                problem = f"number {self._flow.expected} never came, {number} did"
                self._break(StreamBroken(self._target, problem))
            case Arrival.OVERRUN:
                problem = f"the agent sent more than {self._flow.window} parts that nobody had asked for"
                self._break(StreamBroken(self._target, problem))

    def _break(self, error: FabricError) -> None:
        assert self._waiting is not None
        if not self._waiting.answer.done():
            self._waiting.answer.set_exception(error)

    def _number(self, envelope: Envelope) -> int:
        text = envelope.get("fabseq") or ""
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
