"""Kafka record -> envelope."""

import re

import pytest

from fabric_codecs.bounds import HEADER_BYTES_MAX, ID_CHARS_MAX, KAFKA_HEADERS_MAX
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.lift import WITHHELD, lift
from fabric_codecs.kafka.lower import lower
from fabric_codecs.kafka.records import Record

NOBODY = frozenset[str]()
EXTENSIONS = 64  # of other vocabularies, in one message
TIME_MS = 1_795_233_600_123
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def record(*headers, key=None, value=b"21.5", timestamp_ms=TIME_MS):
    return Record(7, timestamp_ms, key, value, list(headers))


def lifted(record, **given):
    place = {"topic": "greenhouse.north", "partition": 3, "offset": 7, "source": "/kafka/sensors"} | given
    translation = lift(record, **place)
    assert translation.losses == ()
    return translation.message


# What each part becomes


def test_a_bare_record_is_an_event_of_its_topic_named_by_its_place():
    envelope = lifted(record())
    assert envelope == Envelope(
        b"21.5",
        id="greenhouse.north:3:7",
        source="/kafka/sensors",
        type="io.agentfabric.event",
        subject="greenhouse.north",
        time="2026-11-21T04:00:00.123000Z",
        fabkind="event",
        fabproto="kafka",
        fabver="2",
        fabmethod="Produce",
    )
    assert envelope.native == []


def test_cloudevents_headers_are_attributes_and_the_others_come_along_in_order():
    envelope = lifted(
        record(
            ("x", b"1"),
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", b"7"),
            ("ce_type", b"com.example.read"),
            ("x", None),
            ("ce_correlationid", "Gewächshaus 100%".encode()),
            ("ce_myextension", b"mine"),
            ("", b"\x00\xff"),
            ("x", b"1"),
        )
    )
    assert (envelope.id, envelope.type, envelope.correlationid) == (
        "7",
        "com.example.read",
        "Gewächshaus 100%",
    )
    assert envelope.get("datacontenttype") == "application/json"
    assert envelope.get("myextension") == "mine"
    assert envelope.native == [("x", b"1"), ("x", None), ("", b"\x00\xff"), ("x", b"1")]


@pytest.mark.parametrize("count", [1, 15, 16, 200])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 31, 32, 100])
def test_native_entries_of_any_number_and_size_can_be_read(count, size):
    headers = [("h" * size, b"v" * size)] * count
    assert lifted(record(*headers)).native == headers


def test_long_native_entries_can_be_read():
    headers = [("n" * 300, b"v" * 300), ("short", bytes(40_000))]
    assert lifted(record(*headers)).native == headers


def test_a_null_value_is_empty_data_that_says_so():
    null, empty = lifted(record(value=None)), lifted(record(value=b""))
    assert (null.data, null.get("fabnull")) == (b"", "value")
    assert (empty.data, empty.get("fabnull")) == (b"", None)


@pytest.mark.parametrize(
    ("key", "said", "attribute", "native"),
    [
        (None, None, None, []),
        (b"dev-1", None, "dev-1", []),
        ("Süd".encode(), None, "Süd", []),
        (b"dev-1", b"dev-1", "dev-1", []),
        (b"dev-1", b"other", "other", [("kafka.key", b"dev-1")]),
        (None, b"other", "other", [("kafka.key", None)]),
        (b"", None, None, [("kafka.key", b"")]),
        (b"\xff", None, None, [("kafka.key", b"\xff")]),
        (b"a\nb", None, None, [("kafka.key", b"a\nb")]),
        ("\x85".encode(), None, None, [("kafka.key", "\x85".encode())]),
    ],
)
def test_the_key_is_the_partitionkey_or_a_native_entry(key, said, attribute, native):
    envelope = lifted(record(*([("ce_partitionkey", said)] if said else []), key=key))
    assert envelope.get("partitionkey") == attribute
    assert envelope.native == native
    assert lower(envelope, 7, TIME_MS).message.key == key


@pytest.mark.parametrize("key", [None, b"k", b"\xff"])
@pytest.mark.parametrize("before", [[], [("a", b"")]])
def test_a_header_called_like_the_native_key_stays_a_header(key, before):
    headers = [*before, ("kafka.key", b"mine"), ("kafka.key", None)]
    back = lower(lifted(record(*headers, key=key)), 7, TIME_MS).message
    assert back.key == key
    assert back.headers[-len(headers) :] == headers


