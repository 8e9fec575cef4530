"""What the tests of MCP and A2A share: envelopes of every kind and form, and messages cut and bent."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from fabric_codecs.envelope import Envelope

__all__ = ["NOW_US", "NUMBERS", "TEXT", "envelope", "envelopes", "json_values", "malformed", "packed"]

NOW_US = 1_795_233_600_000_000
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def packed(value: object) -> bytes:
    """JSON without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def envelope(
    data: bytes = b"{}", native: list[tuple[str, bytes | None]] | None = None, **attributes: str
) -> Envelope:
    """An envelope as it comes out of a log."""
    kind = attributes.get("fabkind", "event")
    base = {
        "id": "e-1",
        "source": "/mqtt/t1",
        "type": f"io.agentfabric.{kind}",
        "subject": "a.b",
        "fabkind": kind,
    }
    built = Envelope(data, **(base | attributes))
    if native:
        built = built.with_native(native)
    return Envelope.from_nats(b"", built.nats_header(), data)


@st.composite
def envelopes(draw: Any, kinds: tuple[str, ...]) -> Envelope:
    """Any data under any content type, with attributes and native entries of other protocols."""
    kind = draw(st.sampled_from(kinds))
    content = draw(
        st.sampled_from(["application/json", "text/plain", "text/csv", "image/png", "application/cbor"])
    )
    if content == "application/json":
        data = packed(draw(json_values))
    elif content.startswith("text/"):
        data = draw(TEXT).encode()
    else:
        data = draw(st.binary(max_size=20))
    names = ["correlationid", "causationid", "partitionkey", "dataschema", "ext1"]
    attributes = {name: draw(WORDS) for name in draw(st.sets(st.sampled_from(names)))}
    native = draw(st.lists(st.tuples(WORDS, st.none() | st.binary(max_size=9)), max_size=3))
    return envelope(
        data,
        native,
        **attributes,
        fabkind=kind,
        datacontenttype=content,
        subject=draw(WORDS),
        time="2026-11-21T04:00:00.000000Z",
        fabproto="kafka",
    )


def malformed(message: bytes) -> Iterator[bytes]:
    """A valid message, cut at every byte, and with every byte replaced by two that JSON never has."""
    for at in range(len(message)):
        yield message[:at]
        yield message[:at] + b"\xff" + message[at + 1 :]
        yield message[:at] + b"\x00" + message[at + 1 :]
