"""The framing of Kafka's protocol, and the primitive types its messages are made of.

In: bytes from a socket. Out: whole frames (`FrameReader`), and their fields one by one (`FieldReader`); `FieldWriter`
is the way back. Unaware of what the fields mean: that is `requests` and `responses`. Below: `core`.

    frame      i32 length, then that many bytes
    string     i16 length, UTF-8; -1 = null          compact string   uvarint length + 1; 0 = null
    bytes      i32 length, bytes; -1 = null          tagged fields    uvarint count, per field: uvarint tag, uvarint size, bytes
    array      i32 count, elements; -1 = null        boolean          i8

Source: Apache Kafka protocol guide, "Protocol Primitive Types". Compact types and tags belong to the "flexible" versions.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t

from fabric_codecs.core.reader cimport Reader, left, read_i8, read_i16, read_i32, read_i64, reader_init, take
from fabric_codecs.core.varint cimport poke_uvarint, read_uvarint
from fabric_codecs.core.writer cimport (
    Writer, poke_u32, put, put_u16, put_u32, put_u64, put_u8, reserve, writer_bytes, writer_free, writer_init
)

from fabric_codecs.bounds import KAFKA_FRAME_BYTES_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    INVALID_REQUEST = 42  # Kafka's error code for a request that makes no sense


cdef object wrong(str what, Py_ssize_t at):
    return CodecError(what, protocol="kafka", offset=at, clause="protocol guide", reason=INVALID_REQUEST)


cdef class FrameReader:
    """Cuts a byte stream into frames. `max_bytes` may be changed between frames: a listener trusts a peer
    more once it knows who that is. A longer frame is refused as soon as its length is seen, whatever of it has come."""

    cdef public Py_ssize_t max_bytes
    cdef bytearray held

    def __init__(self, Py_ssize_t max_bytes=KAFKA_FRAME_BYTES_MAX):
        self.max_bytes = max_bytes
        self.held = bytearray()

    @property
    def held_bytes(self):
        """Bytes of a frame that is not whole yet."""
        return len(self.held)

    def feed(self, bytes data not None):
        """The frames that `data` completes, without their lengths. Raises CodecError for a length that cannot be."""
        self.held += data
        cdef list frames = []
        cdef Py_ssize_t at = 0, size = len(self.held), length
        while size - at >= 4:
            length = self._length(at)
            if size - at - 4 < length:
                break
            frames.append(bytes(self.held[at + 4:at + 4 + length]))
            at += 4 + length
        del self.held[:at]
        return frames

    cdef Py_ssize_t _length(self, Py_ssize_t at) except -1:
        cdef const unsigned char[::1] view = self.held
        cdef Reader r
        reader_init(&r, &view[0], at, at + 4)
        cdef int32_t length = read_i32(&r)
        if length < 0 or length > self.max_bytes:
            raise wrong(f"frame of {length} bytes, allowed are {self.max_bytes}", at)
        return length


cdef class FieldReader:
    """Reads one frame's fields in order. Raises CodecError at a field that the frame is too short for."""

    cdef Reader r
    cdef bytes frame

    def __init__(self, bytes frame not None):
        self.frame = frame
        reader_init(&self.r, <const unsigned char*>PyBytes_AS_STRING(frame), 0, PyBytes_GET_SIZE(frame))

    @property
    def at(self):
        return self.r.at

    cdef int _check(self) except -1:
        if self.r.short_:
            raise wrong("the frame ends inside a field", self.r.at)
        return 0

    def int8(self):
        cdef int value = read_i8(&self.r)
        self._check()
        return value

    def int16(self):
        cdef int16_t value = read_i16(&self.r)
        self._check()
        return value

    def int32(self):
        cdef int32_t value = read_i32(&self.r)
        self._check()
        return value

    def int64(self):
        cdef int64_t value = read_i64(&self.r)
        self._check()
        return value

    def boolean(self):
        return self.int8() != 0

    cdef bytes _take(self, Py_ssize_t size):
        cdef const unsigned char* p = take(&self.r, size)
        self._check()
        return PyBytes_FromStringAndSize(<const char*>p, size)

    cdef str _text(self, Py_ssize_t size):
        cdef const unsigned char* p = take(&self.r, size)
        self._check()
        try:
            return PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
        except UnicodeDecodeError:
            raise wrong("a string is not UTF-8", self.r.at - size) from None

    def string(self):
        return self._text(self.int16())

    def nullable_string(self):
        cdef Py_ssize_t size = self.int16()
        return None if size == -1 else self._text(size)

    def compact_string(self):
        return self._text(<Py_ssize_t>self._uvarint() - 1)

    def bytes_(self):
        return self._take(self.int32())

    def nullable_bytes(self):
        cdef Py_ssize_t size = self.int32()
        return None if size == -1 else self._take(size)

    def array(self):
        """The number of elements that follow; never more than the frame has bytes left."""
        cdef Py_ssize_t count = self.int32()
        if count < 0 or count > left(&self.r):
            raise wrong(f"array of {count} elements with {left(&self.r)} bytes left", self.r.at - 4)
        return count

    def nullable_array(self):
        """As `array`; None for a null array."""
        cdef Py_ssize_t start = self.r.at
        if self.int32() == -1:
            return None
        self.r.at = start
        return self.array()

    def tags(self):
        """Skip the tagged fields: none of them matters to the messages that are served."""
        cdef uint64_t count = self._uvarint()
        if count > <uint64_t>left(&self.r):
            raise wrong(f"{count} tagged fields with {left(&self.r)} bytes left", self.r.at)
        while count > 0:
            self._uvarint()
            take(&self.r, <Py_ssize_t>self._uvarint())
            self._check()
            count -= 1

    cdef uint64_t _uvarint(self) except? 0:
        cdef uint64_t value = read_uvarint(&self.r, 32)
        self._check()
        return value

    def end(self):
        """Say that this was all. Raises CodecError when bytes are left: then we have misread something before."""
        if left(&self.r):
            raise wrong(f"{left(&self.r)} bytes after the last field", self.r.at)


