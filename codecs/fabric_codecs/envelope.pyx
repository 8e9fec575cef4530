"""Envelope: the canonical message, a CloudEvents 1.0 event in NATS binary mode.

An envelope is either built (a dict of attributes) or received (the header block as it came, searched on demand): a
message that only passes through is never parsed. Both forms answer the same questions.

    NATS/1.0 CRLF  ce-specversion: 1.0 CRLF  ce-<attribute>: <percent-encoded value> CRLF ...  [Fab-Native: <base64>] CRLF CRLF
"""

import re
from base64 import b64decode, b64encode
from urllib.parse import unquote_to_bytes

import msgspec

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from fabric_codecs.core.headers cimport header_value, last_header_value, memmem, put_value, server_number
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_bytes, writer_free, writer_init

from fabric_codecs.bounds import CONVERSATION_CHARS_MAX, HEADER_BYTES_MAX, ID_CHARS_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.names import decode_level

ATTRIBUTES = frozenset((
    "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
    "traceparent", "tracestate", "correlationid", "causationid", "partitionkey", "expirytime",
    "fabkind", "fabproto", "fabver", "fabmethod", "fabreply", "fabcorr", "fabseq", "fabfinal", "fablive",
    "fabhops", "fabchain", "fabbudget", "fabkey", "fabwindow", "fabepoch", "fabpriority", "fabnull", "fabloss",
))

cdef object ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,20}").fullmatch  # CloudEvents 1.0.2, "Naming conventions"
cdef object CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]").search  # CloudEvents 1.0.2, type String
cdef object SURROGATE = re.compile("[\ud800-\udfff]").search
cdef object LINE = re.compile(rb"\r\nce-([a-z0-9]{1,20}): ([^\r]*)(?=\r)").findall
cdef dict CHARS_MAX = {"id": ID_CHARS_MAX} | dict.fromkeys(("correlationid", "causationid", "fabkey", "fabhops"), CONVERSATION_CHARS_MAX)
cdef tuple REQUIRED = ("id", "source", "type")
cdef dict LEADS = {name: f"\r\nce-{name}: ".encode() for name in ATTRIBUTES}
cdef object from_json = msgspec.json.decode


cdef object wrong(str what, str section="Type System"):
    return CodecError(what, protocol="envelope", clause=f"CloudEvents 1.0.2, {section}")


cdef int check(str name, object value) except -1:
    if not ATTRIBUTE_NAME(name):
        raise wrong(f"attribute name {name!r} is not 1 to 20 lower-case letters and digits", "Naming Conventions")
    if type(value) is not str:
        raise wrong(f"attribute {name} is {type(value).__name__}, not a string")
    if CONTROL(value):
        raise wrong(f"attribute {name} holds a control character")
    if SURROGATE(value):
        raise wrong(f"attribute {name} holds a lone surrogate, which UTF-8 cannot carry")
    most = CHARS_MAX.get(name)
    if most is not None and not 0 < len(value) <= most:
        raise wrong(f"{name} has {len(value)} characters, allowed are 1 to {most}", "id" if name == "id" else "Type System")
    return 0


cdef str text(bytes value):
    # Latin-1 never fails and never happens: what we write is ASCII with escapes.
    if b"%" in value:
        return unquote_to_bytes(value).decode("utf-8", "replace")
    return value.decode("latin-1")


cdef Envelope envelope_from_nats(bytes subject, bytes header, bytes data):
    cdef Envelope envelope = Envelope.__new__(Envelope)
    envelope.address = subject
    envelope._block = header
    envelope.data = data
    return envelope


cdef Envelope envelope_of_block(bytes block, bytes data):
    """The envelope whose header block a `lift` wrote: `nats_header` gives it as it is."""
    cdef Envelope envelope = Envelope.__new__(Envelope)
    envelope.address = b""
    envelope._block = block
    envelope._own = True
    envelope.data = data
    return envelope


