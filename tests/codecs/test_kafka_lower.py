"""Envelope -> Kafka record: CloudEvents' Kafka binding, and what stands outside of it."""

from base64 import b64encode

import msgspec
import pytest

from fabric_codecs.bounds import KAFKA_HEADERS_MAX
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.lower import lower as lower_record
from fabric_codecs.kafka.lower import lower_batch
from fabric_codecs.kafka.records import Record, decode_batch, only_record
from fabric_codecs.translate.message import translate

MEASURED = Envelope(
    b'{"celsius": 21.5}',
    id="7",
    source="/mqtt/dev-1",
    type="io.agentfabric.event",
    subject="greenhouse/north",
    datacontenttype="application/json",
    fabkind="event",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)


def lower(envelope, offset, time_ms):
    """The record; each time, the batch written in one pass is the one that the builder makes of it."""
    lowered = lower_record(envelope, offset, time_ms)
    if len(lowered.message.headers) > KAFKA_HEADERS_MAX:
        return lowered
    batch = BatchBuilder(0)
    batch.add(lower_record(envelope, 0, time_ms).message)
    written = lower_batch(envelope, time_ms)
    assert (written.message, written.losses) == (batch.build(), lowered.losses)
    return lowered


def stored(envelope, **carrier_lines):
    """The envelope as it comes out of a log: a header block, with lines that the carrier added."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in carrier_lines.items())
    return Envelope.from_nats(
        b"fab.k.t.0", envelope.nats_header()[:-2] + lines.encode() + b"\r\n", envelope.data
    )


@pytest.mark.parametrize("envelope", [MEASURED, stored(MEASURED, Nats_Stream="K_t_0", Nats_Sequence=4)])
def test_attributes_become_headers_as_the_cloudevents_binding_says(envelope):
    translation = lower(envelope, 3, 1_700_000_000_000)
    assert translation.message == Record(
        3,
        1_700_000_000_000,
        None,
        b'{"celsius": 21.5}',
        [
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", b"7"),
            ("ce_type", b"io.agentfabric.event"),
            ("ce_source", b"/mqtt/dev-1"),
            ("ce_subject", b"greenhouse/north"),
            ("ce_fabkind", b"event"),
            ("ce_traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ],
    )
    assert translation.losses == ()


def test_attribute_values_leave_their_nats_escapes_behind():
    record = lower(stored(MEASURED.replace(subject='Gewächshaus "Nord" 100%')), 0, 0).message
    assert dict(record.headers)["ce_subject"] == 'Gewächshaus "Nord" 100%'.encode()


def test_partition_key_is_the_key_and_stays_an_attribute():
    record = lower(MEASURED.replace(partitionkey="dev-1"), 0, 0).message
    assert record.key == b"dev-1"
    assert ("ce_partitionkey", b"dev-1") in record.headers


def test_of_two_partition_keys_the_first_is_the_key():
    block = b"NATS/1.0\r\nce-id: 1\r\nce-partitionkey: first\r\nce-partitionkey: second\r\n\r\n"
    assert lower(Envelope.from_nats(b"fab.k.t.0", block, b""), 0, 0).message.key == b"first"


def test_null_data_is_a_null_value_and_empty_data_an_empty_one():
    assert lower(MEASURED.replace(b"", fabnull="value"), 0, 0).message.value is None
    assert lower(MEASURED.replace(b""), 0, 0).message.value == b""


def test_native_headers_come_back_in_order_with_duplicates_nulls_and_binary():
    native = [("a", b"1"), ("b", None), ("a", b"\xff\x00"), ("a", b"1"), ("", b"")]
    record = lower(stored(MEASURED.with_native(native)), 0, 0).message
    assert record.headers[-5:] == native
    assert all(name != "ce_fabnative" for name, _ in record.headers)


def test_a_native_key_is_the_key_even_when_it_is_null_or_not_text():
    keyed = MEASURED.replace(partitionkey="text")
    assert lower(keyed.with_native([("kafka.key", b"\xff\xfe")]), 0, 0).message.key == b"\xff\xfe"
    assert lower(keyed.with_native([("kafka.key", None)]), 0, 0).message.key is None


def test_a_header_called_like_the_native_key_is_the_key_only_in_the_first_place():
    native = [("a", b"1"), ("kafka.key", b"\xff")]
    record = lower(MEASURED.replace(partitionkey="text").with_native(native), 0, 0).message
    assert record.key == b"text"
    assert record.headers[-2:] == native


def test_a_member_of_another_protocol_called_like_the_native_key_is_a_header():
    meta = b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","kafka.key":7}'
    call = (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{},"_meta":%b}}'
        % meta
    )
    record = only_record(translate(call, "mcp", "kafka", origin="/m", now_us=0, fresh_id="e").message)
    assert record.key is None
    assert record.headers[-1] == ("_meta/kafka.key", b"7")


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_native_entries_of_any_number_come_back_also_as_others_pack_them(count):
    native = [("n" * (40 if count < 20 else 1), b"v")] * count
    packed = f"Fab-Native: {b64encode(msgspec.msgpack.encode(native)).decode()}\r\n".encode()
    block = b"NATS/1.0\r\nce-id: 1\r\n" + packed + b"\r\n"
    assert lower(Envelope.from_nats(b"fab.k.t.0", block, b""), 0, 0).message.headers[2:] == native


def test_data_that_is_there_is_not_lost_to_a_word_that_it_is_null():
    record = lower(MEASURED.replace(b"21.5", fabnull="value"), 0, 0).message
    assert record.value == b"21.5"


def test_the_carriers_trace_is_the_hop_and_the_attribute_its_beginning():
    record = lower(stored(MEASURED, traceparent="00-hop"), 0, 0).message
    headers = dict(record.headers)
    assert headers["traceparent"] == b"00-hop"
    assert headers["ce_traceparent"].startswith(b"00-4bf9")


@pytest.mark.parametrize(
    ("so_far", "told"),
    [
        (None, b"EXPIRY_UNENFORCED"),
        ("NO_METADATA", b"NO_METADATA,EXPIRY_UNENFORCED"),
        ("EXPIRY_UNENFORCED,NO_METADATA", b"EXPIRY_UNENFORCED,NO_METADATA"),
    ],
)
def test_an_expiry_that_kafka_will_not_keep_is_a_loss_and_told_after_earlier_ones(so_far, told):
    expiring = MEASURED.replace(expirytime="2030-01-01T00:00:00Z", fabloss=so_far)
    translation = lower(expiring, 0, 0)
    assert translation.codes == "EXPIRY_UNENFORCED"
    headers = dict(translation.message.headers)
    assert headers["ce_fabloss"] == told
    assert headers["ce_expirytime"] == b"2030-01-01T00:00:00Z"


def test_earlier_losses_are_told_when_nothing_is_lost_here():
    translation = lower(stored(MEASURED.replace(fabloss="NO_METADATA")), 0, 0)
    assert translation.losses == ()
    assert dict(translation.message.headers)["ce_fabloss"] == b"NO_METADATA"


def test_what_the_journal_noted_about_a_crossing_comes_along():
    record = lower(
        stored(MEASURED, Fab_Hop="mqtt.in", Fab_Peer="dev 100%41", Fab_Position="CH_3:17"), 0, 0
    ).message
    assert record.headers[-3:] == [
        ("fab-hop", b"mqtt.in"),
        ("fab-peer", b"dev 100%41"),
        ("fab-position", b"CH_3:17"),
    ]


def test_a_hop_stands_behind_an_older_one_for_clients_take_the_last():
    older = MEASURED.with_native([("traceparent", b"00-older"), ("x", b"1")])
    record = lower(stored(older, traceparent="00-hop"), 0, 0).message
    assert record.headers[-3:] == [("traceparent", b"00-older"), ("x", b"1"), ("traceparent", b"00-hop")]


def test_attributes_of_other_vocabularies_stand_behind_the_fabrics_own_losses_among_them():
    told = MEASURED.replace(anextension="1", fabloss="A,B", expirytime="2030-01-01T00:00:00Z")
    names = [name for name, _ in lower(told, 0, 0).message.headers]
    assert names.index("ce_fabkind") < names.index("ce_fabloss") < names.index("ce_traceparent")
    assert names[-1] == "ce_anextension"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\nce-x:\r\nce-y\r\nfoo: bar\r\n\r\n",
        b"NATS/1.0\r\nce-",
    ],
)
def test_a_message_that_is_no_envelope_keeps_its_data_alone(block):
    record = lower(Envelope.from_nats(b"fab.k.t.0", block, b"raw"), 5, 6).message
    assert record == Record(5, 6, None, b"raw", [])


@pytest.mark.parametrize("packed", ["%", "bm90IG1zZ3BhY2s=", "kJA=x"])
def test_native_entries_that_cannot_be_read_are_a_codec_error(packed):
    with pytest.raises(CodecError, match="Fab-Native"):
        lower(stored(MEASURED, Fab_Native=packed), 0, 0)


def test_a_batch_has_no_more_headers_than_the_builder_allows():
    native = MEASURED.with_native([(f"x-{at}", b"") for at in range(KAFKA_HEADERS_MAX)])
    with pytest.raises(CodecError, match="headers in a record"):
        lower_batch(native, 0)


@pytest.mark.parametrize("time_ms", [0, -1, 1_790_000_000_123, 2**63 - 1])
def test_a_batch_has_the_time_of_its_record(time_ms):
    batch = decode_batch(lower_batch(MEASURED, time_ms).message)
    assert [record.timestamp_ms for record in batch.records] == [batch.max_timestamp_ms] == [time_ms]
