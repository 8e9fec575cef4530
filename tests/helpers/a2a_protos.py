"""Messages of A2A's protobuf schema, drawn from its descriptors: any message that the official SDK can write.

In: a class of `a2a_pb2`. Out: a strategy of its messages; required fields are always set.
"""

import base64
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

__all__ = ["protos_of"]

WORDS = st.text("abü%7 ", min_size=1, max_size=6)
STRUCTS = st.dictionaries(WORDS, st.integers(-9, 9) | WORDS | st.booleans() | st.none(), max_size=2)
TIMES = st.sampled_from(["2026-11-21T04:00:00Z", "2026-11-21T04:00:00.500Z"])
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: WORDS,
    FieldDescriptor.CPPTYPE_INT32: st.integers(0, 99),
    FieldDescriptor.CPPTYPE_INT64: st.integers(0, 99),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.Struct": STRUCTS,
    "google.protobuf.Value": STRUCTS | WORDS | st.integers(-9, 9) | st.none(),
    "google.protobuf.Timestamp": TIMES,
}
DEPTH_MAX = 4


def protos_of(kind: Any) -> st.SearchStrategy[Any]:
    """Messages of a class, made of the JSON that says them."""
    return _objects(kind.DESCRIPTOR, 0).map(lambda said: json_format.ParseDict(said, kind()))


def _is_required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


@st.composite
def _objects(draw: Any, descriptor: Descriptor, depth: int) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for group in descriptor.oneofs:
        if len(group.fields) > 1:
            one = draw(st.sampled_from(list(group.fields)))
            said[one.json_name] = draw(_values(one, depth))
    for field in descriptor.fields:
        alone = field.containing_oneof is None or len(field.containing_oneof.fields) == 1
        if alone and (_is_required(field) or (depth < DEPTH_MAX and draw(st.booleans()))):
            said[field.json_name] = draw(_values(field, depth))
    return said


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return st.dictionaries(WORDS, _one(kind.fields_by_name["value"], depth), max_size=1)
    one = _one(field, depth)
    return st.lists(one, min_size=int(_is_required(field)), max_size=2) if field.is_repeated else one


def _one(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        known = KNOWN.get(field.message_type.full_name)
        return known if known is not None else _objects(field.message_type, depth + 1)
    if field.enum_type is not None:
        return st.sampled_from([value.name for value in field.enum_type.values if value.number])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=6).map(lambda raw: base64.b64encode(raw).decode())
    return SCALARS[field.cpp_type]
