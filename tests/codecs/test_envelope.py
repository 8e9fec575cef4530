"""The Envelope: built and received forms give the same answers, and no header block makes them disagree."""

import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fabric_codecs.bounds import HEADER_BYTES_MAX, ID_CHARS_MAX
from fabric_codecs.envelope import ATTRIBUTES, Envelope
from fabric_codecs.errors import CodecError

BASE = {"id": "1", "source": "/nats/me", "type": "io.agentfabric.event"}

names = st.sampled_from(sorted(ATTRIBUTES - BASE.keys())) | st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)
names = names.filter(lambda name: name not in (*BASE, "specversion", "fabnative"))
values = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)
BOUNDED = ("correlationid", "causationid", "fabkey", "fabhops")
attributes_said = st.dictionaries(names, values, max_size=6).map(
    lambda said: {name: text for name, text in said.items() if text or name not in BOUNDED}
)
natives = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8"), max_size=8), st.none() | st.binary(max_size=9))
)


def received(envelope: Envelope) -> Envelope:
    """The same message as its receiver has it."""
    return Envelope.from_nats(b"fab.cho.0.me.x", envelope.nats_header(), envelope.data)


def block(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def of(*lines: bytes) -> Envelope:
    return Envelope.from_nats(b"s", block(*lines), b"")


@given(attributes_said, st.binary(max_size=40), natives)
@example({"subject": 'é "100%" \u2028😀'}, b"", [("a", None), ("a", b""), ("a", b"\x00")])
def test_an_envelope_comes_back_from_the_wire(attributes: dict[str, str], data: bytes, native: list) -> None:
    sent = Envelope(data, **BASE, **attributes).with_native(native)
    back = received(sent)
    assert back == sent
    assert back.data == data
    assert back.native == native
    assert back.attributes() == BASE | attributes
    assert {name: back.get(name) for name in attributes} == attributes


@given(attributes_said)
def test_what_was_searched_for_is_what_was_parsed(attributes: dict[str, str]) -> None:
    back = received(Envelope(b"", **BASE, **attributes))
    assert {name: back.get(name) for name in back.attributes()} == back.attributes()
    assert back.get("absent") is None


@given(attributes_said)
def test_a_header_block_is_printable_ascii_lines(attributes: dict[str, str]) -> None:
    assert re.fullmatch(
        rb"NATS/1\.0\r\n([!-9;-~]+: [ -~]*\r\n)+\r\n", Envelope(b"", **BASE, **attributes).nats_header()
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain", b"plain"),
        ("a b", b"a%20b"),
        ("100%", b"100%25"),
        ('"', b"%22"),
        ("é", b"%C3%A9"),
        ("😀", b"%F0%9F%98%80"),
        ("a:b/c,d;e=f", b"a:b/c,d;e=f"),
        ("", b""),
    ],
)
def test_a_value_is_escaped_as_the_binding_says(value: str, line: bytes) -> None:
    # CloudEvents NATS protocol binding 1.0.2, 3.1.3.2
    assert b"\r\nce-subject: " + line + b"\r\n" in Envelope(b"", **BASE, subject=value).nats_header()
    assert of(b"ce-subject: " + line).subject == value


def test_lower_case_escapes_of_others_are_read() -> None:
    assert of(b"ce-subject: caf%c3%a9").subject == "café"


# Two lines of one name: a sender could show one source to whoever checks and another to whoever passes on.


def test_of_two_lines_of_one_name_the_first_counts_everywhere() -> None:
    envelope = of(b"ce-id: 1", b"ce-source: /nats/me", b"ce-type: t", b"ce-source: /nats/victim")
    assert envelope.source == envelope.attributes()["source"] == "/nats/me"
    assert envelope.replace(None, subject="x").source == "/nats/me"
    assert b"victim" not in envelope.nats_header()


def test_a_line_with_a_bare_carriage_return_reads_the_same_both_ways() -> None:
    envelope = of(b"ce-id: a\rb", b"ce-source: /nats/me\rce-source: /nats/victim")
    assert (envelope.id, envelope.source) == ("a", "/nats/me")
    assert envelope.attributes() == {"id": "a", "source": "/nats/me"}


def test_the_servers_own_lines_are_the_last_ones() -> None:
    envelope = of(
        b"Nats-Sequence: 999", b"Nats-Stream: FAKE", b"ce-id: 1", b"Nats-Stream: CH_0", b"Nats-Sequence: 7"
    )
    assert (envelope.stream, envelope.sequence) == ("CH_0", 7)


@pytest.mark.parametrize("number", [b"", b"-1", b"x", b"1x", b"9" * 19])
def test_a_sequence_that_is_no_number_is_none(number: bytes) -> None:
    assert of(b"Nats-Sequence: " + number).sequence == 0


