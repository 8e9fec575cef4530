"""NATS client protocol: bytes -> dispatched messages, messages -> bytes.

    MSG  <subject> <sid> [reply] <size>\\r\\n<payload>\\r\\n
    HMSG <subject> <sid> [reply] <header size> <total size>\\r\\n<headers><payload>\\r\\n
    PUB  <subject> [reply] <size>\\r\\n...      HPUB <subject> [reply] <header size> <total size>\\r\\n...

Sans-IO: `Parser.feed` calls the handler of each message's subscription and returns the control lines (INFO, PING, PONG,
+OK, -ERR) for somebody else; `Writer` collects whole commands until `take`. Source: docs.nats.io, "Client Protocol".
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp

from fabric_codecs.core cimport writer as out
from fabric_codecs.core.headers cimport Token, number
from fabric_codecs.core.rfc3339 cimport SECOND_CHARS, floored, put_timestamp, render_fraction, render_second

from fabric_codecs.bounds import HEADER_BYTES_MAX, NATS_CONTROL_LINE_MAX, PAYLOAD_BYTES_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    LINE_MAX = 1 << 20  # INFO of a large cluster lists every server; nothing else comes near
    TOKENS_MAX = 6
    BODY_MAX = 64 << 20  # the server's own hard limit on max_payload

cdef object wrong(str what, Py_ssize_t offset, str section="Protocol conventions"):
    return CodecError(what, protocol="nats", offset=offset, clause=f"Client Protocol, {section}")


cdef class Parser:
    """Takes what a socket gave, in any pieces, and calls `handlers[sid](subject, reply, header, payload)` for each message.

    `header` is the whole header block or b"". A handler that raises is reported to `on_error(sid, exception)`; the
    stream goes on. A message of an unknown sid (unsubscribed, in flight) is counted in `unclaimed`. When bytes are not the
    protocol, what came before them is handed out first: with lines in hand `feed` returns them, leaves the error in `fault`, and
    the next `feed` raises it.
    """

    cdef readonly dict handlers
    cdef readonly object on_error
    cdef readonly Py_ssize_t messages
    cdef readonly Py_ssize_t unclaimed
    cdef readonly object fault
    cdef list _pieces  # of a message that is not whole yet
    cdef Py_ssize_t _held
    cdef Py_ssize_t _wanted  # bytes without which the first message cannot be whole
    cdef Py_ssize_t _passed  # bytes of the stream before those held

    def __init__(self, dict handlers, on_error):
        self.handlers = handlers
        self.on_error = on_error
        self._pieces = []

    def feed(self, bytes data):
        """Dispatch every whole message of `data` and return the control lines among them, in order. Raises CodecError when the
        stream is not the NATS protocol; it cannot be used any further then."""
        cdef Py_ssize_t used = 0
        cdef list lines = []
        if self.fault is not None:
            raise self.fault
        if self._held:
            self._pieces.append(data)
            self._held += PyBytes_GET_SIZE(data)
            if self._held < self._wanted:
                return lines
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._held = 0
        self._wanted = 0
        try:
            used = self._consume(data, lines)
        except CodecError as error:
            self.fault = CodecError(error.what, protocol="nats", offset=self._passed + error.offset, clause=error.clause)
            if lines:
                return lines
            raise self.fault from None
        self._passed += used
        if used < PyBytes_GET_SIZE(data):
            self._pieces.append(data[used:])
            self._held = PyBytes_GET_SIZE(data) - used
        return lines

    cdef Py_ssize_t _consume(self, bytes data, list lines) except -1:
        cdef const char* text = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = 0, stop, after
        cdef const char* newline
        while at < size:
            newline = <const char*>memchr(text + at, 10, size - at)
            if newline == NULL:
                if size - at > LINE_MAX:
                    raise wrong(f"a control line of more than {LINE_MAX} bytes", at)
                break
            stop = newline - text
            if stop == at or text[stop - 1] != 13:
                raise wrong("a control line that does not end in CR LF", stop)
            if stop - at > LINE_MAX:
                raise wrong(f"a control line of more than {LINE_MAX} bytes", at)
            if stop - at > 5 and (memcmp(text + at, b"MSG ", 4) == 0 or memcmp(text + at, b"HMSG ", 5) == 0):
                after = self._message(text, at, stop, size)
                if after == 0:
                    break
                at = after
            else:
                lines.append(PyBytes_FromStringAndSize(text + at, stop + 1 - at))
                at = stop + 1
        return at

    cdef Py_ssize_t _message(self, const char* text, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t size) except -1:
        # Offset after the message, or 0 when it is not whole yet.
        cdef Token tokens[TOKENS_MAX]
        cdef int count = 0
        cdef bint headed = text[start] == 72
        cdef Py_ssize_t at = start, total, header = 0, sid, body = stop + 1
        while at < stop - 1:
            if text[at] == 32:
                at += 1
                continue
            if count == TOKENS_MAX:
                raise wrong("too many fields in MSG", at, "HMSG" if headed else "MSG")
            tokens[count].start = at
            while at < stop - 1 and text[at] != 32:
                at += 1
            tokens[count].stop = at
            count += 1
        if count < 4 + headed or count > 5 + headed:
            raise wrong("the wrong number of fields in MSG", start, "HMSG" if headed else "MSG")
        total = number(text, tokens[count - 1])
        sid = number(text, tokens[2])
        if headed:
            header = number(text, tokens[count - 2])
        if total < 0 or sid < 0 or header < 0 or header > total or total > BODY_MAX:
            raise wrong("a size in MSG that is no size", start, "HMSG" if headed else "MSG")
        if size - body < total + 2:
            self._wanted = body - start + total + 2
            return 0
        if text[body + total] != 13 or text[body + total + 1] != 10:
            raise wrong("a payload that does not end where its size says", body + total, "HMSG" if headed else "MSG")
        self.messages += 1
        handler = self.handlers.get(sid)
        if handler is None:
            self.unclaimed += 1
            return body + total + 2
        try:
            handler(
                PyBytes_FromStringAndSize(text + tokens[1].start, tokens[1].stop - tokens[1].start),
                PyBytes_FromStringAndSize(text + tokens[3].start, tokens[3].stop - tokens[3].start) if count == 5 + headed else b"",
                PyBytes_FromStringAndSize(text + body, header) if headed else b"",
                PyBytes_FromStringAndSize(text + body + header, total - header),
            )
        except Exception as error:
            self.on_error(sid, error)
        return body + total + 2


cdef class Template:
    """The header lines that all messages of one publisher share, rendered once.

    `lines` is a header block as `Envelope.nats_header` makes it. Each message adds its own id and time.
    """

    cdef bytes lines

    def __init__(self, bytes block):
        if not (block.startswith(b"NATS/1.0\r\n") and block.endswith(b"\r\n\r\n")):
            raise wrong("a template is a whole header block", 0, "HPUB")
        self.lines = block[10:len(block) - 2]


cdef class Writer:
    """Commands collected until `take`. Every method appends one whole command, or raises and appends nothing.

    `payload_max` is the server's own limit: headers and payload together (nats-py checks only the payload, and the
    server closes the connection for the rest).
    """

    cdef out.Writer _out
    cdef public Py_ssize_t payload_max
    cdef char _second[20]
    cdef int64_t _second_of

    def __cinit__(self):
        out.writer_init(&self._out)

    def __init__(self, Py_ssize_t payload_max=PAYLOAD_BYTES_MAX):
        self.payload_max = payload_max
        self._second_of = -(1 << 62)  # no second that a time can have

    def __dealloc__(self):
        out.writer_free(&self._out)

    def __len__(self):
        return self._out.size

    def take(self):
        """All commands so far; the writer is empty afterwards."""
        cdef bytes taken = out.writer_bytes(&self._out) if self._out.size else b""
        if self._out.capacity > 1 << 22:  # one burst does not cost its memory for ever
            out.writer_free(&self._out)
        self._out.size = 0
        return taken

    def command(self, bytes line):
        """A control line (`SUB`, `UNSUB`, `PING`), without its CR LF."""
        self._line(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))

    cdef int _line(self, const char* line, Py_ssize_t size) except -1:
        out.reserve(&self._out, size + 2)
        out.put(&self._out, line, size)
        return out.put(&self._out, b"\r\n", 2)

    cdef int _check(self, bytes subject, bytes reply, Py_ssize_t body) except -1:
        cdef Py_ssize_t line = PyBytes_GET_SIZE(subject) + PyBytes_GET_SIZE(reply) + 32
        if PyBytes_GET_SIZE(subject) == 0:
            raise wrong("a message without a subject", 0, "PUB")
        if line > NATS_CONTROL_LINE_MAX:
            raise wrong(f"subject and reply make a control line of {line} bytes, allowed are {NATS_CONTROL_LINE_MAX}", 0)
        if body > self.payload_max:
            raise wrong(f"headers and payload are {body} bytes, the server allows {self.payload_max}", 0, "PUB")
        return 0

    cdef int _start(self, bytes subject, bytes reply, long long ticket, Py_ssize_t header, Py_ssize_t total) except -1:
        out.reserve(&self._out, total + PyBytes_GET_SIZE(subject) + PyBytes_GET_SIZE(reply) + 80)
        if header:
            out.put(&self._out, b"HPUB ", 5)
        else:
            out.put(&self._out, b"PUB ", 4)
        out.put(&self._out, PyBytes_AS_STRING(subject), PyBytes_GET_SIZE(subject))
        out.put_u8(&self._out, 32)
        if PyBytes_GET_SIZE(reply):
            out.put(&self._out, PyBytes_AS_STRING(reply), PyBytes_GET_SIZE(reply))
            if ticket >= 0:
                out.put_decimal(&self._out, ticket)
            out.put_u8(&self._out, 32)
        if header:
            out.put_decimal(&self._out, header)
            out.put_u8(&self._out, 32)
        out.put_decimal(&self._out, total)
        return out.put(&self._out, b"\r\n", 2)

    def publish(self, bytes subject, bytes reply, bytes header, bytes payload, long long ticket=-1):
        """PUB or HPUB. `header` is a whole block or b"", `reply` a subject or b""; a `ticket` >= 0 is appended to the reply in decimal."""
        cdef Py_ssize_t head = PyBytes_GET_SIZE(header), body = head + PyBytes_GET_SIZE(payload)
        self._check(subject, reply, body)
        self._start(subject, reply, ticket, head, body)
        out.put(&self._out, PyBytes_AS_STRING(header), head)
        out.put(&self._out, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        out.put(&self._out, b"\r\n", 2)

    def publish_event(
        self, bytes subject, bytes reply, long long ticket, Template template, bytes first, bytes id_prefix, long long count,
        int64_t time_us, bytes payload
    ):
        """HPUB of one event: `first` (a whole header line or b""), the template's lines, `ce-id: <id_prefix><count>` and
        `ce-time` in UTC with microseconds. The reply is `reply` with the ticket appended, or none."""
        cdef Py_ssize_t shared = PyBytes_GET_SIZE(template.lines), lead = PyBytes_GET_SIZE(first)
        cdef Py_ssize_t prefix = PyBytes_GET_SIZE(id_prefix), digits = 1, header, body
        cdef long long rest = count // 10
        while rest:
            digits += 1
            rest //= 10
        header = 10 + lead + shared + 7 + prefix + digits + 2 + 9 + 27 + 2 + 2
        body = header + PyBytes_GET_SIZE(payload)
        self._check(subject, reply, body)
        self._start(subject, reply, ticket, header, body)
        out.put(&self._out, b"NATS/1.0\r\n", 10)
        out.put(&self._out, PyBytes_AS_STRING(first), lead)
        out.put(&self._out, PyBytes_AS_STRING(template.lines), shared)
        out.put(&self._out, b"ce-id: ", 7)
        out.put(&self._out, PyBytes_AS_STRING(id_prefix), prefix)
        out.put_decimal(&self._out, count)
        out.put(&self._out, b"\r\nce-time: ", 11)
        self._time(time_us)
        out.put(&self._out, b"\r\n\r\n", 4)
        out.put(&self._out, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        out.put(&self._out, b"\r\n", 2)

    cdef int _time(self, int64_t time_us) except -1:
        # 2026-11-21T03:56:33.459455Z; the part up to the second is kept, a publisher asks for the same one again and again.
        cdef int64_t second = floored(time_us, 1000000)
        cdef int fraction = <int>(time_us - second * 1000000)
        cdef char tail[8]
        if second != self._second_of:
            render_second(self._second, second)
            self._second_of = second
        render_fraction(tail, fraction)
        out.put(&self._out, self._second, SECOND_CHARS)
        return out.put(&self._out, tail, 8)


def timestamp(int64_t time_us):
    """Microseconds since 1970 -> RFC 3339 in UTC with six decimals, as `ce-time` carries it. Years 1 to 9999."""
    cdef out.Writer w
    out.writer_init(&w)
    try:
        put_timestamp(&w, time_us)
        return out.writer_bytes(&w).decode("ascii")
    finally:
        out.writer_free(&w)
