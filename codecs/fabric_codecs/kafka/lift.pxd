from fabric_codecs.kafka.records cimport Record

cdef object lift_record(
    Record record, str topic, int partition, object offset, str source, str fresh_id, frozenset withheld
)
