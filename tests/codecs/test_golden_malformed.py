"""Every malformed row of the golden vectors is refused: what, where, by which clause, with which code."""

from typing import Any

import pytest

from fabric_codecs.errors import CodecError
from helpers.golden import golden
from helpers.golden_readers import FILES, READERS, raw_of

ROWS = [(name, row) for name in FILES for row in golden(name)["malformed"]]


def input_size(row: dict[str, Any]) -> int:
    """How many bytes a decoder was given; a row without bytes has none."""
    if {"hex", "parts"} & row.keys() or any(row.get(key) is not None for key in ("message", "text", "body")):
        return len(raw_of(row))
    return len(row.get("body_hex") or "") // 2


def name_of(value: Any) -> str:
    return value if isinstance(value, str) else str(value.get("what") or value["says"])[:60]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=name_of)
def test_it_is_refused_as_the_row_says(name: str, row: dict[str, Any]) -> None:
    with pytest.raises(CodecError) as caught:
        READERS[name, row["read"]](row)
    error = caught.value
    wanted = (row["says"], row["offset"], row["clause"], row.get("code"))
    assert (error.what, error.offset, error.clause, error.reason) == wanted
    assert 0 <= error.offset <= input_size(row)
    assert str(error.offset) in str(error)
    assert error.clause in str(error)
