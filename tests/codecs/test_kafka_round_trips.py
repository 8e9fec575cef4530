"""Kafka record -> envelope -> record: nothing is lost, and a batch of one is what its record is."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fabric_codecs.envelope import ATTRIBUTES, Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.compression import Codec
from fabric_codecs.kafka.lift import WITHHELD, lift
from fabric_codecs.kafka.lower import lower
from fabric_codecs.kafka.records import Record
from fabric_codecs.translate.lift import lift as lift_message

NOBODY = frozenset[str]()
TIME_MS = 1_795_233_600_123
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
VALUES = (
    st.none() | st.binary(max_size=30) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "ignore"))
)
NAMES = st.sampled_from(
    [
        *(f"ce_{name}" for name in sorted(ATTRIBUTES)),
        *("ce_specversion", "ce_fabnative", "ce_x", "ce_data", "content-type", "traceparent", "tracestate"),
        *("kafka.key", "fab-said-id", "fab-hop", "x", ""),
    ]
) | st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
RECORDS = st.builds(
    Record,
    st.integers(0, 2**62),
    st.integers(-1, 2**48),
    VALUES,
    VALUES,
    st.lists(st.tuples(NAMES, VALUES | st.sampled_from([b"value", b"1.0", b"event", TRACE])), max_size=10),
)
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)
ENVELOPES = st.builds(
    lambda data, id, attributes, native, is_null: Envelope(
        b"" if is_null else data,
        **{
            "source": "/a",
            "type": "b",
            **attributes,
            "id": id,
            "fabkind": "event",
            "fabnull": "value" if is_null else None,
        },
    ).with_native(native),
    st.binary(max_size=50),
    TEXT.filter(bool),
    st.dictionaries(
        st.sampled_from(["myextension", *sorted(ATTRIBUTES - {"fabnull", "time", "expirytime", "fabloss"})]),
        TEXT.filter(bool),
    ),
    st.lists(st.tuples(st.sampled_from(["kafka.key", "x", "fab-y", ""]), VALUES), max_size=4),
    st.booleans(),
)


def spelled(header):
    """A header as it may come back: by its own name, or by the one it was kept under."""
    name, value = header
    if name in ("traceparent", "tracestate"):
        return {header, ("ce_" + name, value)}
    return {header, ("fab-said-" + name.removeprefix("ce_"), value)}


@pytest.mark.parametrize("withheld", [WITHHELD, NOBODY])
@settings(max_examples=400, deadline=None)
@given(record=RECORDS)
@example(record=Record(0, -1, b"k", None, [("ce_fabnull", b"value"), ("ce_fabnull", b"value")]))
@example(record=Record(0, -1, None, b"", [("ce_fabnull", b"value"), ("ce_partitionkey", b"")]))
def test_a_record_comes_back_with_all_it_had(record, withheld):
    envelope = lift(record, topic="t", partition=0, offset=1, source="/kafka/s", withheld=withheld).message
    assert Envelope.from_nats(b"", envelope.nats_header(), envelope.data) == envelope
    back = lower(envelope, record.offset, record.timestamp_ms).message
    assert (back.offset, back.timestamp_ms, back.key, back.value) == (
        record.offset, record.timestamp_ms, record.key, record.value
    )  # fmt: skip
    left = list(back.headers)
    for header in record.headers:
        if header[0] == "ce_fabloss" and header not in left:
            assert header[1] is not None  # told again, with what this step adds
            continue
        found = next(kept for kept in left if kept in spelled(header))
        left.remove(found)


def outcome(lifting):
    try:
        return lifting().message
    except CodecError as error:
        return error.what, error.clause, error.reason


@pytest.mark.parametrize("codec", Codec)
@settings(max_examples=100, deadline=None)
@given(
    record=RECORDS,
    partition=st.none() | st.integers(0, 2**31 - 1),
    fresh_id=st.none() | st.sampled_from(["e-1", ""]),
    trusted=st.booleans(),
)
def test_a_batch_of_one_is_what_its_record_is(codec, record, partition, fresh_id, trusted):
    batch = BatchBuilder(record.offset, codec=codec)
    batch.add(record)
    known = {"topic": "a.b", "fresh_id": fresh_id}
    message = batch.build()
    whole = outcome(
        lambda: lift_message(
            message, "kafka", origin="/k", now_us=0, partition=partition, trusted=trusted, **known
        )
    )
    place = {
        "partition": -1 if partition is None else partition,
        "offset": None if partition is None else record.offset,
    }
    withheld = NOBODY if trusted else WITHHELD
    alone = outcome(lambda: lift(record, source="/k", withheld=withheld, **place, **known))
    assert whole == alone


@settings(max_examples=400, deadline=None)
@given(ENVELOPES)
def test_an_envelope_comes_back_with_all_it_had(envelope):
    lowered = lower(envelope, 1, TIME_MS).message
    back = lift(lowered, topic="t", partition=0, offset=1, source="/kafka/s", withheld=NOBODY).message
    assert back.data == envelope.data
    assert envelope.attributes().items() <= back.attributes().items()
    headers, theirs = (
        native[1:] if native and native[0][0] == "kafka.key" else native
        for native in (back.native, envelope.native)
    )
    assert headers == theirs
    assert lower(back, 1, TIME_MS).message.key == lowered.key
