"""A2A messages that are none: each is refused with the reason to answer and the place."""

import pytest

from fabric_codecs.errors import CodecError
from helpers.a2a_messages import lifted, old, rpc, sent, status
from helpers.json_envelopes import malformed, packed

VALID = [
    packed(sent({"data": {"x": "é", "n": -1.5e3}}, metadata={"k": 1})),
    packed(old({"kind": "text", "text": "x"})),
    packed(rpc(result={"statusUpdate": status("TASK_STATE_FAILED")})),
]


@pytest.mark.parametrize("message", VALID)
def test_a_message_cut_or_bent_anywhere_is_refused_with_the_place(message: bytes) -> None:
    assert lifted(message)
    for broken in malformed(message):
        with pytest.raises(CodecError) as refused:
            lifted(broken)
        assert 0 <= refused.value.offset <= len(broken)
        assert refused.value.reason in (-32700, -32600, -32602)


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        (b"[]", -32600, "a batch"),
        (b'{"jsonrpc":"2.0","method":"SendMessage","params":{}}', -32600, "no notifications"),
        (rpc(method="SendMessage"), -32602, "message is missing"),
        (rpc(method="SendMessage", params={"message": []}), -32602, "message is missing"),
        (rpc(method="GetTask", params={"message": {}}), -32602, "sends none"),
        (rpc(method="SendMessage", params={"message": {"parts": [{}]}}), -32602, "messageId"),
        (sent({"text": "x"}, messageId=""), -32602, "messageId"),
        (sent({"text": "x"}, messageId="x" * 65), -32602, "allowed are 64"),
        (sent({"text": "x"}, messageId="a\nb"), -32602, "control character"),
        (sent(), -32602, "parts is missing or empty"),
        (
            rpc(method="SendMessage", params={"message": {"messageId": "m", "parts": {}}}),
            -32602,
            "parts is missing",
        ),
        (sent({"raw": "???"}), -32602, "no base64"),
        (sent({"text": "x"}, metadata={"io.agentfabric/conversation": ""}), -32602, "conversation"),
        (rpc(error={"code": "x", "message": "y"}), -32600, "number code"),
        (rpc(error={"code": 1}), -32600, "number code"),
        (rpc(method="m", result={}), -32600, "a method and a result"),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","messageId":"n"}}}',
            -32600,
            "same name twice",
        ),
        (b'{"jsonrpc":"2.0","id":1,"result":{"task":{"id":7}}}', -32600, "type number"),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}', -32700, "UTF-8"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(message: object, reason: int, said: str) -> None:
    with pytest.raises(CodecError, match=said) as refused:
        lifted(message)
    assert refused.value.reason == reason
