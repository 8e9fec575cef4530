"""Values of the official MCP types, drawn from their fields: any message that the SDK can write.

In: a model of `mcp_types`. Out: a strategy of JSON values that it takes.
"""

import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

from helpers.json_envelopes import TEXT, json_values

__all__ = ["values_of"]

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 2**53),
    float: st.floats(0, 1),  # priorities have these bounds; progress may be any number
    bool: st.booleans(),
    dict: st.dictionaries(TEXT, json_values, max_size=2),
}


@cache
def values_of(model: Any) -> st.SearchStrategy[Any]:
    """JSON values of a model, a union or a plain type."""
    origin, inner = get_origin(model), get_args(model)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(one) for one in inner if one is not types.NoneType])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is list:
        return st.lists(values_of(inner[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(TEXT, values_of(inner[1]), max_size=2)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return st.deferred(lambda: _objects(model))
    return PLAIN.get(model, json_values)


def _objects(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    needed, free = {}, {}
    for name, field in model.model_fields.items():
        one = values_of(field.annotation)
        (needed if field.is_required() else free)[field.alias or name] = one
    return st.fixed_dictionaries(needed, optional=free)
