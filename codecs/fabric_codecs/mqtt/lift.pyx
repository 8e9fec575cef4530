"""Lift: a device's PUBLISH -> the canonical message.

In: the packet, and what only the edge knows (a fresh id, the source, the time). Out: the canonical message, as places in
the packet (`take_packet`) or as `Translation[Envelope]`. Above: the edge's session, `translate`. Below: `publish`,
`core.canonical`.

    subject          the channel that the Topic Name is
    datacontenttype  Content Type; in 3.1.1 guessed from the payload (CONTENT_TYPE_GUESSED)
    expirytime       now + Message Expiry Interval
    fabreply         the channel that the Response Topic is
    fabcorr          Correlation Data, base64
    fabkind          `request` with a Response Topic, `response` with Correlation Data alone, else `event`
    <attribute>      the first user property of that name whose value it may have, unless it is withheld
    <extension>      beside `specversion` 1.0, the first user property of any name that CloudEvents allows; when there is a
                     `fab-extensions`, only the names listed there: then the others were headers before `lower` sent them
    fabloss          user property `fab-loss`
    native entries   every other user property, in order, with duplicates; `mqtt.payload_format`, `mqtt.retain`
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp

from fabric_codecs.core.base64 cimport put_unbase64
from fabric_codecs.core.block cimport is_name
from fabric_codecs.core.canonical cimport (
    UNKNOWN, Canonical, DataForm, close_canonical, has, hold, is_legal, keep, open_canonical, scratch, tell, tell_base64, tell_data,
    tell_other, tell_str, tell_time, tell_usual, tell_whole, tell_word,
)
from fabric_codecs.core.enveloped cimport envelope_of
from fabric_codecs.core.marks cimport (
    DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABEPOCH, FABKIND, FABLIVE, FABLOSS, FABMETHOD, FABPROTO, FABREPLY, FABVER, ID,
    SOURCE, SUBJECT, TIME, attribute_of,
)
from fabric_codecs.core.mediatype cimport looks_like, media_type
from fabric_codecs.core.reader cimport Reader, reader_init
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.losses cimport translation_of
from fabric_codecs.mqtt.fields cimport Span
from fabric_codecs.mqtt.names cimport NAME_BYTES_MAX, swap_levels
from fabric_codecs.mqtt.properties cimport (
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, PAYLOAD_FORMAT, RESPONSE_TOPIC, USER, Property, next_property,
)
from fabric_codecs.mqtt.publish cimport Parts, Publish, parts_of
from fabric_codecs.mqtt.wire cimport read_message

from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode
from fabric_codecs.names import topic_to_channel

FAB_LOSS = "fab-loss"  # user property: the losses so far
FAB_NATIVE = "fab-native"  # user property `<base64>:<name>` or `-:<name>`: an entry that is no text

cdef enum:
    TOPIC_NAME_INVALID = 0x90
    QUOTA_EXCEEDED = 0x97
    PAYLOAD_FORMAT_INVALID = 0x99

# What nobody says in a user property: a property of MQTT carries it. And what a device may not say of itself.
cdef unsigned long long CARRIED = 1ULL << DATACONTENTTYPE | 1ULL << FABREPLY | 1ULL << FABCORR | 1ULL << FABLOSS | 1ULL << FABLIVE
cdef unsigned long long WITHHELD = (
    CARRIED | 1ULL << SOURCE | 1ULL << SUBJECT | 1ULL << FABPROTO | 1ULL << FABVER | 1ULL << FABMETHOD | 1ULL << FABEPOCH
)
cdef frozenset KINDS = frozenset((
    b"event", b"request", b"response", b"error", b"progress", b"status", b"artifact", b"cancel", b"presence",
))
cdef tuple GUESSED = (
    Loss(LossCode.CONTENT_TYPE_GUESSED, "datacontenttype", "guessed from the payload; MQTT 3.1.1 has none"),
)


cdef struct Event:  # whether the user properties are those of a CloudEvent, asked when one could be an extension
    bint is_known
    bint is_one  # `specversion` 1.0 stands among them
    bint has_list
    Span listed  # `fab-extensions`


def lift(
    Publish publish not None, *, int version, str fresh_id not None, str source not None, int64_t now_us, bint trusted=False
):
    cdef Canonical c
    cdef Parts parts
    cdef bytes section = parts_of(publish, version, &parts)
    open_canonical(&c)
    try:
        losses = tell_parts(&c, &parts, version, fresh_id, source, now_us, trusted)
        tell_whole(&c, publish.payload)
        return translation_of(enveloped(&c), losses)
    finally:
        close_canonical(&c)


cdef tuple take_packet(Canonical* c, bytes packet, int version, str fresh_id, str source, int64_t now_us, bint trusted):
    """`lift` of a whole packet, which has to live as long as the canonical; the losses. That it tells no more than an envelope
    holds is not checked (`check_size`)."""
    cdef Parts parts
    read_message(packet, version, &parts)
    return tell_parts(c, &parts, version, fresh_id, source, now_us, trusted)


cdef Envelope enveloped(const Canonical* c):
    """Raises CodecError, with the reason code, for more beside the data than an envelope holds."""
    try:
        return envelope_of(c, "mqtt")
    except CodecError as error:
        raise CodecError(error.what, protocol="mqtt", clause="3.3.2.3", reason=QUOTA_EXCEEDED) from None


cdef tuple tell_parts(Canonical* c, const Parts* parts, int version, str fresh_id, str source, int64_t now_us, bint trusted):
    cdef tuple losses = ()
    tell_data(c, parts.payload.data, parts.payload.size, UNKNOWN)
    if version == 5:
        tell_section(c, parts, CARRIED if trusted else WITHHELD, now_us)
    elif parts.payload.size:
        losses = GUESSED
        tell_guess(c)
    if parts.flags & 1:
        keep_flag(c, b"mqtt.retain", 11, True)
    tell_str(c, ID, fresh_id)
    tell_str(c, SOURCE, source)
    if not has(c, SUBJECT):
        tell_channel(c, SUBJECT, parts.topic.data, parts.topic.size, "Topic Name")
    tell_time(c, TIME, now_us)
    tell_word(c, FABPROTO, b"mqtt", 4)
    tell_word(c, FABVER, b"5" if version == 5 else b"3.1.1", 1 if version == 5 else 5)
    tell_word(c, FABMETHOD, b"PUBLISH", 7)
    if has(c, FABREPLY):
        tell_usual(c, b"io.agentfabric.request", 22)
    elif has(c, FABCORR):
        tell_usual(c, b"io.agentfabric.response", 23)
    else:
        tell_usual(c, b"io.agentfabric.event", 20)
    return losses


cdef int tell_guess(Canonical* c) except -1:
    cdef bint long_numbers = False
    cdef DataForm form = looks_like(c.data.text, c.data.size, &long_numbers)
    cdef bytes guessed = media_type(form)
    if not long_numbers:
        c.form = form
    tell_word(c, DATACONTENTTYPE, PyBytes_AS_STRING(guessed), PyBytes_GET_SIZE(guessed))
    tell_word(c, FABLOSS, b"CONTENT_TYPE_GUESSED", 20)
    return 0


cdef int tell_channel(Canonical* c, int which, const unsigned char* topic, Py_ssize_t size, str what) except -1:
    cdef unsigned char* simple
    cdef bytes channel
    if size <= NAME_BYTES_MAX:
        simple = scratch(c, size)
        if swap_levels(topic, size, c"/", c".", simple):
            tell(c, which, simple, size)
            return 0
    try:
        channel = topic_to_channel(PyUnicode_DecodeUTF8(<const char*>topic, size, NULL)).encode()
    except CodecError as error:
        raise CodecError(f"{what}: {error.what}", protocol="mqtt", clause="4.7.3", reason=TOPIC_NAME_INVALID) from None
    tell(c, which, hold(c, channel), PyBytes_GET_SIZE(channel))
    return 0


# ---- properties --------------------------------------------------------------------------------------------------


cdef inline bint is_word(const unsigned char* text, Py_ssize_t size, const char* word, Py_ssize_t word_size) noexcept nogil:
    return size == word_size and memcmp(text, word, size) == 0


cdef int tell_section(Canonical* c, const Parts* parts, unsigned long long withheld, int64_t now_us) except -1:
    cdef Reader r
    cdef Property one
    cdef Event event
    event.is_known = event.is_one = event.has_list = False
    event.listed.size = 0
    reader_init(&r, parts.section.data, 0, parts.section.size)
    while next_property(&r, &one):
        if one.code == USER:
            tell_user(c, parts, &one, withheld, &event)
        elif one.code == CONTENT_TYPE:
            tell_content_type(c, one.value, one.size)
        elif one.code == MESSAGE_EXPIRY:
            tell_time(c, EXPIRYTIME, now_us + <int64_t>one.number * 1000000)
        elif one.code == CORRELATION_DATA:
            tell_base64(c, FABCORR, one.value, one.size)
        elif one.code == RESPONSE_TOPIC:
            tell_channel(c, FABREPLY, one.value, one.size, "Response Topic")
        elif one.code == PAYLOAD_FORMAT:
            keep_flag(c, b"mqtt.payload_format", 19, one.number == 1)
            if one.number == 1:
                check_utf8(&parts.payload)
    return 0


cdef int keep_flag(Canonical* c, const char* name, Py_ssize_t size, bint value) except -1:
    return keep(c, b"", 0, <const unsigned char*>name, size, <const unsigned char*>(b"1" if value else b"0"), 1)


cdef int tell_content_type(Canonical* c, const unsigned char* text, Py_ssize_t size) except -1:
    if is_legal(DATACONTENTTYPE, text, size):
        tell(c, DATACONTENTTYPE, text, size)
        return 0
    # CloudEvents forbids control characters in attributes; MQTT only advises against them (1.5.4).
    return keep(c, b"", 0, <const unsigned char*>b"datacontenttype", 15, text, size)


cdef int tell_user(
    Canonical* c, const Parts* parts, const Property* one, unsigned long long withheld, Event* event
) except -1:
    cdef int which = attribute_of(one.name, one.name_size)
    if which >= 0:
        if not (withheld | c.seen) >> which & 1 and may_be(which, one.value, one.size):
            tell(c, which, one.value, one.size)
            return 0
    elif is_word(one.name, one.name_size, b"specversion", 11):
        if is_word(one.value, one.size, b"1.0", 3):
            return 0
    elif is_word(one.name, one.name_size, b"fab-native", 10):
        if keep_folded(c, one.value, one.size):
            return 0
    elif is_word(one.name, one.name_size, b"fab-loss", 8):
        if not has(c, FABLOSS) and is_legal(FABLOSS, one.value, one.size):
            tell(c, FABLOSS, one.value, one.size)
            return 0
    elif is_word(one.name, one.name_size, b"fab-extensions", 14):
        return 0
    elif may_be_extension(parts, one, event):
        if tell_other(c, one.name, one.name_size, one.value, one.size) > 0:  # the first of its name
            return 0
    return keep(c, b"", 0, one.name, one.name_size, one.value, one.size)


cdef bint may_be(int which, const unsigned char* text, Py_ssize_t size):
    """Whether the attribute may have the value; if not, the user property stays a native entry."""
    if which == FABKIND and (<const char*>text)[:size] not in KINDS:
        return False
    return is_legal(which, text, size)


cdef bint may_be_extension(const Parts* parts, const Property* one, Event* event):
    """Whether it can be an attribute of another vocabulary."""
    if not is_name(one.name, one.name_size) or not is_legal(-1, one.value, one.size):
        return False
    if is_word(one.name, one.name_size, b"fabnative", 9):  # an envelope's own word for its native entries
        return False
    if not event.is_known:
        find_event(&parts.section, event)
    if event.has_list and not is_listed(&event.listed, one.name, one.name_size):
        return False
    return event.is_one


cdef void find_event(const Span* section, Event* event) noexcept nogil:
    cdef Reader r
    cdef Property one
    event.is_known = True
    reader_init(&r, section.data, 0, section.size)
    while next_property(&r, &one):
        if one.code == USER and is_word(one.name, one.name_size, b"specversion", 11):
            event.is_one = is_word(one.value, one.size, b"1.0", 3)
        elif one.code == USER and is_word(one.name, one.name_size, b"fab-extensions", 14):
            event.has_list = True
            event.listed.data = one.value
            event.listed.size = one.size


cdef bint is_listed(const Span* names, const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """Whether the name is one of those that commas separate."""
    cdef Py_ssize_t at = 0, start = 0
    for at in range(names.size + 1):
        if at == names.size or names.data[at] == c",":
            if at - start == size and memcmp(names.data + start, name, size) == 0:
                return True
            start = at + 1
    return False


cdef bint keep_folded(Canonical* c, const unsigned char* text, Py_ssize_t size) except -1:
    """What `lower` folded into `fab-native`; False when somebody else wrote it."""
    cdef const unsigned char* colon = <const unsigned char*>memchr(text, c":", size) if size else NULL
    cdef Writer value
    cdef bytes folded
    if colon == NULL:
        return False
    if colon == text + 1 and text[0] == c"-":
        keep(c, b"", 0, colon + 1, size - 2, NULL, 0)
        return True
    writer_init(&value)
    try:
        if not put_unbase64(&value, text, colon - text):
            return False
        folded = writer_bytes(&value)
    finally:
        writer_free(&value)
    keep(c, b"", 0, colon + 1, text + size - colon - 1, hold(c, folded), PyBytes_GET_SIZE(folded))
    return True


cdef int check_utf8(const Span* payload) except -1:
    cdef Py_ssize_t fault = utf8_fault(payload.data, payload.size)
    if fault >= 0:
        raise CodecError(
            "the payload is not the UTF-8 that its Payload Format Indicator promises",
            protocol="mqtt", offset=fault, clause="3.3.2.3.2", reason=PAYLOAD_FORMAT_INVALID,
        )
    return 0