@pytest.mark.parametrize("name", sorted(WITHHELD))
def test_what_the_edge_knows_a_producer_may_not_say(name):
    claimed = record((f"ce_{name}", b"theirs"))
    assert lifted(claimed).get(name) != "theirs"
    header = "fab-said-" + name if name not in ("fablive", "fabepoch") else "ce_" + name
    assert lifted(claimed).native == [(header, b"theirs")]
    trusted = lifted(claimed, withheld=NOBODY)
    assert trusted.get(name) == "theirs"
    assert trusted.native == []


def test_how_a_message_came_to_the_fabric_is_told_whole_by_one_side():
    trusted = lifted(record(("ce_fabproto", b"mcp")), withheld=NOBODY)
    assert [trusted.get(name) for name in ("fabproto", "fabver", "fabmethod")] == ["mcp", None, None]


@pytest.mark.parametrize(
    ("header", "what_stands_there"),
    [
        (("ce_id", b""), "greenhouse.north:3:7"),
        (("ce_id", b"x" * (ID_CHARS_MAX + 1)), "greenhouse.north:3:7"),
        (("ce_id", None), "greenhouse.north:3:7"),
        (("ce_type", b""), "io.agentfabric.event"),
        (("ce_fabkind", b"gossip"), "event"),
        (("ce_time", b"yesterday"), "2026-11-21T04:00:00.123000Z"),
    ],
)
def test_a_header_that_the_attribute_cannot_have_keeps_its_value_under_another_name(
    header, what_stands_there
):
    name = header[0][3:]
    envelope = lifted(record(header))
    assert envelope.get(name) == what_stands_there
    assert envelope.native == [("fab-said-" + name, header[1])]


@pytest.mark.parametrize(
    "header",
    [
        ("ce_correlationid", b"a\x00b"),
        ("ce_correlationid", b"a\x7fb"),
        ("ce_correlationid", "a\x9fb".encode()),
        ("ce_correlationid", b"\xff"),
        ("ce_correlationid", b"\xed\xa0\x80"),
        ("ce_correlationid", b"a\xc2"),
        ("ce_correlationid", None),
        ("ce_expirytime", b"2030-01-01"),
        ("ce_expirytime", b"2030-02-30T00:00:00Z"),
        ("ce_correlationid", b"x" * 4097),
        ("ce_myextension", b"x" * 4097),
        ("ce_myextension", b"\xff"),
        ("ce_myextension", None),
        ("ce_", b"1"),
        ("ce_Upper", b"1"),
        ("ce_under_score", b"1"),
        ("ce_ünïcode", b"1"),
        ("ce_" + "x" * 21, b"1"),
        ("CE_id", b"1"),
        ("ce_specversion", b"0.3"),
        ("ce_fabnative", b"kJA="),
        ("ce_datacontenttype", b"text/plain"),
        ("content-type", None),
        ("Content-Type", b"text/plain"),
    ],
)
def test_what_no_attribute_can_carry_is_a_native_entry_as_it_came(header):
    envelope = lifted(record(header))
    assert envelope.native == [header]
    assert envelope.attributes() == lifted(record()).attributes()


@pytest.mark.parametrize(
    "name", ["ce_id", "ce_correlationid", "ce_myextension", "content-type", "ce_specversion"]
)
def test_of_two_headers_the_first_is_the_attribute_and_the_second_a_native_entry(name):
    value = b"1.0"
    envelope = lifted(record((name, value), (name, b"second"), (name, value)))
    assert envelope.native == [(name, b"second"), (name, value)]


def test_extensions_that_are_too_many_for_attributes_are_native_entries():
    headers = [(f"ce_x{at}", b"%d" % at) for at in range(EXTENSIONS + 2)]
    envelope = lifted(record(*headers, headers[0]))
    for name, value in headers[:EXTENSIONS]:
        assert envelope.get(name.removeprefix("ce_")) == value.decode()
    assert envelope.native == [*headers[EXTENSIONS:], headers[0]]


def test_an_extension_may_be_called_by_a_number():
    assert lifted(record(("ce_2", b"two"))).get("2") == "two"


@pytest.mark.parametrize(
    "text", ["2026-11-21T04:00:00Z", "2026-11-21T04:00:00.1Z", "2026-11-21T04:00:00.123456789-08:30"]
)
def test_a_time_that_the_record_says_is_the_time(text):
    assert lifted(record(("ce_time", text.encode()))).time == text


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 253402300800000, 2**63 - 1])
def test_a_timestamp_that_no_calendar_has_is_no_time(timestamp_ms):
    assert lifted(record(timestamp_ms=timestamp_ms)).time is None