cdef class FieldWriter:
    """Writes one frame, field by field; `frame()` returns it with its length in front."""

    cdef Writer w

    def __cinit__(self):
        writer_init(&self.w)
        put_u32(&self.w, 0)

    def __dealloc__(self):
        writer_free(&self.w)

    def int8(self, int value):
        put_u8(&self.w, <unsigned char>value)

    def int16(self, int16_t value):
        put_u16(&self.w, <uint16_t>value)

    def int32(self, int32_t value):
        put_u32(&self.w, <uint32_t>value)

    def int64(self, int64_t value):
        put_u64(&self.w, <uint64_t>value)

    def boolean(self, bint value):
        put_u8(&self.w, value)

    def string(self, str text not None):
        """Raises CodecError over 32,767 bytes of UTF-8, which the length cannot hold."""
        cdef bytes encoded = text.encode()
        cdef Py_ssize_t size = PyBytes_GET_SIZE(encoded)
        if size > 0x7FFF:
            raise wrong(f"a string of {size} bytes, allowed are 32767", self.w.size)
        put_u16(&self.w, <uint16_t>size)
        put(&self.w, PyBytes_AS_STRING(encoded), size)

    def nullable_string(self, str text):
        if text is None:
            put_u16(&self.w, 0xFFFF)
        else:
            self.string(text)

    def bytes_(self, bytes value not None):
        put_u32(&self.w, <uint32_t>PyBytes_GET_SIZE(value))
        put(&self.w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))

    def array(self, int32_t count):
        put_u32(&self.w, <uint32_t>count)

    def compact_array(self, int32_t count):
        reserve(&self.w, 10)
        self.w.size = poke_uvarint(self.w.data + self.w.size, <uint64_t>count + 1) - self.w.data

    def no_tags(self):
        put_u8(&self.w, 0)

    def frame(self):
        poke_u32(self.w.data, <uint32_t>(self.w.size - 4))
        return writer_bytes(&self.w)
