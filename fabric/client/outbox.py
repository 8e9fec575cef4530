"""What leaves this process: ids, times and header templates, for channels, calls and replies alike.

An envelope of ours is a template (everything that repeats) plus a few lines (`first`) plus id and time.
Cost per message: no dict, no JSON, one command in the writer.
"""

import re

import msgspec

from fabric.client.context import Cause, current_cause
from fabric.clock import now_us
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.wire import Template, timestamp

__all__ = ["OCTETS", "attribute_line", "cause_lines", "completed", "encoded", "template"]

OCTETS = "application/octet-stream"

PLACEHOLDER = re.compile(rb"ce-id: [^\r]*\r\n")
ESCAPE = re.compile(r"[^\x21\x23\x24\x26-\x7e]")


to_json = msgspec.json.Encoder().encode


def encoded(data: object) -> tuple[bytes, str]:
    """Payload and media type of what a user hands in."""
    if isinstance(data, bytes):
        return data, OCTETS
    if isinstance(data, str):
        return data.encode(), "text/plain"
    return to_json(data), "application/json"


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


def caused_lines(cause: Cause) -> bytes:
    """The header lines of what is sent because of `cause`, beside the conversation's. Raises
    Refused("loop")."""
    hops = cause.hops_after()
    return (
        attribute_line("causationid", cause.causationid)
        + b"ce-fabhops: %d\r\n" % hops
        + attribute_line("fabchain", cause.chain)
    )


def cause_lines() -> bytes:
    """The header lines that say which message is being handled here; none when none is. Raises
    Refused("loop") when its chain is as long as a chain may be."""
    cause = current_cause.get()
    if cause is None:
        return b""
    return attribute_line("correlationid", cause.correlationid) + caused_lines(cause)


def cause_attributes() -> dict[str, str]:
    """As `cause_lines`, for an envelope."""
    cause = current_cause.get()
    if cause is None:
        return {}
    return {
        "correlationid": cause.correlationid,
        "causationid": cause.causationid,
        "fabhops": str(cause.hops_after()),
        "fabchain": cause.chain,
    }


def completed(envelope: Envelope) -> Envelope:
    """An envelope made elsewhere, with the time if it lacks one, and with the hops of what is being handled.
    Its id, source and conversation stand. Raises Refused("loop")."""
    cause = current_cause.get()
    if cause is not None:
        time = envelope.time or timestamp(now_us())
        hops = str(cause.hops_after())
        return envelope.replace(None, time=time, fabhops=hops, fabchain=cause.chain)
    return envelope if envelope.time is not None else envelope.replace(None, time=timestamp(now_us()))
