"""A call while its tool runs: what the tool sees of it, and what goes back to the caller."""

import msgspec

from fabric.client.calls.call import Progress
from fabric.client.calls.desk import FINAL, seconds_left
from fabric.client.context import Cause
from fabric.client.identity import Identity
from fabric.client.outbox import attribute_line, template
from fabric.clock import now_us
from fabric.rules.calls.budget import Budget
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.wire import Template

__all__ = ["DEADLINE_DEFAULT_S", "Answers", "Call"]

DEADLINE_DEFAULT_S = 60.0  # of a request that states none


class Answers:
    """The header lines of an agent's answers in one life of it, rendered once for each kind."""

    def __init__(self, identity: Identity, epoch: int) -> None:
        self.link = identity.link
        self._source = identity.source
        self._epoch = epoch
        self._templates: dict[str, Template] = {}

    def template(self, kind: str) -> Template:
        """The lines of one kind: `progress`, `artifact` and `status` (of a stream), `response`, `error`."""
        found = self._templates.get(kind)
        if found is None:
            found = self._templates[kind] = template(
                source=self._source,
                kind=kind,
                datacontenttype="application/json",
                fabepoch=str(self._epoch),
                fabfinal="true" if kind in FINAL else "false",
            )
        return found


class Call:
    """The call being handled. Give a parameter of a tool this type to receive it."""

    def __init__(self, answers: Answers, request: Envelope, reply: bytes) -> None:
        self.request = request
        self._answers = answers
        self._reply = reply
        self._sequence = 0

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def caller(self) -> str:
        """The name of who calls; the server vouches for it."""
        return self.request.source_name

    @property
    def conversation(self) -> str:
        """What all messages of one story share."""
        return self.request.correlationid or self.request.id

    @property
    def time_left_s(self) -> float:
        """How long the caller still waits; past that, the tool is cancelled."""
        return seconds_left(self.request, DEADLINE_DEFAULT_S)

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the caller how far it is: on its way when this returns, whenever you yield."""
        self.send("progress", msgspec.json.encode(Progress(progress, total, message)._asdict()))
        self._answers.link.connection.flush()

    def trace(self) -> dict[str, str]:
        """Where this call stands in its story and how long its chain may still become, for a message in
        another protocol: A2A `metadata`, MCP `_meta`, MQTT user properties. Raises Refused("loop")."""
        cause = Cause(self.request)
        return {
            "io.agentfabric/conversation": cause.correlationid,
            "io.agentfabric/causationid": cause.causationid,
            "io.agentfabric/fabhops": str(cause.hops_after()),
            "io.agentfabric/fabchain": cause.chain,
        }

    def send(self, kind: str, data: bytes, left: Budget | None = None) -> None:
        """One message to the caller: for the agent, which sends the answer, with what is left of the call's
        budget."""
        # The caller chose the reply subject. Only an inbox is one: it must not have us publish in its place.
        if not self._reply.startswith(b"_INBOX."):
            return
        link = self._answers.link
        first = (
            attribute_line("correlationid", self.conversation)
            + attribute_line("causationid", self.request.id)
            + f"ce-fabseq: {self._sequence}\r\n".encode()
        )
        if left is not None:
            first += f"ce-fabbudget: {left}\r\n".encode()
        self._sequence += 1
        link.connection.writer.publish_event(
            self._reply,
            b"",
            -1,
            self._answers.template(kind),
            first,
            f"{link.process}-".encode(),
            link.next_count(),
            now_us(),
            data,
        )
        link.connection.wake()
