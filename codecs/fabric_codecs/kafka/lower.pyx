"""Lower: a stored Envelope -> the record that a Kafka consumer reads.

In: an envelope, its offset and when it was stored. Out: `Translation[Record]`. Above: the edge's deliver. Below: `records`.
CloudEvents 1.0, Kafka protocol binding 3.2 (binary mode), and what stands outside of it:

    value            data, as it is; null when `fabnull` is "value"
    key              native entry `kafka.key` (a key that is not UTF-8), else `partitionkey`, else null
    timestamp        when it was stored
    content-type     datacontenttype
    ce_<name>        every other attribute in its own words, `ce_specversion` first; the key's `partitionkey` too (binding, 3.1)
    traceparent      the hop's, from the carrier; the one in `ce_traceparent` is where the chain began
    <native name>    the native entries, in order, with duplicates and nulls
    ce_fabloss       losses so far and those of this step
"""

from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.records import Record
from fabric_codecs.translate.losses import Loss, LossCode, Translation

cdef str NATIVE_KEY = "kafka.key"
cdef dict HEADER_NAMES = {}  # attribute -> header name; attributes are few, so are these
cdef tuple SPECVERSION = ("ce_specversion", b"1.0")
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in ce_expirytime; Kafka keeps records by the topic's age alone"
)


cdef str header_name(str attribute):
    cdef str name = HEADER_NAMES.get(attribute)
    if name is None:
        name = "ce_" + attribute
        if len(HEADER_NAMES) < 256:  # names from the wire could be any
            HEADER_NAMES[attribute] = name
    return name


cdef str loss_codes(str so_far, tuple losses):
    codes = dict.fromkeys(so_far.split(",")) if so_far else {}
    codes.update(dict.fromkeys([loss.code.value for loss in losses]))
    return ",".join(codes)


def lower(Envelope envelope not None, long long offset, long long time_ms):
    """The record at `offset`, and what it could not keep. Raises CodecError when the envelope's native entries cannot be read."""
    cdef dict attributes = envelope.attributes()
    cdef list headers = [SPECVERSION]
    cdef tuple losses = ()
    cdef bytes key = None, value = envelope.data
    cdef str name, text
    if "expirytime" in attributes:
        losses = (EXPIRY_UNENFORCED,)
        attributes["fabloss"] = loss_codes(attributes.get("fabloss"), losses)
    for name, text in attributes.items():
        if name == "datacontenttype":
            headers.insert(0, ("content-type", text.encode()))
            continue
        if name == "partitionkey":
            key = text.encode()
        elif name == "fabnull" and text == "value":
            value = None
        headers.append((header_name(name), text.encode()))
    hop = envelope.header("traceparent")
    if hop is not None:
        headers.append(("traceparent", (<str>hop).encode()))
    for entry in envelope.native:
        if entry[0] == NATIVE_KEY:
            key = entry[1]
        else:
            headers.append(entry)
    return Translation(Record(offset, time_ms, key, value, headers), losses)
