"""Lift: a device's PUBLISH -> the canonical Envelope.

In: the packet, and what only the edge knows (a fresh id, the source, the time). Out: `Translation[Envelope]`, its header
block written straight from the packet's properties. Above: the edge's session. Below: `publish`, `core.lifted`.

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
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp

from fabric_codecs.core.base64 cimport put_base64, put_unbase64
from fabric_codecs.core.block cimport is_name, put_attribute, put_end, put_entry, put_name, put_native
from fabric_codecs.core.lifted cimport Lifted, is_legal, lifted_free, lifted_init, tell, tell_str, tell_time
from fabric_codecs.core.marks cimport (
    DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABEPOCH, FABKIND, FABLIVE, FABLOSS, FABMETHOD, FABPROTO, FABREPLY, FABVER, ID,
    SOURCE, SUBJECT, TIME, TYPE, attribute_of,
)
from fabric_codecs.core.mediatype cimport looks_like, media_type
from fabric_codecs.core.reader cimport Reader, reader_init
from fabric_codecs.core.rfc3339 cimport put_timestamp
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope, envelope_of_block
from fabric_codecs.mqtt.names cimport NAME_BYTES_MAX, swap_levels
from fabric_codecs.mqtt.properties cimport (
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, PAYLOAD_FORMAT, RESPONSE_TOPIC, NOTHING, USER, Property, next_property,
    section_of,
)
from fabric_codecs.mqtt.publish cimport Publish

from fabric_codecs.bounds import HEADER_BYTES_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.names import topic_to_channel
from fabric_codecs.translate.losses import Loss, LossCode, Translation

FAB_LOSS = "fab-loss"  # user property: the losses so far
FAB_NATIVE = "fab-native"  # user property `<base64>:<name>` or `-:<name>`: an entry that is no text

cdef enum:
    PUBLISH_PLACE = 1 << 3
    EXTENSIONS_MAX = 32
    TOPIC_NAME_INVALID = 0x90
    QUOTA_EXCEEDED = 0x97
    PAYLOAD_FORMAT_INVALID = 0x99

cdef Py_ssize_t BLOCK_MAX = HEADER_BYTES_MAX

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


cdef struct Said:
    # One PUBLISH on its way.
    Lifted to
    unsigned long long withheld
    bint is_event  # `specversion` 1.0 stands beside the other user properties
    const unsigned char* listed  # `fab-extensions`, NULL when there is none
    Py_ssize_t listed_size
    bint has_reply
    bint has_correlation
    int extensions
    const unsigned char* extension[EXTENSIONS_MAX]
    Py_ssize_t extension_size[EXTENSIONS_MAX]


def lift(
    Publish publish not None, *, int version, str fresh_id not None, str source not None, int64_t now_us, bint trusted=False
):
    return lift_publish(publish, version, fresh_id, source, now_us, trusted)


cdef object lift_publish(Publish publish, int version, str fresh_id, str source, int64_t now_us, bint trusted):
    """`lift`, for `translate`."""
    cdef Said said
    cdef tuple losses = ()
    cdef bytes section
    lifted_init(&said.to)
    said.withheld = CARRIED if trusted else WITHHELD
    said.is_event = said.has_reply = said.has_correlation = False
    said.listed = NULL
    said.extensions = 0
    try:
        if version == 5:
            if publish.properties is not NOTHING:
                section = section_of(publish.properties, PUBLISH_PLACE)
                read_section(&said, section, publish.payload, now_us)
        elif PyBytes_GET_SIZE(publish.payload):
            losses = GUESSED
            tell_guess(&said.to, publish.payload)
        if publish.retain:
            put_flag(&said, b"mqtt.retain", 11, True)
        tell_rest(&said, publish, version, fresh_id, source, now_us)
        put_native(&said.to.block, &said.to.entries, said.to.entry_count)
        put_end(&said.to.block)
        if said.to.block.size > BLOCK_MAX:
            raise CodecError(
                f"{said.to.block.size} bytes beside the payload as an envelope, allowed are {BLOCK_MAX}",
                protocol="mqtt", clause="3.3.2.3", reason=QUOTA_EXCEEDED,
            )
        return Translation(envelope_of_block(writer_bytes(&said.to.block), publish.payload), losses)
    finally:
        lifted_free(&said.to)


cdef int tell_guess(Lifted* to, bytes payload) except -1:
    cdef bytes guessed = media_type(looks_like(<const unsigned char*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)))
    tell(to, DATACONTENTTYPE, <const unsigned char*>PyBytes_AS_STRING(guessed), PyBytes_GET_SIZE(guessed))
    return tell(to, FABLOSS, <const unsigned char*><const char*>b"CONTENT_TYPE_GUESSED", 20)


cdef int tell_rest(Said* said, Publish publish, int version, str fresh_id, str source, int64_t now_us) except -1:
    """What the edge knows and the packet's frame says, where no user property said it."""
    cdef Lifted* to = &said.to
    cdef Py_ssize_t size
    cdef const unsigned char* topic
    cdef const char* kind = b"request" if said.has_reply else b"response" if said.has_correlation else b"event"
    cdef Py_ssize_t kind_size = 7 if said.has_reply else 8 if said.has_correlation else 5
    tell_str(to, ID, fresh_id)
    tell_str(to, SOURCE, source)
    if not to.seen >> SUBJECT & 1:
        topic = <const unsigned char*>PyUnicode_AsUTF8AndSize(publish.topic, &size)
        tell_channel(to, SUBJECT, topic, size, "Topic Name")
    tell_time(to, now_us)
    tell(to, FABPROTO, b"mqtt", 4)
    tell(to, FABVER, b"5" if version == 5 else b"3.1.1", 1 if version == 5 else 5)
    tell(to, FABMETHOD, b"PUBLISH", 7)
    if not to.seen >> TYPE & 1:
        tell_type(to, kind, kind_size)
    return tell(to, FABKIND, <const unsigned char*>kind, kind_size)


