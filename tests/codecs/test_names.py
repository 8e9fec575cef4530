"""Names: every spelling of a level has one token, every token one level, and filters mean what MQTT says.

The oracle for matching is paho's `topic_matches_sub`, which reads the specification for us.
"""

from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from fabric_codecs.bounds import CHANNEL_BYTES_MAX, CHANNEL_LEVELS_MAX, KAFKA_TOPIC_CHARS_MAX, TOKEN_BYTES_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.names import (
    channel_name,
    channel_to_kafka_topic,
    channel_to_topic,
    decode_level,
    encode_level,
    filter_to_pattern,
    is_pattern,
    kafka_topic_to_channel,
    pattern_matches,
    pattern_name,
    shard_of,
    topic_to_channel,
)

AWKWARD = "ab.*>%/ $+#é漢😀\x00\x1f\x7f\"\\'"
levels = st.text(alphabet=st.one_of(st.sampled_from(AWKWARD), st.characters(codec="utf-8")), max_size=20)
topic_levels = st.text(alphabet="ab$.*> é%", max_size=3)
topics = st.lists(topic_levels, min_size=1, max_size=5).map("/".join).filter(bool)


@given(levels)
@example("")
@example("%")
@example("%25")
@example("a.b")
def test_a_level_comes_back_from_its_token(level: str) -> None:
    assert decode_level(encode_level(level)) == level


@given(levels, levels)
@example("", "%")
@example("%", "%25")
@example("a/b", "a%2Fb")
def test_two_levels_never_share_a_token(one: str, other: str) -> None:
    assume(one != other)
    assert encode_level(one) != encode_level(other)


@given(levels)
def test_a_token_is_one_nats_token(level: str) -> None:
    token = encode_level(level)
    assert token
    assert token.isascii()
    assert not any(sign in token for sign in ".*>/ \t\r\n\x00\x7f")


@pytest.mark.parametrize(
    ("level", "token"),
    [
        ("", "%"),
        ("%", "%25"),
        (".", "%2E"),
        ("*", "%2A"),
        (">", "%3E"),
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("é", "%C3%A9"),
        ("😀", "%F0%9F%98%80"),
        ("\x00", "%00"),
        ("\x7f", "%7F"),
        ("$SYS", "$SYS"),
        ("a+b#c", "a+b#c"),
        ('q"\\', 'q"\\'),
        ("x" * TOKEN_BYTES_MAX, "x" * TOKEN_BYTES_MAX),
    ],
)
def test_a_level_has_this_token(level: str, token: str) -> None:
    assert encode_level(level) == token


@pytest.mark.parametrize("level", ["x" * (TOKEN_BYTES_MAX + 1), "é" * 43, "\ud800", "a\udfffb"])
def test_a_level_that_fits_no_token_is_refused(level: str) -> None:
    with pytest.raises(CodecError):
        encode_level(level)


@pytest.mark.parametrize(
    "token",
    [
        *(
            "",
            "%2",
            "%2e",
            "%GG",
            "%41",
            "%%",
            "a%",
            "%C3",
            "%FF",
            "a.b",
            "a*",
            ">",
            "a b",
            "é",
            "%25%",
            "\x00",
        ),
        *("%ED%A0%80", "%C0%AE"),  # a surrogate, and an overlong dot
        "x" * (TOKEN_BYTES_MAX + 1),
    ],
)
def test_a_token_that_no_level_makes_is_refused(token: str) -> None:
    with pytest.raises(CodecError):
        decode_level(token)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("greenhouse.north", "greenhouse.north"),
        ("a.%.b", "a.%.b"),
        ("%", "%"),
        ("a b.c", "a%20b.c"),
        ("a%20b.c", "a%20b.c"),
        ("a%20 b", "a%20%20b"),
        ("100%", "100%25"),
        ("a/b", "a%2Fb"),
        ("50%zz", "50%25zz"),
        ("%zz", "%25zz"),
        ("é", "%C3%A9"),
        ("$SYS.x", "$SYS.x"),
        ("a*b", "a%2Ab"),
        (".".join("x" * CHANNEL_LEVELS_MAX), ".".join("x" * CHANNEL_LEVELS_MAX)),
        (".".join(["x" * 255] * 4), ".".join(["x" * 255] * 4)),
    ],
)
def test_a_channel_has_this_canonical_name(written: str, canonical: str) -> None:
    assert channel_name(written) == canonical
    assert channel_name(canonical) == canonical
    assert pattern_name(canonical) == canonical


@pytest.mark.parametrize(
    "written",
    [
        *("", ".", "a.", ".a", "a..b", "*", "a.*", ">", "a.>", "%41", "a.%61", "\ud800"),
        "x" * (TOKEN_BYTES_MAX + 1),
        ".".join("x" * (CHANNEL_LEVELS_MAX + 1)),
    ],
)
def test_what_is_no_channel_is_refused(written: str) -> None:
    with pytest.raises(CodecError):
        channel_name(written)


