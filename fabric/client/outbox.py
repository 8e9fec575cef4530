"""What leaves this process: ids, times and header templates, for channels, calls and replies alike.

An envelope of ours is a template (everything that repeats) plus a few lines (`first`) plus id and time.
Cost per message: no dict, no JSON, one command in the writer.
"""

import re

from fabric.client.context import current_cause
from fabric.clock import now_us
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.wire import Template, timestamp

__all__ = ["attribute_line", "cause_lines", "completed", "template"]

PLACEHOLDER = re.compile(rb"ce-id: [^\r]*\r\n")
ESCAPE = re.compile(r"[^\x21\x23\x24\x26-\x7e]")


def template(*, source: str, kind: str, **attributes: str | None) -> Template:
    """The shared lines of messages of one kind from one source; `attributes` are CloudEvents names."""
    attributes.setdefault("fabproto", "nats")
    block = Envelope(
        b"", id="-", source=source, type=f"io.agentfabric.{kind}", fabkind=kind, **attributes
    ).nats_header()
    return Template(PLACEHOLDER.sub(b"", block, count=1))


def attribute_line(name: str, value: str) -> bytes:
    """One header line, for what differs from message to message."""
    if ESCAPE.search(value):
        value = ESCAPE.sub(lambda sign: "".join(f"%{byte:02X}" for byte in sign[0].encode()), value)
    return f"ce-{name}: {value}\r\n".encode()


def cause_lines() -> bytes:
    """The header lines that say which message is being handled here; none when none is."""
    cause = current_cause.get()
    if cause is None:
        return b""
    conversation = attribute_line("correlationid", cause.correlationid)
    return conversation + attribute_line("causationid", cause.causationid)


def completed(envelope: Envelope) -> Envelope:
    """An envelope made elsewhere, with the time if it lacks one. Its id and source stand."""
    return envelope if envelope.time is not None else envelope.replace(None, time=timestamp(now_us()))
