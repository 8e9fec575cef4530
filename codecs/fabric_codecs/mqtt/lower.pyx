"""Lower: the canonical message -> the PUBLISH that a device receives, and what it could not keep.

In: the message and its channel. Out: a packet's bytes (`packet_of`), or `Translation[Publish]` of an Envelope. Above: the
edge's deliver, `translate`. Below: `core.canonical`, `entries`, `publish`. Attributes become MQTT 5 properties as `lift` shows;
the rest are user properties of their own name, `specversion` first (CloudEvents, MQTT binding 3.1), then the native entries in
order. Where an entry's name could be an attribute's, `fab-extensions` lists those that are.

MQTT 3.1.1 has a topic and a payload: everything else is NO_METADATA.
"""

from base64 import b64decode
from datetime import datetime

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fabric_codecs.core.base64 cimport put_unbase64
from fabric_codecs.core.canonical cimport Canonical, Place, close_canonical, has, hold, open_canonical, says, scratch
from fabric_codecs.core.enveloped cimport read_envelope
from fabric_codecs.core.headers cimport memmem
from fabric_codecs.core.marks cimport (
    ATTRIBUTES_COUNT, DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABLIVE, FABLOSS, FABREPLY, ID, SUBJECT, Lead, leads,
)
from fabric_codecs.core.rfc3339 cimport read_timestamp
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, put_u32, reserve, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.losses cimport Translation, translation_of
from fabric_codecs.mqtt.entries cimport begin, is_retained, put_natives, put_size, put_span, put_string, put_user
from fabric_codecs.mqtt.fields cimport VARINT_MAX, Span, number, put_varint, unsayable
from fabric_codecs.mqtt.names cimport NAME_BYTES_MAX, swap_levels
from fabric_codecs.mqtt.properties cimport (
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, RESPONSE_TOPIC, SUBSCRIPTION_ID, USER,
)
from fabric_codecs.mqtt.publish cimport Parts, no_section, publish_of, write_parts

from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode, loss_codes
from fabric_codecs.names import channel_name, channel_to_topic

cdef enum:
    SECTION_BYTES = 1000  # most sections fit
cdef int64_t EXPIRY_S_MAX = 0xFFFFFFFF
cdef const Lead* LEADS = leads()

cdef object NO_METADATA = Loss(LossCode.NO_METADATA, "attributes", "MQTT 3.1.1 carries a topic and a payload")
cdef object QOS_DOWNGRADED = Loss(
    LossCode.QOS_DOWNGRADED, "delivery", "stored durably, delivered at most once: the subscription is QoS 0"
)
cdef object NO_REPLY_TOPIC = Loss(LossCode.NO_METADATA, "fabreply", "no MQTT topic; kept as a user property")
cdef object NO_CORRELATION = Loss(LossCode.NO_METADATA, "fabcorr", "no Correlation Data; kept as a user property")
cdef tuple BARE = (NO_METADATA,)
cdef tuple BARE_AT_MOST_ONCE = (NO_METADATA, QOS_DOWNGRADED)


def remaining_s(Envelope envelope not None, int64_t now_us):
    cdef Py_ssize_t size
    cdef const unsigned char* text
    cdef int64_t left
    expiry = envelope.get("expirytime")
    if expiry is None:
        return None
    text = <const unsigned char*>PyUnicode_AsUTF8AndSize(expiry, &size)
    return left if seconds_left(text, size, now_us, &left) else None


cdef bint seconds_left(const unsigned char* text, Py_ssize_t size, int64_t now_us, int64_t* left) except -1:
    """Whole seconds, rounded up; False for a text that is no moment."""
    cdef int64_t moment_us
    if not read_timestamp(text, size, &moment_us):
        try:
            moment = datetime.fromisoformat(PyUnicode_DecodeUTF8(<const char*>text, size, "replace"))
        except ValueError:
            return False
        if moment.tzinfo is None:
            return False
        moment_us = round(moment.timestamp() * 1_000_000)
    left[0] = (moment_us - now_us) // 1000000
    if left[0] * 1000000 < moment_us - now_us:  # C rounds towards zero
        left[0] += 1
    if left[0] > EXPIRY_S_MAX:
        left[0] = EXPIRY_S_MAX
    return True


