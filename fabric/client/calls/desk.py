"""The call desk: every call of a session on the wire, from its request to its last answer. What a caller
sees is in `call`.

A request goes out with a ticket in its reply subject; answers come back to it. Cost of a call here: one
command in the writer, one dict entry, one timer.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from fabric import subjects
from fabric.client.context import current_cause
from fabric.client.gate import Gate
from fabric.client.identity import Identity
from fabric.client.link import Link
from fabric.client.outbox import attribute_line, caused_lines, template
from fabric.clock import now_us, parse_us
from fabric.errors import (
    DeadlineExceeded,
    InvalidName,
    LimitExceeded,
    NoSuchAgent,
    PermissionDenied,
    Refused,
)
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import decode_level, encode_level
from fabric_codecs.nats.headers import number_in, status_of, ticket_of
from fabric_codecs.nats.wire import Template, timestamp

__all__ = ["FINAL", "CallDesk", "Waiting", "agent_of", "deadline_within", "seconds_left"]

FINAL = ("response", "error")
TEMPLATES_MAX = 1024  # targets whose header lines are kept rendered
EPOCHS_MAX = 65_536  # agents whose latest life is remembered: 8 MB


class Waiting:
    """One call in flight. `progress` is called for each progress envelope."""

    __slots__ = (
        "agent",
        "answer",
        "conversation",
        "entered",
        "epoch",
        "id",
        "progress",
        "subject",
        "target",
        "timer",
    )

    def __init__(
        self,
        target: str,
        caller: str,
        identity: str,
        conversation: str,
        progress: Callable[[Envelope], object] | None,
    ) -> None:
        self.target = target
        self.agent = agent_of(target)
        self.subject = subjects.call(self.agent, caller)
        self.entered: tuple[Gate, dict[str, str]] | None = None  # what to leave at the end
        self.epoch = 0  # of the life that took the call, as far as known
        self.id = identity
        self.conversation = conversation
        self.progress = progress
        self.answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


class CallDesk:
    """All calls of a link. One per connection."""

    def __init__(self, link: Link) -> None:
        self.late = 0  # answers to calls that had ended
        self.forged = 0  # answers of somebody else
        self.fenced = 0  # answers of a former life of the agent
        self._link = link
        self._reply = f"{link.call_inbox}.".encode()
        self._id_prefix = f"{link.process}-".encode()
        self._waiting: dict[int, Waiting] = {}
        self._last = 0
        self._templates: dict[tuple[str, str], Template] = {}
        self._epochs: dict[str, int] = {}
        link.connection.subscribe(f"{link.call_inbox}.*", self._arrived)
        link.connection.on_down.append(self._lost)
        link.connection.on_denied.append(self._denied)

    def start(
        self,
        caller: Identity,
        target: str,
        data: bytes,
        deadline_s: float,
        progress: Callable[[Envelope], object] | None,
        lines: bytes = b"",
    ) -> tuple[int, Waiting]:
        """Send a request made of its arguments and further header lines; its answer resolves the future.
        `end` it in any case. Raises LimitExceeded, InvalidName, Refused("loop"), and where the node limits
        calls Refused("rate"), ("full")."""
        deadline_s, expiry = deadline_within(deadline_s)
        count, cause = self._link.next_count(), current_cause.get()
        identity = f"{self._link.process}-{count}"
        conversation = cause.correlationid if cause is not None else identity
        first = attribute_line("correlationid", conversation) + attribute_line("expirytime", expiry) + lines
        if cause is not None:
            first += caused_lines(cause)
        waiting = Waiting(target, caller.token, identity, conversation, progress)
        ticket = self._open(caller, waiting, deadline_s)
        template = self._template(caller, target)
        with self._sending(ticket, len(data)):
            self._link.connection.writer.publish_event(
                waiting.subject.encode(),
                self._reply,
                ticket,
                template,
                first,
                self._id_prefix,
                count,
                now_us(),
                data,
            )
        return ticket, waiting

    def start_envelope(
        self,
        caller: Identity,
        request: Envelope,
        deadline_s: float,
        progress: Callable[[Envelope], object] | None,
    ) -> tuple[int, Waiting]:
        """As `start`, for a request that is an envelope already."""
        target = request.subject or ""
        conversation = request.correlationid or request.id
        waiting = Waiting(target, caller.token, request.id, conversation, progress)
        subject = waiting.subject.encode()
        ticket = self._open(caller, waiting, deadline_s)
        with self._sending(ticket, len(request.data)):
            header = request.nats_header()
            self._link.connection.writer.publish(subject, self._reply, header, request.data, ticket)
        return ticket, waiting

    @property
    def waiting(self) -> int:
        """Calls in flight."""
        return len(self._waiting)

    def end(self, ticket: int) -> bool:
        """Forget a call; whether it was still waiting for its answer."""
        waiting = self._waiting.pop(ticket, None)
        if waiting is None:
            return False
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting.entered is not None:
            gate, keys = waiting.entered
            gate.leave(keys)
        return not waiting.answer.done()

    def cancel(self, caller: Identity, waiting: Waiting, reason: str) -> None:
        """Tell the agent that nobody waits any more."""
        self._tell(caller, waiting, reason.encode(), kind="cancel")

    def grant(self, caller: Identity, waiting: Waiting, taken: int) -> None:
        """Tell the agent how many parts of its streamed answer have been taken."""
        self._tell(caller, waiting, b"", kind="credit", fabseq=str(taken))

    def _tell(self, caller: Identity, waiting: Waiting, data: bytes, **attributes: str) -> None:
        envelope = caller.envelope(
            data,
            subject=waiting.target,
            causationid=waiting.id,
            correlationid=waiting.conversation,
            **attributes,
        )
        subject, header = waiting.subject.encode(), envelope.nats_header()
        self._link.connection.writer.publish(subject, b"", header, envelope.data)
        self._link.connection.wake()

    def _open(self, caller: Identity, waiting: Waiting, deadline_s: float) -> int:
        if caller.gate is not None:
            waiting.entered = caller.gate, caller.gate.enter(caller.token, waiting.agent)
        self._last += 1
        ticket = self._last
        waiting.epoch = self._epochs.get(waiting.agent, 0)
        self._waiting[ticket] = waiting
        waiting.timer = asyncio.get_running_loop().call_later(deadline_s, self._expired, ticket, deadline_s)
        return ticket

    @contextmanager
    def _sending(self, ticket: int, size: int) -> Iterator[None]:
        connection = self._link.connection
        try:
            yield
        except CodecError as error:
            self.end(ticket)
            allowed = connection.writer.payload_max
            raise LimitExceeded("bytes of a call", allowed=allowed, actual=size, hint=error.what) from None
        connection.wake()

    def _template(self, caller: Identity, target: str) -> Template:
        key = (caller.source, target)
        found = self._templates.get(key)
        if found is None:
            if len(self._templates) >= TEMPLATES_MAX:
                self._templates.clear()
            found = self._templates[key] = template(
                source=caller.source,
                kind="request",
                subject=target,
                fabproto=caller.protocol,
                datacontenttype="application/json",
            )
        return found

    def _arrived(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        waiting = self._waiting.get(ticket_of(subject))
        if waiting is None or waiting.answer.done():
            self.late += 1
            return
        if status_of(header) == 503:
            waiting.answer.set_exception(NoSuchAgent(waiting.agent))
            return
        envelope = Envelope.from_nats(subject, header, data)
        if envelope.source.rpartition("/")[2] != waiting.agent:
            self.forged += 1  # somebody else guessed a ticket, or had an agent answer to us
            return
        epoch = number_in(header, b"ce-fabepoch")
        if epoch != waiting.epoch and self._is_fenced(waiting, epoch):
            self.fenced += 1
            return
        self._link.journal.record(envelope, "reply", peer=envelope.source_name)
        if envelope.kind in FINAL:
            waiting.answer.set_result(envelope)
        elif waiting.progress is not None:
            waiting.progress(envelope)

    def _is_fenced(self, waiting: Waiting, epoch: int) -> bool:
        """Whether the answer is from an earlier life than the one that took the call: one that had answered
        anything before the call was made, or has answered this call, was a later one. An answer without
        an epoch (-1) is from no life of ours."""
        if 0 <= epoch < waiting.epoch:
            return True
        if epoch > waiting.epoch:
            waiting.epoch = epoch
            if epoch > self._epochs.get(waiting.agent, 0):
                if len(self._epochs) >= EPOCHS_MAX and waiting.agent not in self._epochs:
                    del self._epochs[next(iter(self._epochs))]
                self._epochs[waiting.agent] = epoch
        return False

    def _expired(self, ticket: int, deadline_s: float) -> None:
        waiting = self._waiting.get(ticket)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(DeadlineExceeded(waiting.target, deadline_s))

    def _denied(self, verb: str, subject: str) -> None:
        for waiting in self._waiting.values():
            if verb == "publish" and waiting.subject == subject and not waiting.answer.done():
                hint = "see the names of FABRIC_CREDS"
                waiting.answer.set_exception(PermissionDenied(f"calling {waiting.target}", hint))

    def _lost(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(
                    Refused(
                        "unreachable",
                        retry_after_ms=1000,
                        unknown=True,
                        detail="the connection was lost during the call",
                    )
                )


def agent_of(target: str) -> str:
    """The agent's token in a target: `agent.tool`, or an agent alone; its name or its token."""
    agent = target.partition(".")[0]
    if not agent or not target.isprintable():
        raise InvalidName("target", target, "write agent.tool")
    if "%" in agent:
        with suppress(CodecError):
            agent = decode_level(agent)
    try:
        return encode_level(agent)
    except CodecError as error:
        raise InvalidName("target", target, error.what) from None


def deadline_within(deadline_s: float) -> tuple[float, str]:
    """A deadline and its `expirytime`, cut to what the message being handled has left."""
    cause = current_cause.get()
    until = now_us() + round(deadline_s * 1e6)
    if cause is not None and cause.deadline_us:
        until = min(until, cause.deadline_us)
    return (until - now_us()) / 1e6, timestamp(until)


def seconds_left(envelope: Envelope, default: float) -> float:
    """How long an answer to this request is of use; the default where it does not say so legibly."""
    expiry = envelope.get("expirytime")
    try:
        return (parse_us(expiry) - now_us()) / 1e6 if expiry else default
    except ValueError:
        return default