cdef int tell_type(Lifted* to, const char* kind, Py_ssize_t size) except -1:
    cdef unsigned char ours[32]
    cdef Py_ssize_t at
    cdef const char* prefix = b"io.agentfabric."
    for at in range(15):
        ours[at] = prefix[at]
    for at in range(size):
        ours[15 + at] = kind[at]
    return tell(to, TYPE, ours, 15 + size)


cdef int tell_channel(Lifted* to, int which, const unsigned char* topic, Py_ssize_t size, str what) except -1:
    cdef unsigned char simple[NAME_BYTES_MAX]
    cdef bytes channel
    if swap_levels(topic, size, c"/", c".", simple):
        return tell(to, which, simple, size)
    try:
        channel = topic_to_channel(PyUnicode_DecodeUTF8(<const char*>topic, size, NULL)).encode()
    except CodecError as error:
        raise CodecError(f"{what}: {error.what}", protocol="mqtt", clause="4.7.3", reason=TOPIC_NAME_INVALID) from None
    return tell(to, which, <const unsigned char*>PyBytes_AS_STRING(channel), PyBytes_GET_SIZE(channel))


# ---- properties --------------------------------------------------------------------------------------------------


cdef inline bint is_word(const unsigned char* text, Py_ssize_t size, const char* word, Py_ssize_t word_size) noexcept nogil:
    return size == word_size and memcmp(text, word, size) == 0


cdef int read_section(Said* said, bytes section, bytes payload, int64_t now_us) except -1:
    cdef Reader r
    cdef Property one
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(section)
    reader_init(&r, base, 0, PyBytes_GET_SIZE(section))
    while next_property(&r, &one):
        if one.code == USER and is_word(one.name, one.name_size, b"specversion", 11):
            said.is_event = is_word(one.value, one.size, b"1.0", 3)
        elif one.code == USER and is_word(one.name, one.name_size, b"fab-extensions", 14):
            said.listed = one.value
            said.listed_size = one.size
    reader_init(&r, base, 0, PyBytes_GET_SIZE(section))
    while next_property(&r, &one):
        if one.code == USER:
            read_user(said, &one)
        elif one.code == CONTENT_TYPE:
            tell_text(said, DATACONTENTTYPE, b"datacontenttype", 15, one.value, one.size)
        elif one.code == MESSAGE_EXPIRY:
            tell_expiry(&said.to, now_us + <int64_t>one.number * 1000000)
        elif one.code == CORRELATION_DATA:
            said.has_correlation = True
            tell_correlation(&said.to, one.value, one.size)
        elif one.code == RESPONSE_TOPIC:
            said.has_reply = True
            tell_channel(&said.to, FABREPLY, one.value, one.size, "Response Topic")
        elif one.code == PAYLOAD_FORMAT:
            put_flag(said, b"mqtt.payload_format", 19, one.number == 1)
            if one.number == 1:
                check_utf8(payload)
    return 0


cdef int put_flag(Said* said, const char* name, Py_ssize_t size, bint value) except -1:
    said.to.entry_count += 1
    return put_entry(&said.to.entries, <const unsigned char*>name, size, b"1" if value else b"0", 1)


cdef int tell_expiry(Lifted* to, int64_t time_us) except -1:
    """Instead of what a user property called expirytime says, which then came first or comes later."""
    if to.seen >> EXPIRYTIME & 1:
        return 0
    to.seen |= 1ULL << EXPIRYTIME
    put_name(&to.block, b"expirytime", 10)
    put_timestamp(&to.block, time_us)
    return put_end(&to.block)