def lower(
    Envelope envelope not None, str channel not None, *, int version, int qos, int64_t now_us, int packet_id=0,
    tuple subscription_ids=(), bint as_published=False
):
    cdef Canonical c
    cdef Parts parts
    cdef Place name
    cdef Writer section
    cdef tuple losses
    open_canonical(&c)
    writer_init(&section)
    try:
        if version == 5 or as_published:
            read_envelope(&c, envelope, NULL)
        read_channel(channel, &name)
        find_topic(&c, &name, &parts.topic)
        losses = fill_section(
            &parts, &section, &c, &name, version, now_us, subscription_ids, qos == 0 and is_stored(envelope)
        )
        parts.flags = qos << 1 | (1 if as_published and is_retained(&c) else 0)
        parts.packet_id = packet_id
        return translation_of(publish_of(&parts, envelope.data), losses)
    finally:
        writer_free(&section)
        close_canonical(&c)


cdef Translation packet_of(Canonical* c, str channel, int version, int64_t now_us):
    """`lower` to the packet's bytes, at QoS 0 and retained as the original was. `channel` may be in its own spelling; None or
    empty: the message's subject."""
    cdef Parts parts
    cdef Place name
    cdef Writer section
    cdef tuple losses
    writer_init(&section)
    try:
        if channel:
            read_channel(channel, &name)
        else:
            name.text = c.known[SUBJECT].text if has(c, SUBJECT) else <const unsigned char*><const char*>b""
            name.size = c.known[SUBJECT].size if has(c, SUBJECT) else 0
        try:
            find_topic(c, &name, &parts.topic)
        except CodecError:
            respell(c, &name)
            find_topic(c, &name, &parts.topic)
        losses = fill_section(&parts, &section, c, &name, version, now_us, (), False)
        parts.flags = 1 if is_retained(c) else 0
        parts.packet_id = 0
        parts.payload.data = c.data.text
        parts.payload.size = c.data.size
        return translation_of(write_parts(&parts, version), losses)
    finally:
        writer_free(&section)


cdef tuple fill_section(
    Parts* parts, Writer* section, Canonical* c, const Place* channel, int version, int64_t now_us, tuple subscription_ids,
    bint downgraded,
):
    """The properties, in `section`; what is lost."""
    cdef list losses
    no_section(parts)
    if version != 5:
        return BARE_AT_MOST_ONCE if downgraded else BARE
    losses = [QOS_DOWNGRADED] if downgraded else []
    put_section(section, &parts.seen, c, channel, now_us, subscription_ids, losses)
    parts.section.data = section.data
    parts.section.size = section.size
    return tuple(losses) if losses else ()


cdef bint is_stored(Envelope envelope):
    """Whether a log holds it: the server has said which."""
    if envelope._attributes is not None or envelope._own:
        return False
    return memmem(
        PyBytes_AS_STRING(envelope._block), PyBytes_GET_SIZE(envelope._block), b"\r\nNats-Stream: ", 15
    ) != NULL


# ---- names -------------------------------------------------------------------------------------------------------


cdef int read_channel(str channel, Place* name) except -1:
    try:
        name.text = <const unsigned char*>PyUnicode_AsUTF8AndSize(channel, &name.size)
    except UnicodeEncodeError:
        raise unsayable("the channel holds a lone surrogate, which UTF-8 cannot carry", "1.5.4-1") from None
    return 0


cdef str text_of(const Place* name):
    return PyUnicode_DecodeUTF8(<const char*>name.text, name.size, NULL)


cdef int find_topic(Canonical* c, const Place* channel, Span* topic) except -1:
    """Raises CodecError when no topic has that name."""
    cdef unsigned char* simple
    cdef bytes found
    if channel.size <= NAME_BYTES_MAX:
        simple = scratch(c, channel.size)
        if swap_levels(channel.text, channel.size, c".", c"/", simple):
            topic.data = simple
            topic.size = channel.size
            return 0
    found = channel_to_topic(text_of(channel)).encode()
    topic.data = hold(c, found)
    topic.size = PyBytes_GET_SIZE(found)
    return 0


cdef int respell(Canonical* c, Place* channel) except -1:
    """The channel's canonical spelling, for one in a person's."""
    cdef bytes found = channel_name(text_of(channel)).encode()
    channel.text = hold(c, found)
    channel.size = PyBytes_GET_SIZE(found)
    return 0


# ---- properties --------------------------------------------------------------------------------------------------