@pytest.mark.parametrize(
    "header",
    [b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0", b"\r\nce-id: 1", b"ce-id: 1\r\n", b"NATS/1.0\r\nce-id:1\r\n\r\n"],
)
def test_a_block_without_a_whole_line_has_no_attributes(header: bytes) -> None:
    envelope = Envelope.from_nats(b"s", header, b"")
    assert envelope.attributes() == {}
    assert (envelope.id, envelope.source, envelope.subject, envelope.sequence) == ("", "", None, 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_block_that_can_be_asked(noise: bytes) -> None:
    envelope = Envelope.from_nats(b"s", b"NATS/1.0\r\nce-id: " + noise + b"\r\nce-source: /n/x\r\n\r\n", b"")
    for name in envelope.attributes():
        assert envelope.get(name) == envelope.attributes()[name]


@pytest.mark.parametrize(
    "attributes",
    [
        {"Subject": "x"},
        {"a_b": "x"},
        {"": "x"},
        {"a" * 21: "x"},
        {"é": "x"},
        {"subject": 1},
        {"subject": b"x"},
        {"subject": "a\nb"},
        {"subject": "a\r\nce-source: /nats/victim"},
        {"subject": "\x7f"},
        {"subject": "\x85"},
        {"subject": "\ud800"},
        {"id": ""},
        {"id": "x" * (ID_CHARS_MAX + 1)},
        {"id": None},
        {"source": None},
        {"type": None},
    ],
)
def test_what_is_no_attribute_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(CodecError):
        Envelope(b"", **(BASE | attributes))


def test_the_longest_id_is_taken() -> None:
    assert len(Envelope(b"", **BASE | {"id": "é" * ID_CHARS_MAX}).id) == ID_CHARS_MAX


def test_an_absent_attribute_is_left_out() -> None:
    assert Envelope(b"", **BASE, subject=None).attributes() == BASE


def test_headers_over_64_kib_are_refused() -> None:
    fits = HEADER_BYTES_MAX - len(Envelope(b"", **BASE, subject="").nats_header())
    assert len(Envelope(b"", **BASE, subject="x" * fits).nats_header()) == HEADER_BYTES_MAX
    with pytest.raises(CodecError, match="65537 bytes"):
        Envelope(b"", **BASE, subject="x" * (fits + 1)).nats_header()


def test_a_copy_changes_what_it_is_told_to() -> None:
    sent = received(Envelope(b"old", **BASE, subject="a", fabcorr="x").with_native([("k", b"v")]))
    copy = sent.replace(b"new", subject="b", fabcorr=None)
    assert copy.data == b"new"
    assert copy.attributes() == BASE | {"subject": "b"}
    assert copy.native == [("k", b"v")]
    assert sent.subject == "a"


@pytest.mark.parametrize("packed", [b"!", b"a", b"AA==", b"wA==", b"kZGh", b"kZKh/8A=", b"\xe9"])
def test_a_sidecar_that_cannot_be_read_is_an_error_of_the_codec(packed: bytes) -> None:
    with pytest.raises(CodecError):
        _ = of(b"Fab-Native: " + packed).native


def test_a_sidecars_escapes_write_no_lines_into_a_copy() -> None:
    sent = of(
        b"Fab-Native: AA%0D%0Ace-source: /nats/victim", *(b"ce-%s: x" % name for name in (b"id", b"type"))
    )
    copy = sent.replace(None, source="/nats/me").nats_header()
    assert Envelope.from_nats(b"", copy, b"").source == "/nats/me"
    assert b"\r\nFab-Native: AA%0D%0Ace-source: /nats/victim\r\n" in copy
    assert b"\r\nce-source: /nats/victim" not in copy


def test_no_sidecar_means_no_native_headers() -> None:
    assert Envelope(b"", **BASE).native == of(b"ce-id: 1").native == []
    assert b"Fab-Native" not in Envelope(b"", **BASE).nats_header()


def test_data_that_is_no_json_is_an_error_of_the_codec() -> None:
    assert Envelope(b'{"a":1}', **BASE).json() == {"a": 1}
    for data in (b"{", b'"\xff"', b"[" * 100_000):
        with pytest.raises(CodecError, match="not JSON"):
            Envelope(data, **BASE).json()


@pytest.mark.parametrize(
    ("source", "name"), [("/nats/me", "me"), ("/mqtt/caf%C3%A9", "café"), ("me", "me"), ("/mqtt/%", "")]
)
def test_the_source_name_is_the_last_segment_in_its_own_spelling(source: str, name: str) -> None:
    assert received(Envelope(b"", **BASE | {"source": source})).source_name == name


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("text", ["", "x" * 257])
def test_what_its_sender_counts_on_has_1_to_256_characters(name: str, text: str) -> None:
    with pytest.raises(CodecError, match=f"{name} has {len(text)} characters, allowed are 1 to 256"):
        Envelope(b"", **BASE, **{name: text})
    assert Envelope(b"", **BASE, **{name: "é" * 256}).get(name) == "é" * 256


def test_two_envelopes_are_equal_when_everything_is() -> None:
    one = Envelope(b"x", **BASE)
    assert one == Envelope(b"x", **BASE)
    assert one != Envelope(b"y", **BASE)
    assert one != Envelope(b"x", **BASE, subject="s")
    assert one != one.with_native([("a", b"b")])
    assert one != "x"


def test_the_sidecar_is_msgpack_in_base64() -> None:
    # Written down once: another process, maybe of another version, reads it.
    native = [("k", b"v"), ("n", None)]
    line = Envelope(b"", **BASE).with_native(native).nats_header().split(b"Fab-Native: ")[1].split(b"\r\n")[0]
    assert line == b"kpKha8QBdpKhbsA="
    assert of(b"Fab-Native: " + line).native == native
    assert msgspec.msgpack.encode(native)[:1] == b"\x92"
