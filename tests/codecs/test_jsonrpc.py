"""JSON-RPC seen shallowly: kinds, typed ids, raw parts, and the code to answer each broken message with."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types.jsonrpc import jsonrpc_message_adapter

from fabric_codecs.core.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    Rpc,
    corr_of_id,
    id_of_corr,
    peek_id,
    read_rpc,
    write_error,
    write_request,
    write_result,
)
from fabric_codecs.errors import CodecError

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
IDS = (st.integers(-(2**63), 2**63) | TEXT).map(lambda value: json.dumps(value, ensure_ascii=False).encode())

BROKEN = [
    (b"", PARSE_ERROR),
    (b"{", PARSE_ERROR),
    (b'{"jsonrpc":"2.0","id":1,"method":"m"}}', PARSE_ERROR),
    (b"[" * 100, PARSE_ERROR),
    (b"[]", INVALID_REQUEST),
    (b'[{"jsonrpc":"2.0","id":1,"method":"m"}]', INVALID_REQUEST),
    (b"1", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}', INVALID_REQUEST),
    (b"{}", INVALID_REQUEST),
    (b'{"id":1,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":2.0,"id":1,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"1.0","id":1,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"method":1}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":null,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1e3,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":{},"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":true,"method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":"' + b"x" * 255 + b'","method":"m"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[]}', INVALID_PARAMS),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":null}', INVALID_PARAMS),
    (b'{"jsonrpc":"2.0","id":1,"result":1,"error":{}}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","result":1}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":null,"result":1}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"error":"no"}', INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":[],"error":{}}', INVALID_REQUEST),
]


def parts(rpc: Rpc) -> tuple[object, ...]:
    return rpc.kind, rpc.id, rpc.method, rpc.params, rpc.result, rpc.error


@pytest.mark.parametrize(
    ("message", "seen"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"m"}', ("request", b"1", "m", None, None, None)),
        (
            b'{"id":"1", "params":{ "a": 1 }, "method":"tools/call", "jsonrpc":"2.0"}',
            ("request", b'"1"', "tools/call", b'{ "a": 1 }', None, None),
        ),
        (b'{"jsonrpc":"2.0","method":"n","params":{}}', ("notification", None, "n", b"{}", None, None)),
        (b'{"jsonrpc":"2.0","id":-7,"result":null}', ("result", b"-7", None, None, b"null", None)),
        (b'{"jsonrpc":"2.0","id":"","error":{"code":1}}', ("error", b'""', None, None, None, b'{"code":1}')),
        (b'{"jsonrpc":"2.0","id":null,"error":{}}', ("error", None, None, None, None, b"{}")),
        (b'{"jsonrpc":"2.0","error":{}}', ("error", None, None, None, None, b"{}")),
    ],
)
def test_a_message_is_seen_in_its_raw_parts(message: bytes, seen: tuple[object, ...]) -> None:
    assert parts(read_rpc(message)) == seen


@pytest.mark.parametrize(("message", "code"), BROKEN)
def test_a_broken_message_says_with_which_code_to_answer(message: bytes, code: int) -> None:
    with pytest.raises(CodecError) as refused:
        read_rpc(message)
    assert refused.value.reason == code


@pytest.mark.parametrize(
    "message", [message for message, code in BROKEN if code != INVALID_PARAMS and len(message) < 200]
)
def test_the_official_model_refuses_what_we_refuse_or_guesses(message: bytes) -> None:
    # What it guesses about: it takes an integral float for an integer, the last of two names, a missing id
    # for a notification.
    guessed = (
        b'"id":1,"id":2',
        b'"id":1e3',
        b'"id":true',
        b'"id":null,"method"',
        b'"id":1.5',
        b'"id":{}',
        b'"result":1,"error"',
    )
    if any(part in message for part in guessed):
        return
    with pytest.raises(ValueError, match="validation error"):
        jsonrpc_message_adapter.validate_json(message)


def test_unknown_members_stay_in_the_body() -> None:
    rpc = read_rpc(b'{"jsonrpc":"2.0","method":"m","x":[1, 2],"params":{"y":{}}}')
    assert rpc.body.get("x") == b"[1, 2]"
    params = rpc.body.object("params")
    assert params is not None
    assert params.names() == ["y"]


@given(IDS)
def test_an_id_keeps_its_type_through_the_attribute(raw: bytes) -> None:
    assert json.loads(id_of_corr(corr_of_id(raw))) == json.loads(raw)
    assert type(json.loads(id_of_corr(corr_of_id(raw)))) is type(json.loads(raw))


def test_a_number_and_its_digits_as_text_are_two_ids() -> None:
    assert (corr_of_id(b"7"), corr_of_id(b'"7"')) == ("aTo3", "czo3")


@pytest.mark.parametrize(
    "corr", ["", "!", "aTo=", "aTp4", "eDo3", "aTotLTE=", "aTox/w==", "czr/", "aTow\u00e9", "aTowMQ=="]
)
def test_an_attribute_that_holds_no_id_is_refused(corr: str) -> None:
    with pytest.raises(CodecError):
        id_of_corr(corr)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b'{"id":5,"method":7}', b"5"),
        (b'{"jsonrpc":"1.0","id":"a"}', b'"a"'),
        (b'{"id":null}', None),
        (b'{"id":[1]}', None),
        (b"{}", None),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_the_id_of_a_broken_message_is_found_when_there_is_one(message: bytes, found: bytes | None) -> None:
    assert peek_id(message) == found


def test_what_is_written_reads_back() -> None:
    assert parts(read_rpc(write_request(b"1", 'a"b', b"{}"))) == ("request", b"1", 'a"b', b"{}", None, None)
    assert parts(read_rpc(write_request(None, "n"))) == ("notification", None, "n", None, None, None)
    assert parts(read_rpc(write_result(b'"x"', b"[1]"))) == ("result", b'"x"', None, None, b"[1]", None)
    error = b'{"code":-32700,"message":"\xc3\xa9","data":{"a":1}}'
    assert parts(read_rpc(write_error(None, PARSE_ERROR, "é", b'{"a":1}'))) == (
        "error",
        None,
        None,
        None,
        None,
        error,
    )
    assert write_error(b"2", 7, "m") == b'{"jsonrpc":"2.0","id":2,"error":{"code":7,"message":"m"}}'


@given(st.binary(max_size=120))
def test_any_bytes_give_a_message_or_a_codec_error(message: bytes) -> None:
    reason = None
    try:
        read_rpc(message)
    except CodecError as refused:
        reason = refused.reason
    assert reason in (None, PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS)
