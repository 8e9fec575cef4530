"""Lower: an Envelope -> the PUBLISH that a device receives, and what it could not keep.

In: an envelope and the channel it came from. Out: `Translation[Publish]`, its properties written straight from the
envelope's header block. Above: the edge's deliver. Below: `core.told`, `publish`. Attributes become MQTT 5 properties as
`lift` shows; the rest are user properties of their own name, `specversion` first (CloudEvents, MQTT binding 3.1), then the
native entries in order. Where an entry's name could be an attribute's, `fab-extensions` lists those that are.

MQTT 3.1.1 has a topic and a payload: everything else is NO_METADATA.
"""

from base64 import b64decode
from datetime import datetime

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from fabric_codecs.core.base64 cimport put_unbase64
from fabric_codecs.core.block cimport put_unescaped
from fabric_codecs.core.headers cimport memmem
from fabric_codecs.core.marks cimport (
    ATTRIBUTES_COUNT, DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABLIVE, FABLOSS, FABREPLY, ID, SUBJECT, Lead, Value, leads,
)
from fabric_codecs.core.rfc3339 cimport read_timestamp
from fabric_codecs.core.told cimport Told, read_told
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, put_u32, reserve, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.mqtt.entries cimport begin, put_natives, put_span
from fabric_codecs.mqtt.fields cimport VARINT_MAX, number, put_varint, unsayable
from fabric_codecs.mqtt.names cimport NAME_BYTES_MAX, swap_levels
from fabric_codecs.mqtt.properties cimport (
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, NOTHING, RESPONSE_TOPIC, SUBSCRIPTION_ID, USER, Properties,
    properties_of,
)
from fabric_codecs.mqtt.publish cimport Publish, publish_of

from fabric_codecs.errors import CodecError
from fabric_codecs.names import channel_to_topic
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes

cdef enum:
    PUBLISH_PLACE = 1 << 3
    FIELD_MAX = 0xFFFF  # 1.5.4, 1.5.6
    SECTION_BYTES = 1024  # most sections fit
cdef int64_t EXPIRY_S_MAX = 0xFFFFFFFF

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
    return lower_publish(envelope, channel, version, qos, now_us, packet_id, subscription_ids, as_published)


cdef object lower_publish(
    Envelope envelope, str channel, int version, int qos, int64_t now_us, int packet_id, tuple subscription_ids, bint as_published
):
    """`lower`, for `translate`."""
    cdef str topic = topic_of(channel)
    cdef bint downgraded = qos == 0 and is_stored(envelope)
    cdef bint retain = False
    cdef Properties properties = NOTHING
    cdef list losses
    if version == 5:
        losses = [QOS_DOWNGRADED] if downgraded else []
        properties = said_of(envelope, channel, now_us, subscription_ids, losses, &retain)
        told = tuple(losses)
    else:
        told = BARE_AT_MOST_ONCE if downgraded else BARE
        if as_published:
            retain = is_retained(envelope)
    return Translation(
        publish_of(topic, envelope.data, qos << 1 | (1 if as_published and retain else 0), packet_id, properties), told
    )


cdef bint is_retained(Envelope envelope) except -1:
    """Whether the original was: one of the native entries says so."""
    cdef Told told
    cdef Writer unused
    cdef uint64_t seen = 0
    cdef bint retain = False
    cdef list kept = []
    if envelope._attributes is None and memmem(
        PyBytes_AS_STRING(envelope._block), PyBytes_GET_SIZE(envelope._block), b"\r\nFab-Native: ", 14
    ) == NULL:
        return False
    read_told(envelope, &told, kept)
    writer_init(&unused)
    try:
        put_natives(&unused, &seen, envelope, &told, [], &retain)
    finally:
        writer_free(&unused)
    return retain


cdef bint is_stored(Envelope envelope):
    """Whether a log holds it: the server has said which."""
    if envelope._attributes is not None or envelope._own:
        return False
    return memmem(
        PyBytes_AS_STRING(envelope._block), PyBytes_GET_SIZE(envelope._block), b"\r\nNats-Stream: ", 15
    ) != NULL


