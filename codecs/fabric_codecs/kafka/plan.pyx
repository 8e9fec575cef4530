"""Plans: a declared message in one version <-> its bytes.

In: a Struct's class and a version; then bytes, or a Struct. Out: a Struct, or bytes. Above: `frames`. Below: `schema` (what
is declared), `core`.

    string   i16 length, UTF-8; -1 = null         in flexible versions lengths are uvarint, length + 1; 0 = null, and each
    bytes    i32 length, bytes; -1 = null         struct ends with tagged fields: uvarint count, then each in ascending
    array    i32 count, elements; -1 = null       order: uvarint tag, uvarint size, bytes
    boolean  i8      uuid  16 bytes

Source: Apache Kafka protocol guide, "Protocol Primitive Types"; KIP-482 for the flexible versions. A plan is made once for
each class and version, and kept.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject_GenericSetAttr
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fabric_codecs.core.reader cimport Reader, fail, left, read_i8, read_i16, read_i32, read_i64, reader_init, take
from fabric_codecs.core.varint cimport put_uvarint, read_uvarint
from fabric_codecs.core.writer cimport (
    Writer, poke_u32, put, put_u16, put_u32, put_u64, put_u8, writer_bytes, writer_free, writer_init
)

from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.schema import Kind, fields_of

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    BOOLEAN, INT8, INT16, INT32, INT64, UUID, STRING, BYTES, STRUCT  # as in schema.Kind
    UUID_SIZE = 16
    STRING_MAX = 0x7FFF
    ARRAYS_MAX = 32  # in one message
    INVALID_REQUEST = 42

assert [int(kind) for kind in Kind] == [BOOLEAN, INT8, INT16, INT32, INT64, UUID, STRING, BYTES, STRUCT]

cdef tuple TYPES = ("BOOLEAN", "INT8", "INT16", "INT32", "INT64", "UUID", "STRING", "BYTES", "STRUCT")
cdef str TAGS = "TAGGED_FIELDS"
cdef object new = object.__new__
cdef dict PLANS = {}


cdef object wrong(str what, Py_ssize_t at, str type_):
    clause = "KIP-482, Tagged Fields" if type_ is TAGS else f"Protocol Primitive Types, {type_}"
    return CodecError(what, protocol="kafka", offset=at, clause=clause, reason=INVALID_REQUEST)


cdef class _Field:
    cdef str name
    cdef object default
    cdef int kind, tag, array  # tag -1: none; array: its number in the message, or -1
    cdef bint is_nullable
    cdef Plan inner

    cdef str type(self, bint is_flexible):
        if self.array >= 0:
            return "COMPACT_ARRAY" if is_flexible else "ARRAY"
        if is_flexible and (self.kind == STRING or self.kind == BYTES):
            return "COMPACT_" + TYPES[self.kind]
        return <str>TYPES[self.kind]


cdef class Plan:
    cdef object cls
    cdef int version
    cdef bint is_flexible
    cdef list fields
    cdef dict tagged  # tag -> field
    cdef list unsaid  # (name, default) of what this version cannot say and may not leave out
    cdef int arrays

    def __repr__(self):
        return f"<Plan of {self.cls.__name__} version {self.version}>"


def plan_of(object cls, int version, bint is_flexible):
    key = (cls, version, is_flexible)
    plan = PLANS.get(key)
    if plan is None:
        plan = PLANS[key] = made(cls, version, is_flexible, 0)
    return plan


cdef Plan made(object cls, int version, bint is_flexible, int arrays):
    cdef Plan plan = Plan.__new__(Plan)
    cdef _Field field
    plan.cls, plan.version, plan.is_flexible, plan.arrays = cls, version, is_flexible, arrays
    plan.fields, plan.tagged, plan.unsaid = [], {}, []
    for declared in fields_of(cls):
        versions = declared.versions
        if not versions.first <= version <= versions.last:
            if not versions.is_ignorable:
                plan.unsaid.append((declared.name, declared.default))
            continue
        field = _Field.__new__(_Field)
        field.name, field.kind, field.default = declared.name, declared.kind, declared.default
        field.tag = -1 if versions.tag is None else versions.tag
        field.is_nullable = declared.is_nullable and version >= versions.null_since
        field.array = -1
        if declared.is_array:
            field.array = plan.arrays
            plan.arrays += 1
        if declared.struct is not None:
            field.inner = made(declared.struct, version, is_flexible, plan.arrays)
            plan.arrays = field.inner.arrays
        if field.tag < 0:
            plan.fields.append(field)
        else:
            plan.tagged[field.tag] = field
    assert plan.arrays <= ARRAYS_MAX
    return plan


# Reading. A short reader is noticed at the end of each field, which then says its name.


cdef struct Counting:
    int counts[ARRAYS_MAX]  # elements of each array so far, all its places in the message together
    int elements_max


cdef object short(Reader* r, Plan plan, _Field field):
    what = r.why.decode() if r.why != NULL else "the bytes end inside of it"
    return wrong(f"{field.name}: {what}", r.fault_at, "UNSIGNED_VARINT" if r.why != NULL else field.type(plan.is_flexible))


cdef Py_ssize_t read_length(Reader* r, bint is_flexible, bint is_string) noexcept:
    """The length of a string, of bytes or of an array; -1 for null."""
    if is_flexible:
        return <Py_ssize_t>read_uvarint(r, 32) - 1
    return read_i16(r) if is_string else read_i32(r)


cdef object read_sized(Reader* r, Plan plan, _Field field):
    cdef Py_ssize_t start = r.at, size = read_length(r, plan.is_flexible, field.kind == STRING)
    cdef const unsigned char* p
    if r.short_:
        return None
    if size == -1:
        if not field.is_nullable:
            raise wrong(f"{field.name}: null, which version {plan.version} does not allow", start, field.type(plan.is_flexible))
        return None
    if size < -1:
        raise wrong(f"{field.name}: a length of {size}", start, field.type(plan.is_flexible))
    p = take(r, size)
    if p == NULL:
        return None
    if field.kind == BYTES:
        return PyBytes_FromStringAndSize(<const char*>p, size)
    try:
        return PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
    except UnicodeDecodeError:
        raise wrong(f"{field.name}: not UTF-8", r.at - size, field.type(plan.is_flexible)) from None


cdef object read_one(Reader* r, Plan plan, _Field field, Counting* counting):
    cdef const unsigned char* p
    if field.kind == STRUCT:
        return read_struct(r, field.inner, counting)
    if field.kind == INT32:
        return read_i32(r)
    if field.kind == STRING or field.kind == BYTES:
        return read_sized(r, plan, field)
    if field.kind == INT64:
        return read_i64(r)
    if field.kind == INT16:
        return read_i16(r)
    if field.kind == INT8:
        return read_i8(r)
    if field.kind == BOOLEAN:
        return read_i8(r) != 0
    p = take(r, UUID_SIZE)
    return None if p == NULL else PyBytes_FromStringAndSize(<const char*>p, UUID_SIZE)


cdef object read_array(Reader* r, Plan plan, _Field field, Counting* counting):
    cdef Py_ssize_t start = r.at, count = read_length(r, plan.is_flexible, False), at
    cdef list elements = []
    if r.short_:
        return None
    if count == -1 and field.is_nullable:
        return None
    if count < 0 or count > left(r):
        raise wrong(f"{field.name}: {count} elements with {left(r)} bytes left", start, field.type(plan.is_flexible))
    if count > counting.elements_max - counting.counts[field.array]:
        what = f"{counting.counts[field.array] + count} elements in one message, allowed are {counting.elements_max}"
        raise wrong(f"{field.name}: {what}", start, field.type(plan.is_flexible))
    counting.counts[field.array] += <int>count
    for at in range(count):
        elements.append(read_one(r, plan, field, counting))
        if r.short_:
            break
    return tuple(elements)


cdef object read_field(Reader* r, Plan plan, _Field field, Counting* counting):
    value = read_one(r, plan, field, counting) if field.array < 0 else read_array(r, plan, field, counting)
    if r.short_:
        raise short(r, plan, field)
    return value


cdef object read_struct(Reader* r, Plan plan, Counting* counting):
    cdef dict values = {}
    cdef _Field field
    for field in plan.fields:
        values[field.name] = read_field(r, plan, field, counting)
    if plan.is_flexible:
        read_tags(r, plan, values, counting)
    # Past __init__: what is missing in `values` has its default in the class.
    struct = new(plan.cls)
    PyObject_GenericSetAttr(struct, "__dict__", values)
    return struct


cdef int read_tags(Reader* r, Plan plan, dict values, Counting* counting) except -1:
    cdef Py_ssize_t start = r.at, end = r.end
    cdef int64_t count = <int64_t>read_uvarint(r, 32), tag, before = -1, size
    cdef list unknown = []
    cdef _Field field
    while not r.short_ and count > 0:
        start = r.at
        tag = <int64_t>read_uvarint(r, 32)
        size = <int64_t>read_uvarint(r, 32)
        if r.short_:
            break
        if tag <= before:
            raise wrong(f"tag {tag} after tag {before}; they ascend", start, TAGS)
        if size > left(r):
            raise wrong(f"tag {tag}: {size} bytes with {left(r)} left", start, TAGS)
        before = tag
        count -= 1
        field = plan.tagged.get(tag)
        start = r.at
        if field is not None:
            r.end = r.at + size
            value = read_field(r, plan, field, counting)
            if r.at != r.end:
                raise wrong(f"{field.name}: {left(r)} bytes behind it in its tag", r.at, TAGS)
            r.end = end
            if value != field.default:
                values[field.name] = value
                continue
        # Not ours; or a default spelled out, which nobody need do and which is kept as it came.
        unknown.append((tag, PyBytes_FromStringAndSize(<const char*>r.base + start, size)))
        r.at = start + size
    if r.short_:
        raise wrong("tagged fields are cut short" if r.why == NULL else r.why.decode(), r.fault_at, TAGS)
    if unknown:
        values["unknown_tags"] = tuple(unknown)
    return 0


def read(Plan plan not None, bytes frame not None, Py_ssize_t at, int elements_max):
    cdef Reader r
    cdef Counting counting
    memset(&counting, 0, sizeof(counting))
    counting.elements_max = elements_max
    if not 0 <= at <= PyBytes_GET_SIZE(frame):
        raise ValueError(f"at is {at}, the frame has {len(frame)} bytes")
    reader_init(&r, <const unsigned char*>PyBytes_AS_STRING(frame), at, PyBytes_GET_SIZE(frame))
    struct = read_struct(&r, plan, &counting)
    return struct, r.at


# Writing


cdef object unfit(Plan plan, _Field field, object value):
    type_ = field.type(plan.is_flexible)
    return wrong(f"{field.name}: {value!r:.100} is no {type_} in version {plan.version}", 0, type_)


cdef int put_length(Writer* w, Py_ssize_t size, bint is_flexible, bint is_string) except -1:
    if is_flexible:
        return put_uvarint(w, <uint64_t>(size + 1))
    if is_string:
        return put_u16(w, <uint16_t>size)
    return put_u32(w, <uint32_t>size)


cdef int put_sized(Writer* w, Plan plan, _Field field, object value) except -1:
    cdef const char* data = NULL
    cdef Py_ssize_t size = -1
    if value is None:
        if not field.is_nullable:
            raise unfit(plan, field, value)
        return put_length(w, -1, plan.is_flexible, field.kind == STRING)
    if field.kind == BYTES and type(value) is bytes:
        data = PyBytes_AS_STRING(value)
        size = PyBytes_GET_SIZE(value)
    elif field.kind == STRING and type(value) is str:
        try:
            data = PyUnicode_AsUTF8AndSize(value, &size)
        except UnicodeEncodeError:  # a lone surrogate
            raise unfit(plan, field, value) from None
    if size < 0 or (field.kind == STRING and size > STRING_MAX):
        raise unfit(plan, field, value)
    put_length(w, size, plan.is_flexible, field.kind == STRING)
    return put(w, data, size)


cdef int put_number(Writer* w, int kind, int64_t value) except -2:
    """1 when it does not fit."""
    if kind == INT32:
        return put_u32(w, <uint32_t>value) if value == <int32_t>value else 1
    if kind == INT64:
        return put_u64(w, <uint64_t>value)
    if kind == INT16:
        return put_u16(w, <uint16_t>value) if value == <int16_t>value else 1
    return put_u8(w, <unsigned char>value) if value == <int8_t>value else 1


cdef int put_one(Writer* w, Plan plan, _Field field, object value) except -1:
    if field.kind == STRUCT:
        return put_struct(w, field.inner, value)
    if field.kind == STRING or field.kind == BYTES:
        return put_sized(w, plan, field, value)
    if field.kind == UUID:
        if type(value) is not bytes or PyBytes_GET_SIZE(value) != UUID_SIZE:
            raise unfit(plan, field, value)
        return put(w, PyBytes_AS_STRING(value), UUID_SIZE)
    try:
        if put_number(w, field.kind, value) == 0:
            return 0
    except (OverflowError, TypeError):
        pass
    raise unfit(plan, field, value)


cdef int put_field(Writer* w, Plan plan, _Field field, object value) except -1:
    if field.array < 0:
        return put_one(w, plan, field, value)
    if value is None:
        if not field.is_nullable:
            raise unfit(plan, field, value)
        return put_length(w, -1, plan.is_flexible, False)
    put_length(w, len(value), plan.is_flexible, False)
    for element in value:
        put_one(w, plan, field, element)
    return 0


cdef int put_struct(Writer* w, Plan plan, object struct) except -1:
    cdef _Field field
    if type(struct) is not plan.cls:
        raise TypeError(f"{struct!r:.100} is no {plan.cls.__name__}")
    for name, default in plan.unsaid:
        value = getattr(struct, name)
        if value != default:
            raise CodecError(
                f"{name}: {value!r:.100} cannot be said in version {plan.version}",
                protocol="kafka", clause=f"schema of {plan.cls.__name__}", reason=INVALID_REQUEST,
            )
    for field in plan.fields:
        put_field(w, plan, field, getattr(struct, field.name))
    if plan.is_flexible:
        put_tags(w, plan, struct)
    return 0


cdef int put_tags(Writer* w, Plan plan, object struct) except -1:
    cdef _Field field
    cdef Writer one
    cdef list tags = list(struct.unknown_tags)
    for field in plan.tagged.values():
        value = getattr(struct, field.name)
        if value != field.default:
            tags = [kept for kept in tags if kept[0] != field.tag]
            writer_init(&one)
            try:
                put_field(&one, plan, field, value)
                tags.append((field.tag, PyBytes_FromStringAndSize(<char*>one.data, one.size)))
            finally:
                writer_free(&one)
    tags.sort()
    put_uvarint(w, len(tags))
    for tag, data in tags:
        put_uvarint(w, tag)
        put_uvarint(w, len(data))
        put(w, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return 0


def write_frame(Plan plan not None, object struct, bytes head not None):
    cdef Writer w
    writer_init(&w)
    try:
        put_u32(&w, 0)
        put(&w, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
        put_struct(&w, plan, struct)
        poke_u32(w.data, <uint32_t>(w.size - 4))
        return writer_bytes(&w)
    finally:
        writer_free(&w)
