"""What is read in place, of friendly and of hostile bytes: acknowledgements, tickets, positions, sources."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.headers import (
    mark_of,
    number_in,
    positions,
    server_value_in,
    source_agrees,
    status_of,
    stored_at,
    ticket_of,
    value_in,
)


def block(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(
    ("ack", "sequence"),
    [
        (b'{"stream":"CH_0","seq":5}', 5),
        (b'{"stream":"CH_0", "domain":"hub", "seq":18014398509481984}', 1 << 54),
        (b'{"stream":"CH_0","seq":5,"duplicate": true}', -5),  # as nats-server 2.15.1 writes it
        (b'{"stream":"CH_0","seq":5,"duplicate":true}', -5),
        (b'{"stream":"CH_0","seq":5,"duplicate":false}', 5),
        (b'{"stream":"true","seq":5,"duplicate":false}', 5),
        (b'{"stream":"CH_0","seq":5,"val":"true"}', 5),
        (b'{"stream":"CH_0","seq":5,"batch":"b","count":2}', 5),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"CH_0","seq":0}',
            0,
        ),
        (b'{"error":{"code":400,"description":"\\"seq\\":7"}}', 0),
        (b'{"stream":"CH_0","seq":0}', 0),
        (b'{"stream":"CH_0","seq":-5}', 0),
        (b'{"stream":"CH_0","seq":"5"}', 0),
        (b'{"stream":"CH_0","seq":', 0),
        (b"", 0),
        (b"garbage", 0),
    ],
)
def test_an_acknowledgement_is_a_sequence_or_none(ack: bytes, sequence: int) -> None:
    assert stored_at(ack) == sequence


@given(st.integers(1, 1 << 58), st.booleans())
def test_every_acknowledgement_the_server_can_make_is_read(sequence: int, duplicate: bool) -> None:
    fields = {"stream": "CH_0", "seq": sequence} | ({"duplicate": True} if duplicate else {})
    assert stored_at(json.dumps(fields, separators=(",", ":")).encode()) == (
        -sequence if duplicate else sequence
    )


@given(st.binary(max_size=80))
@example(b'"seq":' + b"9" * 70)
def test_any_bytes_are_some_acknowledgement(noise: bytes) -> None:
    assert abs(stored_at(noise)) < 1 << 62
    assert ticket_of(noise) >= -1
    assert status_of(noise) >= 0


@pytest.mark.parametrize(
    ("subject", "ticket"),
    [
        (b"_INBOX.me.a.0", 0),
        (b"_INBOX.me.a.12345678901", 12_345_678_901),  # a day of 100,000 messages a second has ten digits
        (b"7", 7),
        (b"_INBOX.me.a.", -1),
        (b"_INBOX.me.a.x1", -1),
        (b"_INBOX.me.a.-1", -1),
        (b"_INBOX.me.a." + b"9" * 19, -1),
        (b"", -1),
        (b".", -1),
    ],
)
def test_a_ticket_is_the_number_after_the_last_dot(subject: bytes, ticket: int) -> None:
    assert ticket_of(subject) == ticket


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"NATS/1.0 503\r\n\r\n", 503),
        (b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n", 204),
        (b"NATS/1.0 404 Message Not Found\r\n\r\n", 404),
        (b"NATS/1.0\r\nce-id: 503\r\n\r\n", 0),
        (b"NATS/1.0\r\n\r\n", 0),
        (b"NATS/1.0 50\r\n", 0),
        (b"NATS/1.0 abc\r\n\r\n", 0),
        (b"", 0),
    ],
)
def test_a_status_stands_in_the_first_line(header: bytes, status: int) -> None:
    assert status_of(header) == status


def test_positions_are_the_servers_and_not_the_senders() -> None:
    forged = (b"Nats-Sequence: 999999", b"Nats-Last-Sequence: 0", b"Nats-Subject: fab.ch.0.victim.x")
    header = block(*forged, b"Nats-Subject: fab.ch.0.me.x", b"Nats-Sequence: 7", b"Nats-Last-Sequence: 6")
    assert positions(header) == (7, 6)
    assert number_in(header, b"Nats-Sequence") == 7
    assert server_value_in(header, b"Nats-Subject") == b"fab.ch.0.me.x"


def test_of_a_senders_lines_the_first_counts() -> None:
    assert value_in(block(b"ce-id: 1", b"ce-id: 2"), b"ce-id") == b"1"


@pytest.mark.parametrize(
    "header",
    [
        *(
            b"",
            b"NATS/1.0\r\n\r\n",
            b"\r\nNats-Sequence: 1",
            b"Nats-Sequence: 1\r\n",
            b"NATS/1.0\r\nnats-sequence: 1\r\n\r\n",
        ),
        *(
            block(b"Nats-Sequence: "),
            block(b"Nats-Sequence: -1"),
            block(b"Nats-Sequence: 1 "),
            block(b"Nats-Sequence:1"),
        ),
        *(block(b"Nats-Sequence: " + b"1" * 19), block(b"X-Nats-Sequence: 1"), b"\r\nNats-Sequence: 1\n"),
    ],
)
def test_an_absent_or_odd_number_is_minus_one(header: bytes) -> None:
    assert positions(header) == (-1, -1)
    assert number_in(header, b"Nats-Sequence") == -1


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (b"p:1", (b"p", 1)),
        (b"0a1b2c3d4e:17", (b"0a1b2c3d4e", 17)),
        (b"a:b:3", (b"a:b", 3)),
        (b"p:0", (b"p", 0)),
        (b"p:" + b"9" * 18, (b"p", 10**18 - 1)),
    ],
)
def test_a_mark_is_a_process_and_its_running_number(value: bytes, mark: tuple[bytes, int]) -> None:
    assert mark_of(block(b"ce-fablive: " + value, b"ce-fablive: q:9")) == mark


@pytest.mark.parametrize(
    "value", [b"", b"p", b"7", b":", b":7", b"p:", b"p:x", b"p:-9", b"p: 9", b"p:9 ", b"\xff:\xff", b"p:\xb2"]
)
def test_a_mark_that_is_none_has_no_number(value: bytes) -> None:
    assert mark_of(block(b"ce-fablive: " + value))[1] == -1


def test_a_message_without_a_mark_or_with_one_beyond_reason_has_no_number() -> None:
    assert mark_of(b"") == mark_of(block(b"ce-id: p:1")) == (b"", -1)
    assert mark_of(block(b"ce-fablive: p:" + b"9" * 5000))[1] == -1


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_search_stays_inside_its_block(cut: int) -> None:
    whole = b"\r\nNats-Sequence: 123456789\r\n"
    assert number_in(whole, b"Nats-Sequence") == 123_456_789
    if cut < len(whole) - 1:
        assert number_in(whole[:cut], b"Nats-Sequence") == -1
        assert value_in(whole[:cut], b"Nats-Sequence") == b""


def stored(source: str) -> bytes:
    return Envelope(b"", id="1", source=source, type="t").nats_header()


names = st.text(alphabet=st.sampled_from("abé %/.>*x漢"), max_size=6)


@given(names, names)
@example("bob", "xbob")
@example("caf%C3%A9", "café")
@example("", "%")
def test_a_source_agrees_with_its_own_token_and_no_other(name: str, other: str) -> None:
    header = stored(f"/nats/{encode_level(name)}")
    for tree in (b"fab.cho.3.%s.a.b", b"fab.ch.3.%s.a", b"fab.lv.%s.a"):
        assert source_agrees(tree % encode_level(name).encode(), header)
        assert source_agrees(tree % encode_level(other).encode(), header) == (name == other)


@pytest.mark.parametrize(
    ("token", "line"),
    [
        (b"bob", b"ce-source: /nats/xbob"),
        (b"bob", b"ce-source: bob"),
        (b"bob", b"ce-source: /nats/bob/"),
        (b"bob", b"ce-source: /nats/bob/x"),
        (b"bob", b"ce-source: /nats/bob "),
        (b"bob", b"ce-source: /nats/Bob"),
        (b"bob", b"ce-source: /nats/x%2Fbob"),
        (b"bob", b"ce-source: /nats/b%6Fb"),
        (b"bob", b"ce-source: "),
        (b"bob", b"ce-source:/nats/bob"),
        (b"bob", b"Ce-Source: /nats/bob"),
        (b"bob", b"x-ce-source: /nats/bob"),
        (b"bob", b"ce-sources: /nats/bob"),
        (b"bob", b"ce-id: 1"),
        (b"caf%C3%A9", b"ce-source: /nats/caf%C3%A9"),  # escaped once: the token's % are missing
        (b"caf%C3%A9", b"ce-source: /nats/caf%25C3%25a9"),
        (b"%", b"ce-source: /nats/%"),
        (b"", b"ce-source: /nats/"),
    ],
)
def test_a_source_that_is_not_the_token_disagrees(token: bytes, line: bytes) -> None:
    assert not source_agrees(b"fab.cho.3.%s.a" % token, block(line))


def test_of_two_sources_the_first_is_checked_and_shown() -> None:
    header = block(b"ce-source: /nats/victim", b"ce-source: /nats/bob")
    assert not source_agrees(b"fab.cho.3.bob.a", header)
    assert Envelope.from_nats(b"s", header, b"").source == "/nats/victim"


@pytest.mark.parametrize(
    "subject", [b"", b"fab", b"fab.cho.3", b"fab.cho.3.", b"fab.lv.", b"fab.lv", b"...", b"x" * 9]
)
def test_a_subject_without_a_source_agrees_with_none(subject: bytes) -> None:
    assert not source_agrees(subject, stored("/nats/bob"))


def test_an_error_names_the_codec_and_the_place() -> None:
    with pytest.raises(CodecError, match="envelope"):
        stored("\x00")