cdef str topic_of(str channel):
    cdef unsigned char simple[NAME_BYTES_MAX]
    cdef Py_ssize_t size
    cdef const unsigned char* text = <const unsigned char*>PyUnicode_AsUTF8AndSize(channel, &size)
    if swap_levels(text, size, c".", c"/", simple):
        return PyUnicode_DecodeUTF8(<const char*>simple, size, NULL)
    return channel_to_topic(channel)


# ---- properties --------------------------------------------------------------------------------------------------


cdef int put_told(Writer* w, const Value* value, str what) except -1:
    """An attribute's value as a string: its escapes undone, in UTF-8 without U+0000."""
    cdef Py_ssize_t start = w.size, size
    cdef bytes repaired
    put_u16(w, 0)
    if value.coded:
        put_unescaped(w, value.text, value.size)
    else:
        put(w, value.text, value.size)
    if utf8_fault(w.data + start + 2, w.size - start - 2) >= 0:
        repaired = (<const char*>w.data)[start + 2:w.size].decode("utf-8", "replace").encode()
        w.size = start + 2
        put(w, PyBytes_AS_STRING(repaired), PyBytes_GET_SIZE(repaired))
    size = w.size - start - 2
    if size > FIELD_MAX:
        raise unsayable(f"{what} has {size} bytes, allowed are {FIELD_MAX}", "1.5")
    if size and memchr(w.data + start + 2, 0, size) != NULL:
        raise unsayable(f"{what} holds U+0000", "1.5.4-2")
    w.data[start] = size >> 8
    w.data[start + 1] = size & 0xFF
    return 0


cdef int put_user(Writer* w, const unsigned char* name, Py_ssize_t name_size, const Value* value) except -1:
    put_u8(w, USER)
    put_span(w, name, name_size, "a user property's name")
    return put_told(w, value, "a user property's value")


cdef Properties said_of(
    Envelope envelope, str channel, int64_t now_us, tuple subscription_ids, list losses, bint* retain
):
    cdef Writer w
    cdef Told told
    cdef list kept = []
    cdef uint64_t seen = <uint64_t>1 << USER
    cdef unsigned long long done = 1ULL << FABLIVE | 1ULL << FABLOSS  # fablive numbers one hop inside the fabric
    cdef const Lead* lead = leads()
    cdef int at
    read_told(envelope, &told, kept)
    writer_init(&w)
    try:
        reserve(&w, SECTION_BYTES)
        for one in subscription_ids:
            begin(&w, &seen, SUBSCRIPTION_ID)
            if number(one, VARINT_MAX, "subscription_ids") == 0:
                raise unsayable("subscription_ids is 0", "3.8.2.1.2")
            put_varint(&w, one)
        done |= put_own(&w, &seen, &told, now_us, losses)
        if told.known[SUBJECT].text != NULL and is_channel(&told.known[SUBJECT], channel):
            done |= 1ULL << SUBJECT
        put(&w, b"\x26\0\x0bspecversion\0\x031.0", 19)
        for at in range(ATTRIBUTES_COUNT):
            if told.known[at].text != NULL and not done >> at & 1:
                put_user(&w, <const unsigned char*>lead[at].name, lead[at].name_size, &told.known[at])
        for at in range(told.others):
            put_user(&w, told.other_name[at].text, told.other_name[at].size, &told.other[at])
        if put_natives(&w, &seen, envelope, &told, losses, retain):
            put_extensions(&w, &told)
        put_losses(&w, &told, losses)
        return properties_of(writer_bytes(&w), seen, PUBLISH_PLACE)
    finally:
        writer_free(&w)


cdef bint is_channel(const Value* subject, str channel):
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(channel, &size)
    cdef Writer w
    if not subject.coded:
        return size == subject.size and memcmp(text, subject.text, size) == 0
    writer_init(&w)
    try:
        put_unescaped(&w, subject.text, subject.size)
        return size == w.size and memcmp(text, w.data, size) == 0
    finally:
        writer_free(&w)