@cython.freelist(64)
cdef class Envelope:
    def __init__(self, bytes data=b"", /, **attributes):
        cdef dict kept = {}
        for name, value in attributes.items():
            if value is not None:
                check(name, value)
                kept[name] = value
        for name in REQUIRED:
            if name not in kept:
                raise wrong(f"an envelope needs the attribute {name}", "REQUIRED Attributes")
        self.data = data
        self.address = b""
        self._attributes = kept
        self._block = b""

    @staticmethod
    def from_nats(bytes subject, bytes header, bytes data):
        return envelope_from_nats(subject, header, data)

    cdef bytes _line(self, bytes lead):
        cdef Py_ssize_t size = 0
        cdef const char* value = header_value(
            PyBytes_AS_STRING(self._block), PyBytes_GET_SIZE(self._block), PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead), &size
        )
        return None if value == NULL else PyBytes_FromStringAndSize(value, size)

    cdef str _find(self, bytes lead):
        cdef bytes value = self._line(lead)
        return None if value is None else text(value)

    def get(self, str name):
        if self._attributes is not None:
            return self._attributes.get(name)
        lead = LEADS.get(name)
        return self._find(lead if lead is not None else f"\r\nce-{name}: ".encode())

    def header(self, str name):
        """A header line that the server added (`Nats-Sequence`), or None. Built envelopes have none."""
        cdef bytes lead = f"\r\n{name}: ".encode()
        cdef Py_ssize_t size = 0
        cdef const char* value = last_header_value(
            PyBytes_AS_STRING(self._block), PyBytes_GET_SIZE(self._block), PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead), &size
        )
        if value == NULL:
            return None
        return PyBytes_FromStringAndSize(value, size).decode("latin-1")  # the carrier's own lines are not percent-encoded

    def attributes(self):
        if self._attributes is not None:
            found = dict(self._attributes)
        else:
            # Backwards: of two lines of one name the first counts, here as in `get`.
            found = {name.decode(): text(value) for name, value in reversed(LINE(self._block))}
            found.pop("specversion", None)
        found.pop("fabnative", None)
        return found

    def replace(self, data=None, /, **changes):
        cdef dict merged = self.attributes()
        for name, value in changes.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        return Envelope(self.data if data is None else data, **merged)._keep_native(self)

    def _keep_native(self, Envelope other):
        native = other._native_text()
        if native is not None:
            self._attributes["fabnative"] = native
        return self

    def json(self):
        """The data as JSON. Raises CodecError when it is not."""
        try:
            return from_json(self.data)
        except (ValueError, RecursionError, msgspec.DecodeError) as error:  # not UTF-8; too deep; not JSON
            raise wrong(f"the data of {self.id!r} is not JSON: {error}", "Event Data") from None

    def nats_header(self):
        """The header block of this envelope, as it goes on the wire. Raises CodecError over 64 KiB."""
        cdef Writer w
        cdef bytes raw
        cdef str name
        if self._own:
            if PyBytes_GET_SIZE(self._block) > HEADER_BYTES_MAX:
                raise wrong(f"headers of {PyBytes_GET_SIZE(self._block)} bytes, allowed are {HEADER_BYTES_MAX}", "Size Limits")
            return self._block
        writer_init(&w)
        try:
            put(&w, b"NATS/1.0\r\nce-specversion: 1.0\r\n", 31)
            for name, value in self.attributes().items():
                raw = f"ce-{name}: ".encode()
                put(&w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
                raw = value.encode()
                put_value(&w, <const unsigned char*>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
                put(&w, b"\r\n", 2)
            native = self._native_text()
            if native is not None:
                raw = f"Fab-Native: {native}\r\n".encode("utf-8", "surrogateescape")
                put(&w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
            put(&w, b"\r\n", 2)
            if w.size > HEADER_BYTES_MAX:
                raise wrong(f"headers of {w.size} bytes, allowed are {HEADER_BYTES_MAX}", "Size Limits")
            return writer_bytes(&w)
        finally:
            writer_free(&w)

    def block(self):
        """The header block as it came, or `nats_header` when the server has added lines of its own to it."""
        if self._attributes is None and memmem(
            PyBytes_AS_STRING(self._block), PyBytes_GET_SIZE(self._block), b"\r\nNats-", 7
        ) == NULL:
            return self._block
        return self.nats_header()

    def _native_text(self):
        if self._attributes is not None:
            return self._attributes.get("fabnative")
        # As it stands: base64 needs no escapes, and one undone here would write lines of its own into a copy's block.
        value = self._line(b"\r\nFab-Native: ")
        return None if value is None else value.decode("utf-8", "surrogateescape")

    @property
    def native(self):
        """Native headers that no attribute can carry, in order, with duplicates and nulls; empty when there are none."""
        packed = self._native_text()
        if packed is None:
            return []
        try:
            entries = msgspec.msgpack.decode(b64decode(packed, validate=True), type=list[tuple[str, bytes | None]])
        except (ValueError, msgspec.DecodeError) as error:  # not base64, or not UTF-8; not such a list
            raise wrong(f"Fab-Native cannot be read: {error}", "Extension Context Attributes") from None
        return entries

    def with_native(self, list entries):
        """A copy that carries these native headers."""
        copy = Envelope(self.data, **self.attributes())
        (<Envelope>copy)._attributes["fabnative"] = b64encode(msgspec.msgpack.encode(entries)).decode()
        return copy

    @property
    def id(self):
        return self.get("id") or ""

    @property
    def source(self):
        return self.get("source") or ""

    @property
    def source_name(self):
        """The name in `source`, in its own spelling."""
        return decode_level(self.source.rpartition("/")[2])

    @property
    def type(self):
        return self.get("type") or ""

    @property
    def subject(self):
        return self.get("subject")

    @property
    def time(self):
        return self.get("time")

    @property
    def kind(self):
        return self.get("fabkind")

    @property
    def correlationid(self):
        return self.get("correlationid")

    @property
    def causationid(self):
        return self.get("causationid")

    @property
    def stream(self):
        return self.header("Nats-Stream")

    @property
    def sequence(self):
        cdef long long number = server_number(
            PyBytes_AS_STRING(self._block), PyBytes_GET_SIZE(self._block), b"\r\nNats-Sequence: ", 17
        )
        return number if number > 0 else 0

    def __eq__(self, other):
        if not isinstance(other, Envelope):
            return NotImplemented
        return (
            self.data == other.data
            and self.attributes() == other.attributes()
            and self._native_text() == other._native_text()
        )

    __hash__ = None

    def __repr__(self):
        return f"<Envelope {self.id} from {self.source}: {self.type}, {len(self.data)} bytes>"
