"""All twenty pairs: what a message of one protocol is in another, there and back, and what is told of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.records import decode_batch
from fabric_codecs.losses import Translation, loss_codes
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.wire import decode
from fabric_codecs.translate.lift import PROTOCOLS, Protocol, lift
from fabric_codecs.translate.lower import lower, name_for
from fabric_codecs.translate.message import LossRefused, translate
from fabric_codecs.translate.routes import explain
from helpers.pairs import PAIRS, crossed, holds, meaning, natives, opened
from helpers.specimens import (
    ARGUMENTS,
    KNOWN,
    MESSAGES,
    NOW_US,
    SPECIMENS,
    TRACE,
    kafka_batch,
    mcp_call,
    mqtt_publish,
)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_data_arrives_as_the_bytes_it_was(source: Protocol, target: Protocol) -> None:
    message, _ = crossed(SPECIMENS[source], source, target)
    assert opened(message, target).data == ARGUMENTS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_protocol_passes_every_byte(protocol: Protocol) -> None:
    assert (
        translate(SPECIMENS[protocol], protocol, protocol, "strict", **KNOWN).message == SPECIMENS[protocol]
    )
    assert explain(protocol, protocol) == ()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hop_says_its_trace_and_nothing_else_changes(protocol: Protocol) -> None:
    hop = "00-11111111111111111111111111111111-2222222222222222-01"
    sent = SPECIMENS[protocol]
    passed = translate(sent, protocol, protocol, traceparent=hop, **KNOWN).message
    if protocol in ("a2a", "mqtt311"):
        assert passed == sent  # its trace is an HTTP header, or nowhere
        return
    assert hop.encode() in passed
    if protocol == "kafka":  # a checksum covers it
        records = [decode_batch(one).records[0] for one in (sent, passed)]
        assert [header for header in records[1].headers if header[0] != "traceparent"] == [
            header for header in records[0].headers if header[0] != "traceparent"
        ]
    else:
        assert passed.replace(hop.encode(), TRACE.encode()) == sent
    bare = {"mcp": b'{"jsonrpc":"2.0","id":1,"method":"ping"}', "mqtt5": mqtt_publish(b"x")}
    bare |= {"kafka": kafka_batch(b"x", None, [])}
    again = translate(bare[protocol], protocol, protocol, traceparent=hop, **KNOWN).message
    assert again.count(hop.encode()) == 1


def test_an_expiry_is_less_by_what_the_message_waited() -> None:
    for waited_s, left in ((0, 30), (10, 20), (30, 1), (99, 1)):
        passed = translate(EXPIRING, "mqtt5", "mqtt5", waited_s=waited_s, **KNOWN).message
        packet = decode(passed, 5)
        assert isinstance(packet, Publish)
        assert packet.properties.message_expiry_s == left


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_there_and_back_keeps_what_no_loss_code_names(source: Protocol, target: Protocol) -> None:
    holds(SPECIMENS[source], source, target)


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_there_and_back_keeps_what_no_loss_code_names_of_any_message(
    source: Protocol, target: Protocol, data: st.DataObject
) -> None:
    holds(data.draw(MESSAGES[source]), source, target)


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_translating_is_lifting_and_lowering(source: Protocol, target: Protocol, data: st.DataObject) -> None:
    message = data.draw(MESSAGES[source])
    if {source, target} == {"mqtt5", "mqtt311"}:
        return  # from packet to packet
    assert outcome(lambda: translate(message, source, target, **KNOWN)) == outcome(
        lambda: by_way_of_an_envelope(message, source, target)
    )


def by_way_of_an_envelope(message: bytes, source: Protocol, target: Protocol) -> Translation[bytes]:
    lifted = lift(message, source, **KNOWN)
    lowered = lower(lifted.message, target, now_us=NOW_US)
    return Translation(lowered.message, lifted.losses + lowered.losses)


def outcome(work: Callable[[], Translation[bytes]]) -> Any:
    try:
        return work()
    except CodecError as refused:
        return refused.what, refused.offset, refused.clause


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_message_costs_more_than_its_route_explains(
    source: Protocol, target: Protocol, data: st.DataObject
) -> None:
    translation = translate(data.draw(MESSAGES[source]), source, target, **KNOWN)
    told = {(loss.code, loss.field) for loss in translation.losses}
    explained = {(loss.code, loss.field) for loss in explain(source, target)}
    assert {code for code, _ in told} <= {code for code, _ in explained}


GOLDEN = Path(__file__).parent / "golden"
OF_SPECIFICATIONS: dict[Protocol, list[bytes]] = {
    name: [row["message"].encode() for row in json.loads((GOLDEN / f"{name}.json").read_text())["messages"]]
    for name in ("mcp", "a2a")
}


@pytest.mark.parametrize("target", PROTOCOLS)
@pytest.mark.parametrize("source", OF_SPECIFICATIONS)
def test_no_message_of_a_specification_costs_more_than_its_route_explains(
    source: Protocol, target: Protocol
) -> None:
    """Failures, tasks and others that go whole; each once more with headers of somebody on the way."""
    headers: list[tuple[str, bytes | None]] = [("shop", b"north"), ("shop", None)]
    for message in OF_SPECIFICATIONS[source]:
        envelope = opened(message, source)
        assert source == target or costs(envelope, target) <= explained(source, target)
        if target != "kafka":
            assert costs(envelope.with_native(headers), target) <= explained("kafka", target)


def costs(envelope: Envelope, target: Protocol) -> set[tuple[str, str]]:
    try:
        losses = lower(envelope, target, now_us=NOW_US, topic=envelope.subject or "a.b").losses
    except CodecError:
        return set()  # refused: it has no such message
    return {(loss.code, loss.field) for loss in losses}


def explained(source: Protocol, target: Protocol) -> set[tuple[str, str]]:
    return {(loss.code, loss.field) for loss in explain(source, target)}


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_strict_refuses_exactly_what_report_would_tell(source: Protocol, target: Protocol) -> None:
    told = translate(SPECIMENS[source], source, target, "report", **KNOWN)
    if not told.losses:
        assert translate(SPECIMENS[source], source, target, "strict", **KNOWN) == told
        return
    with pytest.raises(LossRefused) as caught:
        translate(SPECIMENS[source], source, target, "strict", **KNOWN)
    assert caught.value.losses == told.losses
    assert caught.value.codes == loss_codes(told.losses)
    assert "byte" not in str(caught.value)
    for loss in told.losses:
        assert f"{loss.code} of {loss.field}" in str(caught.value)


EXPIRING = mqtt_publish(b'{"a":1}', content_type="application/json", message_expiry_s=30)


@pytest.mark.parametrize("target", ["mcp", "a2a", "kafka"])
def test_a_loss_is_told_in_the_message_itself(target: Protocol) -> None:
    message, codes = crossed(EXPIRING, "mqtt5", target)
    assert codes == "EXPIRY_UNENFORCED"
    assert opened(message, target).get("fabloss") == "EXPIRY_UNENFORCED"
    assert b"EXPIRY_UNENFORCED" in message


def test_a_header_that_is_no_text_is_told_in_a_user_property() -> None:
    message, codes = crossed(SPECIMENS["kafka"], "kafka", "mqtt5")
    packet = decode(message, 5)
    assert isinstance(packet, Publish)
    assert codes == "HEADER_BINARY"
    assert dict(packet.properties.user)["fab-loss"] == "HEADER_BINARY"


def test_a_header_called_like_an_attribute_does_not_stand_beside_it() -> None:
    headers: list[tuple[str, bytes | None]] = [("source", b"/not/me"), ("id", b"other"), ("shop", b"north")]
    there, _ = crossed(kafka_batch(b"1", None, headers), "kafka", "mqtt5")
    packet = decode(there, 5)
    assert isinstance(packet, Publish)
    names = [name for name, _ in packet.properties.user]
    assert len(set(names) - {"fab-native"}) == len(names) - names.count("fab-native")
    assert opened(there, "mqtt5").native == headers


@pytest.mark.parametrize("target", ["mcp", "a2a"])
def test_an_attribute_called_like_a_mark_of_ours_comes_back(target: Protocol) -> None:
    names = ("loss", "native", "data", "text", "conversation", "argument")
    headers: list[tuple[str, bytes | None]] = [(f"ce_{name}", b"x") for name in names]
    envelope = opened(kafka_batch(b"{x", None, [*headers, ("content-type", b"application/json")]), "kafka")
    there = lower(envelope, target, now_us=NOW_US).message
    back = opened(there, target)
    assert {name: back.get(name) for name in names} == dict.fromkeys(names, "x")
    assert back.get("fabloss") == "CONTENT_TYPE_GUESSED"


@pytest.mark.parametrize("target", PROTOCOLS)
def test_a_correlation_that_no_envelope_takes_stays_a_header(target: Protocol) -> None:
    headers: list[tuple[str, bytes | None]] = [("ce_correlationid", b"x" * 300)]
    there, codes = crossed(kafka_batch(b"1", None, headers), "kafka", target)
    if codes != "NO_METADATA":
        back = opened(there, target)
        assert (back.correlationid, ("ce_correlationid", b"x" * 300) in back.native) == (None, True)


def test_a_correlation_that_no_envelope_takes_is_refused_where_only_a_mark_could_say_it() -> None:
    block = b"NATS/1.0\r\nce-id: a\r\nce-source: /x\r\nce-type: t\r\nce-correlationid: %b\r\n\r\n"
    received = Envelope.from_nats(b"", block % (b"x" * 300), b"1")
    with pytest.raises(CodecError, match="correlationid of 300 bytes"):
        lower(received, "mcp", now_us=NOW_US)
    there = lower(received, "a2a", now_us=NOW_US).message  # whose contextId has no limit
    assert ("message/contextId", b'"%b"' % (b"x" * 300)) in opened(there, "a2a").native


@pytest.mark.parametrize("target", ["mcp", "a2a", "mqtt5", "mqtt311", "kafka"])
@pytest.mark.parametrize("packed", [b"!", b"wA==", b"\xe9"])
def test_native_headers_that_cannot_be_read_are_refused_in_a_copy_too(
    target: Protocol, packed: bytes
) -> None:
    block = b"NATS/1.0\r\nce-id: a\r\nce-source: /x\r\nce-type: t\r\nFab-Native: %b\r\n\r\n" % packed
    received = Envelope.from_nats(b"", block, b"1")
    for envelope in (received, received.replace(b"2")):
        with pytest.raises(CodecError, match="Fab-Native cannot be read"):
            lower(envelope, target, now_us=NOW_US, topic="a.b")


def test_losses_add_up_along_the_way() -> None:
    guessed, _ = crossed(SPECIMENS["mqtt311"], "mqtt311", "kafka")
    assert opened(guessed, "kafka").get("fabloss") == "CONTENT_TYPE_GUESSED"
    further, codes = crossed(guessed, "kafka", "mcp", trusted=True)
    assert codes == ""
    assert opened(further, "mcp").get("fabloss") == "CONTENT_TYPE_GUESSED"


# ---- ids ----


@pytest.mark.parametrize("protocol", ["mqtt5", "mqtt311", "mcp", "kafka"])
def test_no_id_is_ever_invented(protocol: Protocol) -> None:
    message = kafka_batch(b"21.5", None, []) if protocol == "kafka" else SPECIMENS[protocol]
    target: Protocol = "a2a"
    with pytest.raises(CodecError):
        translate(message, protocol, target, **(KNOWN | {"fresh_id": None}))


def test_two_readings_of_21_5_stay_two_messages() -> None:
    reading = mqtt_publish(b"21.5", 4)
    first, _ = crossed(reading, "mqtt311", "kafka", fresh_id="one")
    second, _ = crossed(reading, "mqtt311", "kafka", fresh_id="two")
    assert [opened(message, "kafka").id for message in (first, second)] == ["one", "two"]


def test_a_durable_id_of_the_protocol_is_the_id() -> None:
    message, _ = crossed(SPECIMENS["a2a"], "a2a", "mqtt5", fresh_id=None)
    assert opened(message, "mqtt5").id == "m-1"
    there, _ = crossed(kafka_batch(b"21.5", None, []), "kafka", "mqtt5", fresh_id=None, partition=3)
    assert opened(there, "mqtt5").id == "greenhouse.heat:3:0"


# ---- between the versions of MQTT ----


def test_from_version_to_version_topic_payload_qos_and_retain_stay() -> None:
    for qos, flags in ((0, "31"), (1, "33"), (2, "35")):
        number = "" if qos == 0 else "0007"
        old = bytes.fromhex(f"{flags}{'06' if qos == 0 else '08'}0003612f62{number}21")
        new = translate(old, "mqtt311", "mqtt5", "strict", **KNOWN).message
        assert translate(new, "mqtt5", "mqtt311", "strict", **KNOWN).message == old


def test_a_retained_message_stays_retained_through_any_other_protocol() -> None:
    retained = bytes.fromhex("31060003612f6221")
    for middle in ("mcp", "a2a", "kafka", "mqtt5"):
        there = translate(retained, "mqtt311", middle, **KNOWN).message
        assert (
            translate(there, middle, "mqtt311", **(KNOWN | {"topic": "a.b", "trusted": True})).message
            == retained
        )


@pytest.mark.parametrize("source", ["mcp", "a2a", "mqtt5", "kafka"])
def test_a_structured_payload_keeps_everything_in_3_1_1(source: Protocol) -> None:
    translation = translate(SPECIMENS[source], source, "mqtt311", "strict", structured=True, **KNOWN)
    back = translate(translation.message, "mqtt311", source, structured=True, trusted=True, **KNOWN)
    first, second = opened(SPECIMENS[source], source), opened(back.message, source)
    assert (second.data, meaning(second), natives(second)) == (first.data, meaning(first), natives(first))


# ---- names ----


@pytest.mark.parametrize(
    ("topic", "kafka"),
    [("a/b", "a.b"), ("greenhouse/north-1/t_2", "greenhouse.north-1.t_2"), ("a", "a")],
)
def test_a_topic_has_one_name_everywhere(topic: str, kafka: str) -> None:
    envelope = opened(mqtt_publish(b"1", topic=topic), "mqtt5")
    assert name_for(envelope, "kafka") == kafka
    assert name_for(envelope, "mqtt5") == name_for(envelope, "mqtt311") == topic
    assert name_for(envelope, "mcp") == kafka


@pytest.mark.parametrize("topic", ["a//b", "/a", "a/", "a b", "a.b", "a/*", "a/>", "$SYS/x", "ü", "x" * 250])
def test_a_name_that_does_not_fit_is_refused_with_the_limit(topic: str) -> None:
    message = mqtt_publish(b"1", topic=topic)
    with pytest.raises(CodecError, match="Kafka topic has"):
        translate(message, "mqtt5", "kafka", **KNOWN)
    assert opened(crossed(message, "mqtt5", "mcp")[0], "mcp").subject == opened(message, "mqtt5").subject


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=12),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_no_two_topics_share_a_name(topics: list[str]) -> None:
    names: list[set[str]] = [set(), set(), set()]
    for topic in topics:
        envelope = opened(mqtt_publish(b"1", topic=topic), "mqtt5")
        names[0].add(envelope.subject or "")
        names[1].add(name_for(envelope, "mqtt5"))
        try:
            names[2].add(name_for(envelope, "kafka"))
        except CodecError:
            names[2].add(topic)
    assert [len(found) for found in names] == [2, 2, 2]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("message", "source"),
    [
        (bytes.fromhex("c000"), "mqtt5"),
        (bytes.fromhex("300600000323000178"), "mqtt5"),
        (bytes.fromhex("3006000003230001"), "mqtt5"),
        (b"{}", "mcp"),
        (b"[]", "a2a"),
        (b"", "kafka"),
        (SPECIMENS["kafka"] + b"x", "kafka"),
        (mcp_call(b"[]"), "mcp"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, source: Protocol) -> None:
    with pytest.raises(CodecError):
        translate(message, source, "kafka" if source != "kafka" else "mcp", **KNOWN)


def test_a_protocol_or_a_policy_that_is_none_is_refused_whatever_the_message() -> None:
    message, none = SPECIMENS["mcp"], cast("Any", "Kafka")
    for work in (
        lambda: translate(message, none, none, **KNOWN),
        lambda: translate(message, "mcp", none, **KNOWN),
        lambda: lift(message, none, **KNOWN),
        lambda: lower(opened(message, "mcp"), none, now_us=NOW_US),
    ):
        with pytest.raises(
            ValueError, match="no protocol 'Kafka': there are mcp, a2a, mqtt5, mqtt311, kafka"
        ):
            work()
    with pytest.raises(ValueError, match="no policy 'Strict': there are strict and report"):
        translate(message, "mcp", "mcp", cast("Any", "Strict"), **KNOWN)


def test_a_kafka_topic_has_to_be_told() -> None:
    with pytest.raises(CodecError, match="topic"):
        translate(SPECIMENS["kafka"], "kafka", "mcp", **(KNOWN | {"topic": None}))
    assert decode_batch(SPECIMENS["kafka"]).records[0].timestamp_ms == NOW_US // 1000