cdef int tell_correlation(Lifted* to, const unsigned char* data, Py_ssize_t size) except -1:
    to.seen |= 1ULL << FABCORR
    put_name(&to.block, b"fabcorr", 7)
    put_base64(&to.block, data, size)
    return put_end(&to.block)


cdef int tell_text(
    Said* said, int which, const char* name, Py_ssize_t name_size, const unsigned char* text, Py_ssize_t size
) except -1:
    if is_legal(which, text, size):
        return tell(&said.to, which, text, size)
    # CloudEvents forbids control characters in attributes; MQTT only advises against them (1.5.4).
    said.to.entry_count += 1
    return put_entry(&said.to.entries, <const unsigned char*>name, name_size, text, size)


cdef int read_user(Said* said, Property* one) except -1:
    cdef Lifted* to = &said.to
    cdef int which = attribute_of(one.name, one.name_size)
    if which >= 0:
        if not (said.withheld | to.seen) >> which & 1 and may_be(which, one.value, one.size):
            return tell(to, which, one.value, one.size)
    elif is_word(one.name, one.name_size, b"specversion", 11):
        if is_word(one.value, one.size, b"1.0", 3):
            return 0
    elif is_word(one.name, one.name_size, b"fab-native", 10):
        if read_native(to, one.value, one.size):
            return 0
    elif is_word(one.name, one.name_size, b"fab-loss", 8):
        if not to.seen >> FABLOSS & 1 and is_legal(FABLOSS, one.value, one.size):
            return tell(to, FABLOSS, one.value, one.size)
    elif is_word(one.name, one.name_size, b"fab-extensions", 14):
        return 0
    elif said.is_event and is_extension(said, one):
        return put_attribute(&to.block, <const char*>one.name, one.name_size, one.value, one.size)
    to.entry_count += 1
    return put_entry(&to.entries, one.name, one.name_size, one.value, one.size)


cdef bint may_be(int which, const unsigned char* text, Py_ssize_t size):
    """Whether the attribute may have the value; if not, the user property stays a native entry."""
    if which == FABKIND and (<const char*>text)[:size] not in KINDS:
        return False
    return is_legal(which, text, size)


cdef bint is_extension(Said* said, Property* one):
    """Whether it is an attribute of another vocabulary, and the first of its name."""
    cdef int at
    if said.extensions == EXTENSIONS_MAX or not is_name(one.name, one.name_size) or not is_legal(-1, one.value, one.size):
        return False
    if is_word(one.name, one.name_size, b"fabnative", 9):  # an envelope's own word for its native entries
        return False
    if said.listed != NULL and not is_listed(said.listed, said.listed_size, one.name, one.name_size):
        return False
    for at in range(said.extensions):
        if is_word(one.name, one.name_size, <const char*>said.extension[at], said.extension_size[at]):
            return False
    said.extension[said.extensions] = one.name
    said.extension_size[said.extensions] = one.name_size
    said.extensions += 1
    return True


cdef bint is_listed(const unsigned char* names, Py_ssize_t size, const unsigned char* name, Py_ssize_t name_size) noexcept nogil:
    """Whether the name is one of those that commas separate."""
    cdef Py_ssize_t at = 0, start = 0
    for at in range(size + 1):
        if at == size or names[at] == c",":
            if at - start == name_size and memcmp(names + start, name, name_size) == 0:
                return True
            start = at + 1
    return False


cdef bint read_native(Lifted* to, const unsigned char* text, Py_ssize_t size) except -1:
    """What `lower` folded into `fab-native`; False when somebody else wrote it."""
    cdef const unsigned char* colon = <const unsigned char*>memchr(text, c":", size) if size else NULL
    cdef Writer value
    if colon == NULL:
        return False
    if colon == text + 1 and text[0] == c"-":
        to.entry_count += 1
        put_entry(&to.entries, colon + 1, size - 2, NULL, 0)
        return True
    writer_init(&value)
    try:
        if not put_unbase64(&value, text, colon - text):
            return False
        to.entry_count += 1
        put_entry(&to.entries, colon + 1, text + size - colon - 1, value.data if value.size else colon, value.size)
        return True
    finally:
        writer_free(&value)


cdef int check_utf8(bytes payload) except -1:
    cdef Py_ssize_t fault = utf8_fault(<const unsigned char*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    if fault >= 0:
        raise CodecError(
            "the payload is not the UTF-8 that its Payload Format Indicator promises",
            protocol="mqtt", offset=fault, clause="3.3.2.3.2", reason=PAYLOAD_FORMAT_INVALID,
        )
    return 0