cdef int put_section(
    Writer* w, uint64_t* seen, Canonical* c, const Place* channel, int64_t now_us, tuple subscription_ids, list losses
) except -1:
    cdef unsigned long long left
    cdef Place name
    cdef int at
    seen[0] = <uint64_t>1 << USER
    reserve(w, SECTION_BYTES)
    for one in subscription_ids:
        begin(w, seen, SUBSCRIPTION_ID)
        if number(one, VARINT_MAX, "subscription_ids") == 0:
            raise unsayable("subscription_ids is 0", "3.8.2.1.2")
        put_varint(w, one)
    left = c.seen & ~(1ULL << FABLIVE | 1ULL << FABLOSS)  # fablive numbers one hop inside the fabric
    left &= ~put_own(w, seen, c, now_us, losses)
    if says(c, SUBJECT, <const char*>channel.text, channel.size):
        left &= ~(1ULL << SUBJECT)
    put(w, b"\x26\0\x0bspecversion\0\x031.0", 19)
    for at in range(ATTRIBUTES_COUNT):
        if left >> at & 1:
            name.text = <const unsigned char*>LEADS[at].name
            name.size = LEADS[at].name_size
            put_user(w, b"", 0, &name, &c.known[at])
    for at in range(c.others):
        put_user(w, b"", 0, &c.other[at].name, &c.other[at].value)
    if put_natives(w, seen, c, losses):
        put_extensions(w, c)
    return put_losses(w, c, losses)


cdef unsigned long long put_own(Writer* w, uint64_t* seen, Canonical* c, int64_t now_us, list losses) except? 0:
    """The attributes that MQTT has a property for; a bit for each that needs no user property any more."""
    cdef unsigned long long done = 0
    cdef int64_t left
    cdef const Place* value = &c.known[DATACONTENTTYPE]
    if has(c, DATACONTENTTYPE):
        begin(w, seen, CONTENT_TYPE)
        put_string(w, value.text, value.size, "content_type")
        done |= 1ULL << DATACONTENTTYPE
    value = &c.known[EXPIRYTIME]
    if has(c, EXPIRYTIME) and seconds_left(value.text, value.size, now_us, &left):
        begin(w, seen, MESSAGE_EXPIRY)
        put_u32(w, <uint32_t>left if left > 0 else 1)
        done |= 1ULL << EXPIRYTIME
    if has(c, FABREPLY):
        if put_reply(w, seen, c):
            done |= 1ULL << FABREPLY
        else:
            losses.append(NO_REPLY_TOPIC)
    if has(c, FABCORR):
        if put_correlation(w, seen, &c.known[FABCORR]):
            done |= 1ULL << FABCORR
        else:
            losses.append(NO_CORRELATION)
    elif has(c, FABREPLY) and has(c, ID):
        # A message that wants a reply and has no correlation is known by its id.
        begin(w, seen, CORRELATION_DATA)
        put_span(w, c.known[ID].text, c.known[ID].size, "correlation_data")
    return done


cdef bint put_reply(Writer* w, uint64_t* seen, Canonical* c) except -1:
    """The Response Topic; False when no topic has the channel's name."""
    cdef Span topic
    try:
        find_topic(c, &c.known[FABREPLY], &topic)
    except CodecError:
        return False
    begin(w, seen, RESPONSE_TOPIC)
    put_span(w, topic.data, topic.size, "response_topic")
    return True


cdef bint put_correlation(Writer* w, uint64_t* seen, const Place* correlation) except -1:
    """The Correlation Data; False when the attribute is no base64."""
    cdef Writer data
    cdef bytes decoded
    writer_init(&data)
    try:
        if not put_unbase64(&data, correlation.text, correlation.size):
            try:
                decoded = b64decode((<const char*>correlation.text)[:correlation.size], validate=True)
            except ValueError:
                return False
            put(&data, PyBytes_AS_STRING(decoded), PyBytes_GET_SIZE(decoded))
        begin(w, seen, CORRELATION_DATA)
        put_span(w, data.data, data.size, "correlation_data")
        return True
    finally:
        writer_free(&data)


cdef int put_extensions(Writer* w, const Canonical* c) except -1:
    cdef Py_ssize_t start
    cdef int at
    put(w, b"\x26\0\x0efab-extensions", 17)
    start = w.size
    put_u16(w, 0)
    for at in range(c.others):
        if at:
            put_u8(w, c",")
        put(w, c.other[at].name.text, c.other[at].name.size)
    return put_size(w, start, "fab-extensions")


cdef int put_losses(Writer* w, const Canonical* c, list losses) except -1:
    """`fab-loss`: the codes so far and those of this step."""
    cdef bytes codes
    if not has(c, FABLOSS) and not losses:
        return 0
    codes = loss_codes(losses, text_of(&c.known[FABLOSS]) if has(c, FABLOSS) else "").encode()
    put(w, b"\x26\0\x08fab-loss", 11)
    return put_string(w, <const unsigned char*>PyBytes_AS_STRING(codes), PyBytes_GET_SIZE(codes), "fab-loss")
