"""MCP messages that are none: each is refused with the reason to answer, the place and the clause."""

import pytest

from fabric_codecs.errors import CodecError
from helpers.json_envelopes import malformed, packed
from helpers.mcp_messages import MODERN_META, call, lifted, result, rpc, text_block

VALID = [
    packed(call({"arguments": {"x": "é"}, "_meta": {**MODERN_META, "k": 1}})),
    packed(result(content=[text_block("x")], structuredContent={"a": -1.5e3})),
    packed(rpc(method="notifications/progress", params={"progressToken": 1, "progress": 0.5})),
]


@pytest.mark.parametrize("message", VALID)
def test_a_message_cut_or_bent_anywhere_is_refused_with_the_place(message: bytes) -> None:
    assert lifted(message)
    for broken in malformed(message):
        with pytest.raises(CodecError) as refused:
            lifted(broken)
        assert 0 <= refused.value.offset <= len(broken)
        assert refused.value.protocol == "mcp"
        assert refused.value.reason in (-32700, -32600, -32602)


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        (b"[]", -32600, "a batch"),
        (b"7", -32600, "no object"),
        (b"{}", -32600, "jsonrpc"),
        (b'{"jsonrpc":"1.0","id":1,"method":"m"}', -32600, "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, "method is no string"),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[]}', -32602, "params are no object"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', -32600, "the id is neither"),
        (b'{"jsonrpc":"2.0","id":null,"method":"m"}', -32600, "the id is neither"),
        (b'{"jsonrpc":"2.0","id":"%b","method":"m"}' % (b"x" * 300), -32600, "the id is neither"),
        (b'{"jsonrpc":"2.0","id":1,"id":1,"method":"m"}', -32600, "same name twice"),
        (b'{"jsonrpc":"2.0","id":1,"i\\u0064":1,"method":"m"}', -32600, "same name twice"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600, "neither a method"),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","result":{}}', -32600, "a method and a result"),
        (b'{"jsonrpc":"2.0","id":1,"result":[]}', -32600, "no object"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"y"}}', -32600, "number code"),
        (b'{"jsonrpc":"2.0","id":1,"error":7}', -32600, "the error is no object"),
        (b'{"jsonrpc":"2.0","result":{}}', -32600, "the id is neither"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}', -32602, "params.name"),
        (packed(call({"arguments": []})), -32602, "arguments is no object"),
        (packed(call({"_meta": []})), -32602, "_meta is no object"),
        (packed(call({"_meta": {"progressToken": []}})), -32602, "progressToken"),
        (packed(call({"_meta": {"io.agentfabric/conversation": 7}})), -32602, "conversation"),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
            -32600,
            "same name twice",
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\\u0000"}}',
            -32602,
            "control character",
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', -32700, "surrogate"),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xc0\xaf"}', -32700, "UTF-8"),
        (b'{"jsonrpc":"2.0","id":01,"method":"m"}', -32700, "leading zero"),
        (b'{"jsonrpc":"2.0","id":1,"method":"m"} x', -32700, "follows the end"),
        (b'{"x":' + b"[" * 64 + b"]" * 64 + b"}", -32700, "nested deeper"),
        (
            b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}',
            -32602,
            "progressToken",
        ),
        (
            b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}',
            -32602,
            "requestId",
        ),
        (packed(rpc(id=1, method="m", **{f"x{n}": 1 for n in range(64)})), -32600, "more members"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(message: bytes, reason: int, said: str) -> None:
    with pytest.raises(CodecError, match=said) as refused:
        lifted(message)
    assert refused.value.reason == reason
    assert refused.value.clause


def test_members_beyond_what_headers_hold_are_refused_with_the_bound() -> None:
    with pytest.raises(CodecError, match="allowed are 16,384"):
        lifted(call({"_meta": {"k": "x" * 20_000}}))
