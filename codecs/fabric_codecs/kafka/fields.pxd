# Record batches where they stand; see fields.pyx.

from libc.stdint cimport int16_t, int32_t, int64_t

from fabric_codecs.core.canonical cimport Place
from fabric_codecs.core.reader cimport Reader

cdef enum:
    LENGTH_AT = 8
    CRC_AT = 17
    SUMMED_AT = 21  # the checksum covers the batch from here on
    BASE_TIMESTAMP_AT = 27
    MAX_TIMESTAMP_AT = 35
    COUNT_AT = 57
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

    HEADERS_MAX = 256  # KAFKA_HEADERS_MAX: the room of an array has to be told


cdef struct Head:  # what stands in front of the records
    int64_t base_offset
    int32_t leader_epoch
    int16_t attributes
    int32_t last_offset_delta
    int64_t base_timestamp_ms
    int64_t max_timestamp_ms
    int64_t producer_id
    int16_t producer_epoch
    int32_t base_sequence
    int32_t count


cdef struct Header:
    Place name
    Place value  # a text of NULL is null


cdef struct Fields:  # of one record
    int64_t offset  # in its log; -1: not known
    int64_t timestamp_ms
    Place key  # a text of NULL is null
    Place value  # likewise
    int headers
    Header header[HEADERS_MAX]


cdef int read_head(Reader* r, Head* to) except -1
cdef bytes open_records(Reader* r, const Head* head, Py_ssize_t inflated_max)
cdef int read_fields(Reader* r, const Head* head, Fields* to) except -1
cdef int check_end(Reader* r, int32_t count) except -1
cdef bytes find_record(bytes message, Fields* to)
cdef object misnamed(const Place* name, const unsigned char* base)
cdef object within(object error, Py_ssize_t start)
cdef object wrong(str what, Py_ssize_t at, int reason, str clause=*)