cdef unsigned long long put_own(Writer* w, uint64_t* seen, Told* told, int64_t now_us, list losses) except 0:
    """The attributes that MQTT has a property for; a bit for each that needs no user property any more."""
    cdef unsigned long long done = 1ULL << FABLIVE
    cdef int64_t left
    cdef const Value* value = &told.known[DATACONTENTTYPE]
    if value.text != NULL:
        begin(w, seen, CONTENT_TYPE)
        put_told(w, value, "content_type")
        done |= 1ULL << DATACONTENTTYPE
    value = &told.known[EXPIRYTIME]
    if value.text != NULL and seconds_left(value.text, value.size, now_us, &left):
        begin(w, seen, MESSAGE_EXPIRY)
        put_u32(w, <uint32_t>left if left > 0 else 1)
        done |= 1ULL << EXPIRYTIME
    if told.known[FABREPLY].text != NULL:
        if put_reply(w, seen, &told.known[FABREPLY]):
            done |= 1ULL << FABREPLY
        else:
            losses.append(NO_REPLY_TOPIC)
    if told.known[FABCORR].text != NULL:
        if put_correlation(w, seen, &told.known[FABCORR]):
            done |= 1ULL << FABCORR
        else:
            losses.append(NO_CORRELATION)
    elif told.known[FABREPLY].text != NULL and told.known[ID].text != NULL:
        # An envelope that wants a reply and has no correlation is known by its id.
        begin(w, seen, CORRELATION_DATA)
        put_told(w, &told.known[ID], "correlation_data")
    return done


cdef bint put_reply(Writer* w, uint64_t* seen, const Value* reply) except -1:
    """The Response Topic; False when no topic has the channel's name."""
    cdef unsigned char simple[NAME_BYTES_MAX]
    cdef bytes topic
    cdef Writer channel
    if not reply.coded and swap_levels(reply.text, reply.size, c".", c"/", simple):
        begin(w, seen, RESPONSE_TOPIC)
        put_span(w, simple, reply.size, "response_topic")
        return True
    writer_init(&channel)
    try:
        put_unescaped(&channel, reply.text, reply.size)
        topic = channel_to_topic((<const char*>channel.data)[:channel.size].decode("utf-8", "replace")).encode()
    except CodecError:
        return False
    finally:
        writer_free(&channel)
    begin(w, seen, RESPONSE_TOPIC)
    put_span(w, <const unsigned char*>PyBytes_AS_STRING(topic), PyBytes_GET_SIZE(topic), "response_topic")
    return True


cdef bint put_correlation(Writer* w, uint64_t* seen, const Value* correlation) except -1:
    """The Correlation Data; False when the attribute is no base64, or holds more than MQTT carries."""
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
        if data.size > FIELD_MAX:
            return False
        begin(w, seen, CORRELATION_DATA)
        put_span(w, data.data, data.size, "correlation_data")
        return True
    finally:
        writer_free(&data)


cdef int put_extensions(Writer* w, Told* told) except -1:
    cdef Py_ssize_t start
    cdef int at
    put(w, b"\x26\0\x0efab-extensions", 17)
    start = w.size
    put_u16(w, 0)
    for at in range(told.others):
        if at:
            put_u8(w, c",")
        put(w, told.other_name[at].text, told.other_name[at].size)
    w.data[start] = (w.size - start - 2) >> 8
    w.data[start + 1] = (w.size - start - 2) & 0xFF
    return 0


cdef int put_losses(Writer* w, Told* told, list losses) except -1:
    """`fab-loss`: the codes so far and those of this step."""
    cdef bytes codes
    cdef const Value* earlier = &told.known[FABLOSS]
    if earlier.text == NULL and not losses:
        return 0
    so_far = (<const char*>earlier.text)[:earlier.size].decode("ascii", "replace") if earlier.text != NULL else ""
    if "\0" in so_far:
        raise unsayable("fab-loss holds U+0000", "1.5.4-2")
    codes = loss_codes(losses, so_far).encode()
    put(w, b"\x26\0\x08fab-loss", 11)
    return put_span(w, <const unsigned char*>PyBytes_AS_STRING(codes), PyBytes_GET_SIZE(codes), "fab-loss")
