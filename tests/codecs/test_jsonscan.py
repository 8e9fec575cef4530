"""The JSON scanner: it lets through what RFC 8259 and I-JSON allow, and hands out the very bytes."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.bounds import JSON_DEPTH_MAX
from fabric_codecs.core.jsonscan import JsonObject, check, compose, kind_of, quote, scan
from fabric_codecs.errors import CodecError

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)

VALID = [
    (b"{}", "object"),
    (b" \t\r\n{ } \n", "object"),
    (b"[]", "array"),
    (b'[1,"a",null,true,false,{"a":[]}]', "array"),
    (b'""', "string"),
    (b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC"', "string"),
    (b'"\\ud83d\\ude00"', "string"),
    ('"é € \U0001f600 \U0010ffff \x7f"'.encode(), "string"),
    (b'"\\u0000"', "string"),
    (b"0", "number"),
    (b"-0", "number"),
    (b"-0.0e-0", "number"),
    (b"1E+400", "number"),
    (b"9007199254740993", "number"),
    (b"true", "boolean"),
    (b"false", "boolean"),
    (b"null", "null"),
]

MALFORMED = [
    # bytes, offset, words of the fault
    (b"", 0, "ends where a value"),
    (b"  ", 2, "ends where a value"),
    (b"{", 1, "name in double quotes"),
    (b'{"a"', 4, "needs :"),
    (b'{"a":', 5, "ends where a value"),
    (b'{"a":1', 6, ", or }"),
    (b'{"a":1,', 7, "name in double quotes"),
    (b'{"a":1,}', 7, "name in double quotes"),
    (b'{"a":1 "b":2}', 7, ", or }"),
    (b"{a:1}", 1, "name in double quotes"),
    (b"{'a':1}", 1, "name in double quotes"),
    (b"{1:1}", 1, "name in double quotes"),
    (b'{"a" 1}', 5, "needs :"),
    (b"[", 1, "ends where a value"),
    (b"[1", 2, ", or ]"),
    (b"[1,]", 3, "no JSON value"),
    (b"[1 2]", 3, ", or ]"),
    (b"[,1]", 1, "no JSON value"),
    (b"]", 0, "no JSON value"),
    (b'"abc', 4, "ends inside a string"),
    (b'"a\nb"', 2, "control character"),
    (b'"\x00"', 1, "control character"),
    (b'"\\x41"', 2, "escape that JSON does not have"),
    (b'"\\', 2, "escape that JSON does not have"),
    (b'"\\u12"', 5, "four hexadecimal"),
    (b'"\\u12g4"', 5, "four hexadecimal"),
    (b'"\\ud800"', 7, "without its low half"),
    (b'"\\ud800\\n"', 7, "without its low half"),
    (b'"\\ud800\\u0041"', 13, "without its low half"),
    (b'"\\ud800\\ud800"', 13, "without its low half"),
    (b'"\\udc00"', 7, "without its high half"),
    (b'"\x80"', 1, "cannot start a UTF-8"),
    (b'"\xc0\x80"', 1, "cannot start a UTF-8"),  # overlong NUL
    (b'"\xc1\xbf"', 1, "cannot start a UTF-8"),
    (b'"\xe0\x80\x80"', 2, "not well formed"),  # overlong
    (b'"\xed\xa0\x80"', 2, "not well formed"),  # U+D800
    (b'"\xf0\x80\x80\x80"', 2, "not well formed"),  # overlong
    (b'"\xf4\x90\x80\x80"', 2, "not well formed"),  # above U+10FFFF
    (b'"\xf5\x80\x80\x80"', 1, "cannot start a UTF-8"),
    (b'"\xe2\x82"', 3, "not well formed"),
    (b'"\xe2\x82', 3, "not well formed"),
    (b"\xff", 0, "no JSON value"),
    (b"\xef\xbb\xbf{}", 0, "no JSON value"),  # a byte order mark
    ('{"a":1}'.encode("utf-16-le"), 1, "name in double quotes"),
    (b"01", 1, "leading zero"),
    (b"-", 1, "needs a digit"),
    (b"-a", 1, "needs a digit"),
    (b"+1", 0, "no JSON value"),
    (b".5", 0, "no JSON value"),
    (b"1.", 2, "needs a digit"),
    (b"1.e5", 2, "needs a digit"),
    (b"1e", 2, "needs a digit"),
    (b"1e+", 3, "needs a digit"),
    (b"0x10", 1, "follows the end"),
    (b"NaN", 0, "no JSON value"),
    (b"Infinity", 0, "no JSON value"),
    (b"nul", 3, "neither true, false nor null"),
    (b"True", 0, "no JSON value"),
    (b"trueish", 4, "follows the end"),
    (b"{}{}", 2, "follows the end"),
    (b"{} x", 3, "follows the end"),
    (b"{}\x00", 2, "follows the end"),
    (b"/**/{}", 0, "no JSON value"),
]


def refused(document: bytes) -> bool:
    try:
        check(document)
    except CodecError as fault:
        assert 0 <= fault.offset <= len(document)  # noqa: PT017 - a property of every refusal
        return True
    return False


def refused_by_the_standard_library(document: bytes) -> bool:
    def no_constant(name: str) -> None:
        raise ValueError(name)  # NaN and Infinity are no JSON

    try:
        json.loads(document.decode("utf-8"), parse_constant=no_constant)
    except ValueError:
        return True
    return False


def values(found: JsonObject) -> dict[str, object]:
    return {name: json.loads(found.get(name) or b"") for name in found.names()}


def equal(a: object, b: object) -> bool:
    """As JSON sees it: 1 is not true, and -0.0 is not 0."""
    return json.dumps(a) == json.dumps(b)


@pytest.mark.parametrize(("document", "kind"), VALID)
def test_what_rfc_8259_allows_is_let_through(document: bytes, kind: str) -> None:
    assert check(document) == kind
    json.loads(document)


@pytest.mark.parametrize(("document", "offset", "words"), MALFORMED)
def test_what_is_no_json_is_refused_with_its_place(document: bytes, offset: int, words: str) -> None:
    with pytest.raises(CodecError, match=words) as refused:
        check(document)
    assert refused.value.offset == offset
    assert refused.value.clause
    with pytest.raises(CodecError):
        scan(document)


@given(JSON)
def test_a_document_of_another_writer_is_let_through(value: object) -> None:
    for document in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()):
        assert check(document) == check(document.strip())
    assert check(msgspec.json.encode(value))


@given(st.dictionaries(TEXT, JSON, max_size=6), st.sampled_from([None, 2]), st.booleans())
def test_members_are_what_another_reader_finds(
    value: dict[str, object], indent: int | None, ascii_only: bool
) -> None:
    document = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    found = scan(document)
    assert equal(values(found), value)
    assert all(raw in document for raw in map(found.get, found.names()) if raw)
    assert found.raw == document


@settings(max_examples=300)
@given(JSON, st.data())
def test_a_damaged_document_is_judged_as_another_reader_judges_it(value: object, data: st.DataObject) -> None:
    document = bytearray(json.dumps(value, ensure_ascii=False).encode())
    place = data.draw(st.integers(0, len(document) - 1))
    document[place] = data.draw(st.integers(0, 255) | st.sampled_from(list(b'{}[]":,\\0-e')))
    assert refused(bytes(document)) == refused_by_the_standard_library(bytes(document))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_kind_or_a_codec_error(document: bytes) -> None:
    assert refused(document) in (True, False)


@pytest.mark.parametrize("bracket", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_bounded_whatever_it_is_made_of(bracket: tuple[bytes, bytes]) -> None:
    opening, closing = bracket
    deepest = opening * JSON_DEPTH_MAX + b"1" + closing * JSON_DEPTH_MAX
    assert check(deepest)
    with pytest.raises(CodecError, match="nested deeper") as refused:
        check(opening + deepest + closing)
    assert refused.value.offset == len(opening) * JSON_DEPTH_MAX
    with pytest.raises(CodecError, match="nested deeper"):
        check(opening * 500_000)


def test_depth_counts_what_is_inside_each_other_not_beside() -> None:
    assert check(b"[[],[],{}]", depth_max=2)
    with pytest.raises(CodecError, match="nested deeper"):
        check(b"[[],[],{}]", depth_max=1)


def test_a_document_of_the_limit_passes_and_one_byte_more_does_not() -> None:
    document = b'{"a":"' + b"x" * 92 + b'"}'
    assert scan(document, bytes_max=100)
    with pytest.raises(CodecError, match="101 bytes, allowed are 100"):
        scan(document + b" ", bytes_max=100)


def test_values_are_the_very_bytes_without_the_space_around_them() -> None:
    found = scan(b' { "n" :  1.50e1 , "o": { "x" : [ 1 ] }\n,"s":"\\u0041" } ')
    assert (found.get("n"), found.get("o"), found.get("s")) == (b"1.50e1", b'{ "x" : [ 1 ] }', b'"\\u0041"')
    assert found.raw == b'{ "n" :  1.50e1 , "o": { "x" : [ 1 ] }\n,"s":"\\u0041" }'
    assert found.names() == ["n", "o", "s"]
    assert (len(found), "o" in found, "q" in found, found.get("q")) == (3, True, False, None)
    assert [found.kind(name) for name in found.names()] == ["number", "object", "string"]
    assert found.offset("n") == 10


def test_text_is_decoded_only_when_asked_for() -> None:
    found = scan(b'{"a":"\\u00e9\\ud83d\\ude00\\n","b":"plain","c":"\xc3\xa9"}')
    assert [found.text(name) for name in "abcd"] == ["é\U0001f600\n", "plain", "é", None]


def test_a_name_is_the_same_however_it_is_escaped() -> None:
    assert scan(b'{"\\u0061":1}').get("a") == b"1"
    with pytest.raises(CodecError, match="'a' twice") as refused:
        scan(b'{"a":1,"\\u0061":2}')
    assert refused.value.offset == 7


def test_a_repeated_name_below_is_refused_when_somebody_looks_into_it() -> None:
    found = scan(b'{"inner":{"a":1,"a":2}}')
    assert found.get("inner") == b'{"a":1,"a":2}'
    with pytest.raises(CodecError, match="'a' twice") as refused:
        found.object("inner")
    assert refused.value.offset == 16  # in the document, not in the member


def test_a_member_of_another_type_than_asked_for_is_named() -> None:
    found = scan(b'{"a":1,"b":[]}')
    with pytest.raises(CodecError, match="'a' is of type number, string is needed") as refused:
        found.text("a")
    assert refused.value.offset == 5
    with pytest.raises(CodecError, match="'b' is of type array, object is needed"):
        found.object("b")
    assert found.object("c") is None


@pytest.mark.parametrize("document", [b"[]", b"1", b'"a"', b"null", b" true "])
def test_a_document_that_is_no_object_has_no_members(document: bytes) -> None:
    with pytest.raises(CodecError, match="no object"):
        scan(document)


@pytest.mark.parametrize(
    ("document", "name", "spliced"),
    [
        (b"{}", "a", b'{"a":9}'),
        (b"{ }", "a", b'{ "a":9}'),
        (b'{ "a" : 1 , "b":2}', "a", b'{ "a" : 9 , "b":2}'),
        (b'{"a":1, "b": {"c":[]} }', "b", b'{"a":1, "b": 9 }'),
        (b'{"a":1 }', 'q"\\', b'{"a":1 ,"q\\"\\\\":9}'),
    ],
)
def test_splicing_touches_one_member_and_no_other_byte(document: bytes, name: str, spliced: bytes) -> None:
    assert scan(document).splice(name, b"9") == spliced
    assert values(scan(spliced)) == {**json.loads(document), name: 9}


@given(st.dictionaries(TEXT, JSON, max_size=4), TEXT, JSON)
def test_splicing_is_what_assignment_is(value: dict[str, object], name: str, new: object) -> None:
    spliced = scan(json.dumps(value).encode()).splice(name, json.dumps(new).encode())
    assert equal(json.loads(spliced), {**value, name: new})


@given(TEXT)
def test_a_quoted_text_reads_back(text: str) -> None:
    assert json.loads(quote(text)) == text
    assert kind_of(quote(text)) == "string"
    assert scan(b'{"t":' + quote(text) + b"}").text("t") == text


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_a_composed_object_reads_back(value: dict[str, object]) -> None:
    composed = compose((name, json.dumps(inner).encode()) for name, inner in value.items())
    assert equal(json.loads(composed), value)


def test_a_text_that_cannot_be_utf8_is_not_quoted() -> None:
    with pytest.raises(CodecError, match="lone surrogate"):
        quote("\ud800")


def test_a_scanned_object_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError, match="scan"):
        JsonObject()
