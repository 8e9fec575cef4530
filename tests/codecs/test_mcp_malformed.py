"""MCP messages cut or bent at any byte, and beyond what headers hold: refused with the place and the clause.

What is malformed in other ways stands in `golden/mcp.json`.
"""

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
        assert refused.value.clause
        assert refused.value.reason in (-32700, -32600, -32602)


def test_members_beyond_what_headers_hold_are_refused_with_the_bound() -> None:
    with pytest.raises(CodecError, match="allowed are 16,384"):
        lifted(call({"_meta": {"k": "x" * 20_000}}))
