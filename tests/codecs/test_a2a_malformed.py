"""A2A messages cut or bent at any byte: refused with the reason to answer, the place and the clause.

What is malformed in other ways stands in `golden/a2a.json`.
"""

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
        assert refused.value.clause
        assert refused.value.reason in (-32700, -32600, -32602)
