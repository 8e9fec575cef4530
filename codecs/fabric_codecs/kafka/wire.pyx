"""The framing of Kafka's protocol: i32 length, then that many bytes.

In: bytes from a socket, in any pieces. Out: whole frames, one by one. Unaware of what they mean: that is `frames`.
Source: Apache Kafka protocol guide, "Network" and "Common Request and Response Structure".
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t

from fabric_codecs.core.reader cimport Reader, read_i32, reader_init

from fabric_codecs.bounds import KAFKA_FRAME_BYTES_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    INVALID_REQUEST = 42  # Kafka's error code for a request that makes no sense


cdef class FrameReader:
    cdef public Py_ssize_t max_bytes
    cdef bytearray held
    cdef Py_ssize_t at  # where in `held` the next frame starts
    cdef Py_ssize_t passed  # bytes of the stream before `held`

    def __init__(self, Py_ssize_t max_bytes=KAFKA_FRAME_BYTES_MAX):
        self.max_bytes = max_bytes
        self.held = bytearray()

    @property
    def held_bytes(self):
        return PyByteArray_GET_SIZE(self.held) - self.at

    def feed(self, data not None):
        if self.at:
            del self.held[:self.at]
            self.passed += self.at
            self.at = 0
        self.held += data

    def take(self):
        cdef const unsigned char* base = <const unsigned char*>PyByteArray_AS_STRING(self.held)
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(self.held)
        cdef Reader r
        cdef int32_t length
        if size - self.at < 4:
            return None
        reader_init(&r, base, self.at, size)
        length = read_i32(&r)
        if length < 0 or length > self.max_bytes:
            raise CodecError(
                f"frame of {length} bytes, allowed are {self.max_bytes}",
                protocol="kafka", offset=self.passed + self.at, clause="Protocol guide, Common Request and Response Structure",
                reason=INVALID_REQUEST,
            )
        if size - r.at < length:
            return None
        self.at = r.at + length
        return PyBytes_FromStringAndSize(<const char*>base + r.at, length)