@pytest.mark.parametrize(
    ("timestamp_ms", "time"),
    [(0, "1970-01-01T00:00:00.000000Z"), (253402300799999, "9999-12-31T23:59:59.999000Z")],
)
def test_the_first_and_the_last_timestamp_are_times(timestamp_ms, time):
    assert lifted(record(timestamp_ms=timestamp_ms)).time == time


def test_a_hop_trace_begins_the_chain_where_nothing_says_that_it_began_before():
    hop = [("traceparent", TRACE), ("tracestate", b"a=1")]
    began = lifted(record(*hop))
    assert (began.get("traceparent"), began.get("tracestate")) == (TRACE.decode(), "a=1")
    assert began.native == []
    went_on = lifted(record(*hop, ("ce_traceparent", b"00-before")))
    assert (went_on.get("traceparent"), went_on.get("tracestate")) == ("00-before", None)
    assert went_on.native == hop


def test_the_kind_gives_the_type_when_nobody_said_one():
    assert lifted(record(("ce_fabkind", b"request"))).type == "io.agentfabric.request"


# Who names it, and what is refused


def test_an_id_is_the_records_or_the_edges_or_the_place_and_never_invented():
    named = record(("ce_id", b"mine"))
    assert lifted(named, fresh_id="fresh", offset=None).id == "mine"
    assert lifted(record(), fresh_id="fresh").id == "fresh"
    for nowhere in (None, -1):
        with pytest.raises(CodecError, match="no ce_id"):
            lifted(record(), offset=nowhere)
    for bad in ("", "x" * (ID_CHARS_MAX + 1), "a\nb"):
        with pytest.raises(CodecError, match="id"):
            lifted(record(), fresh_id=bad)


def test_the_place_in_a_long_topic_is_told_by_a_digest_that_fits_and_differs():
    topics = ["a" * 248 + end for end in "xy"]
    ids = {lifted(record(), topic=t, partition=2**31 - 1, offset=2**63 - 1).id for t in topics}
    assert len(ids) == 2
    assert all(re.fullmatch(r"~[0-9a-f]{32}:2147483647:9223372036854775807", id) for id in ids)
    assert {len(id) for id in ids} == {ID_CHARS_MAX}
    assert lifted(record(), topic="t" * 60).id == "t" * 60 + ":3:7"
    assert lifted(record(), topic="t" * 61).id.startswith("~")


@pytest.mark.parametrize("topic", ["", "a..b", "a/b", "x" * 250, "."])
def test_a_topic_that_is_no_channel_is_refused(topic):
    with pytest.raises(CodecError):
        lifted(record(), topic=topic)


def test_headers_over_the_bound_of_an_envelope_are_refused():
    with pytest.raises(CodecError, match=f"{HEADER_BYTES_MAX:,}"):
        lifted(record(("big", bytes(HEADER_BYTES_MAX))))


def test_more_headers_than_a_record_may_have_are_refused():
    assert len(lifted(record(*[("a", b"")] * KAFKA_HEADERS_MAX)).native) == KAFKA_HEADERS_MAX
    with pytest.raises(CodecError, match=f"{KAFKA_HEADERS_MAX + 1} headers"):
        lifted(record(*[("a", b"")] * (KAFKA_HEADERS_MAX + 1)))


def test_a_source_that_is_no_text_is_refused():
    for source in ("a\nb", "\ud800"):
        with pytest.raises(CodecError, match="source"):
            lifted(record(), source=source)


def test_an_id_that_utf8_cannot_carry_is_refused():
    with pytest.raises(CodecError, match="id"):
        lifted(record(), fresh_id="\ud800")


def test_what_is_no_attribute_cannot_be_withheld():
    with pytest.raises(ValueError, match="'colour' is no attribute"):
        lifted(record(), withheld=frozenset({"colour"}))


def test_topics_are_channels_also_when_more_are_used_than_are_remembered():
    for at in range(1100):
        assert lifted(record(), topic=f"t.{at}").subject == f"t.{at}"
        assert lifted(record(), topic=f"t.{at}").id == f"t.{at}:3:7"


def test_a_header_name_with_a_lone_surrogate_is_refused():
    with pytest.raises(CodecError, match="surrogate"):
        lifted(record(("\ud800", b"")))
