from libc.stdint cimport int64_t

cdef enum:
    LENGTH_AT = 8
    CRC_AT = 17
    SUMMED_AT = 21  # the checksum covers the batch from here on
    RECORDS_AT = 61
    MAGIC = 2
    CODEC_BITS = 0x07
    LOG_APPEND_TIME = 0x08
    TRANSACTIONAL = 0x10
    CONTROL = 0x20
    # Kafka's error codes for what can be wrong with a batch
    CORRUPT_MESSAGE = 2
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    UNSUPPORTED_COMPRESSION_TYPE = 76
    INVALID_RECORD = 87


cdef class Record:
    cdef readonly int64_t offset
    cdef readonly int64_t timestamp_ms
    cdef readonly bytes key
    cdef readonly bytes value
    cdef readonly list headers

    cdef tuple _fields(self)


cdef object wrong(str what, Py_ssize_t at, int reason, str clause=*)