def test_the_longest_channel_has_1024_bytes() -> None:
    longest = ".".join(["x" * 256, "x" * 256, "x" * 256, "x" * 253])
    assert len(longest) == CHANNEL_BYTES_MAX
    assert channel_name(longest) == longest
    with pytest.raises(CodecError, match="1025 bytes"):
        channel_name(longest + "x")


@pytest.mark.parametrize("pattern", ["*", ">", "a.*", "a.>", "*.*.>", "a.*.b", "*.north"])
def test_a_pattern_may_have_wildcard_levels(pattern: str) -> None:
    assert pattern_name(pattern) == pattern
    assert is_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "a..b", ">.a", "a.>.b", ">.>", ".>", "a.%41"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(CodecError):
        pattern_name(pattern)


@given(levels)
def test_a_level_without_wildcards_is_never_a_pattern(level: str) -> None:
    assert not is_pattern(encode_level(level))


@given(topics)
@example("/")
@example("a//b")
@example("$SYS/x")
def test_an_mqtt_topic_comes_back_from_its_channel(topic: str) -> None:
    assert channel_to_topic(topic_to_channel(topic)) == topic


@given(topics, topics)
def test_two_topics_never_share_a_channel(one: str, other: str) -> None:
    assume(one != other)
    assert topic_to_channel(one) != topic_to_channel(other)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a+b", "a#", "a\x00b", "\ud800", "x/" * 16, "x" * 257])
def test_what_is_no_mqtt_topic_is_refused(topic: str) -> None:
    with pytest.raises(CodecError):
        topic_to_channel(topic)


@pytest.mark.parametrize("channel", ["a%2Fb", "a+b", "#", "a%00", "%", "a%", "%zz"])
def test_a_channel_that_no_topic_can_carry_is_refused(channel: str) -> None:
    with pytest.raises(CodecError):
        channel_to_topic(channel)


filter_levels = st.one_of(st.just("+"), topic_levels)
filters = (
    st.tuples(st.lists(filter_levels, min_size=1, max_size=4), st.booleans())
    .map(lambda parts: "/".join(parts[0] + ["#"] * parts[1]))
    .filter(bool)
)


@given(filters, topics)
@example("#", "a/b")
@example("a/#", "a")
@example("a/+", "a")
@example("+/+", "/a")
@example("#", "$SYS/x")
@example("+/x", "$SYS/x")
@example("$SYS/#", "$SYS/x")
@example("a/#", "a/$b")
def test_a_filter_matches_the_topics_that_mqtt_says(topic_filter: str, topic: str) -> None:
    expected = topic_matches_sub(topic_filter, topic)
    assert pattern_matches(filter_to_pattern(topic_filter), topic_to_channel(topic)) == expected


@pytest.mark.parametrize(
    "topic_filter", ["", "#/a", "a/#/b", "a+", "+a/b", "a/b#", "a\x00", "a/\ud800", "x/" * 16]
)
def test_what_is_no_filter_is_refused(topic_filter: str) -> None:
    with pytest.raises(CodecError):
        filter_to_pattern(topic_filter)


@pytest.mark.parametrize(
    ("topic", "channel"),
    [
        ("orders", "orders"),
        ("a.b-c_d", "a.b-c_d"),
        ("x" * KAFKA_TOPIC_CHARS_MAX, "x" * KAFKA_TOPIC_CHARS_MAX),
    ],
)
def test_a_kafka_topic_is_the_channel_of_that_name(topic: str, channel: str) -> None:
    assert kafka_topic_to_channel(topic) == channel
    assert channel_to_kafka_topic(channel) == topic


@pytest.mark.parametrize(
    "topic", ["", ".", "..", "a..b", ".a", "a.", "a/b", "a b", "é", "a%20b", "*", "a.>", "x" * 250, "\n"]
)
def test_what_is_no_kafka_topic_is_refused(topic: str) -> None:
    with pytest.raises(CodecError):
        kafka_topic_to_channel(topic)
    with pytest.raises(CodecError):
        channel_to_kafka_topic(topic)


def test_a_channels_shard_never_changes() -> None:
    # Written down once: another hash would lose sight of every stored message.
    assert [shard_of(name, 8) for name in ("greenhouse.north", "a", "%", "a.b.c")] == [7, 3, 2, 5]


def test_shards_are_used_evenly() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[shard_of(f"channel.{number}", 8)] += 1
    assert min(counts) > 800


READERS = [channel_name, pattern_name, topic_to_channel, filter_to_pattern, decode_level]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("piece", ["a", "a.", "a/", "%", "é"])
def test_a_name_of_megabytes_is_refused_in_a_short_sentence(read: Callable[[str], str], piece: str) -> None:
    with pytest.raises(CodecError, match="bytes or more encoded") as caught:
        read(piece * 10**6)
    assert len(str(caught.value)) < 600
