"""What the fabric reads in a message without parsing it: a few lines of its header block, its subject, an acknowledgement.

Each function searches the bytes in place and allocates only what it returns. None raises: an absent or malformed line
is a value (-1, 0, b"", False). Of a sender's lines of one name the first counts, of the server's own (`Nats-...`) the last:
it appends them, and a sender may have written the same names. Server header lines: NATS ADR-8 (republish), ADR-31 (direct get), ADR-4 (status).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from fabric_codecs.core.headers cimport Token, header_value, last_header_value, memmem, number, server_number


def status_of(bytes header):
    """The status in the first line of a header block (`NATS/1.0 503`), or 0 when there is none."""
    cdef const char* text = PyBytes_AS_STRING(header)
    cdef Token token
    if PyBytes_GET_SIZE(header) < 14 or text[8] != 32:
        return 0
    token.start = 9
    token.stop = 12
    return max(number(text, token), 0)


def positions(bytes header):
    """(sequence, previous sequence on the same subject) of a republished or directly read message; -1 where a line is absent."""
    cdef const char* text = PyBytes_AS_STRING(header)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(header)
    return (
        server_number(text, size, b"\r\nNats-Sequence: ", 17),
        server_number(text, size, b"\r\nNats-Last-Sequence: ", 22),
    )


def number_in(bytes header, bytes name):
    """The unsigned decimal in the named line of the server's, or -1 when the line is absent or is none."""
    cdef bytes lead = b"\r\n" + name + b": "
    return server_number(PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead))


def value_in(bytes header, bytes name):
    """The named header line's value as it stands, or b"" when the line is absent."""
    cdef bytes lead = b"\r\n" + name + b": "
    cdef Py_ssize_t size = 0
    cdef const char* value = header_value(
        PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead), &size
    )
    return b"" if value == NULL else PyBytes_FromStringAndSize(value, size)


def server_value_in(bytes header, bytes name):
    """As `value_in`, of a line that the server added (`Nats-Subject`)."""
    cdef bytes lead = b"\r\n" + name + b": "
    cdef Py_ssize_t size = 0
    cdef const char* value = last_header_value(
        PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead), &size
    )
    return b"" if value == NULL else PyBytes_FromStringAndSize(value, size)


def mark_of(bytes header):
    """(process, running number) of a live message, from the sender's `ce-fablive: <process>:<n>`; (b"", -1) where that line is
    absent or holds something else."""
    cdef Py_ssize_t size = 0
    cdef Token token
    cdef const char* value = header_value(PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), b"\r\nce-fablive: ", 14, &size)
    if value == NULL:
        return b"", -1
    token.start = token.stop = size
    while token.start > 0 and value[token.start - 1] != 58:
        token.start -= 1
    if token.start < 2:
        return b"", -1
    return PyBytes_FromStringAndSize(value, token.start - 1), number(value, token)


def ticket_of(bytes subject):
    """The number after the last dot of a reply subject, or -1."""
    cdef const char* text = PyBytes_AS_STRING(subject)
    cdef Token token
    token.stop = PyBytes_GET_SIZE(subject)
    token.start = token.stop
    while token.start > 0 and text[token.start - 1] != 46:
        token.start -= 1
    return number(text, token)


def stored_at(bytes ack):
    """The sequence in a JetStream acknowledgement; its negative when the server calls it a duplicate; 0 for anything else
    (an error, which the caller reads as JSON)."""
    cdef const char* text = PyBytes_AS_STRING(ack)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(ack), at
    cdef const char* found
    cdef long long sequence = 0
    if memmem(text, size, b'"error"', 7) != NULL:
        return 0
    found = <const char*>memmem(text, size, b'"seq":', 6)
    if found == NULL:
        return 0
    at = found - text + 6
    while at < size and 48 <= text[at] <= 57 and sequence < 1 << 58:
        sequence = sequence * 10 + (text[at] - 48)
        at += 1
    # nats-server 2.15 writes `"duplicate": true`, with a space; JSON may have it or not.
    if memmem(text, size, b'"duplicate": true', 17) != NULL or memmem(text, size, b'"duplicate":true', 16) != NULL:
        return -sequence
    return sequence


def source_agrees(bytes subject, bytes header):
    """Whether the last segment of `ce-source` is the source token of the subject (`fab.cho.<shard>.<source>...`, `fab.lv.<source>...`):
    the server vouches for the token, the header is only what the sender says."""
    cdef const char* text = PyBytes_AS_STRING(subject)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(subject), start = 0, stop, length = 0, at
    cdef int dots = 2 if size > 6 and text[4] == 108 and text[5] == 118 and text[6] == 46 else 3
    cdef const char* value = header_value(PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), b"\r\nce-source: ", 13, &length)
    if value == NULL:
        return False
    while dots and start < size:
        if text[start] == 46:
            dots -= 1
        start += 1
    stop = start
    while stop < size and text[stop] != 46:
        stop += 1
    return same_name(value, length, text + start, stop - start)


cdef bint same_name(const char* value, Py_ssize_t length, const char* token, Py_ssize_t size) noexcept nogil:
    # The header's value is percent-encoded once more than the token: every % of the token stands there as %25.
    cdef Py_ssize_t at = length, back = size
    while back > 0:
        back -= 1
        at -= 1
        if at < 0:
            return False
        if token[back] == 37:
            if at < 2 or value[at] != 53 or value[at - 1] != 50 or value[at - 2] != 37:
                return False
            at -= 2
        elif value[at] != token[back]:
            return False
    return size > 0 and at > 0 and value[at - 1] == 47
