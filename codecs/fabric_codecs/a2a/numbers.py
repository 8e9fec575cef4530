"""Numbers that a double does not hold: A2A's `data` is a protobuf Value, and its receivers keep doubles."""

import json
import re
from decimal import Decimal, InvalidOperation

__all__ = ["integers_again", "survives_doubles"]

_LONG_NUMBER = re.compile(rb"\d[\d.]{15}|\d[eE]")  # only such digits can be more than a double holds
_DOUBLE_INTEGERS = 1 << 53
_STRING_OR_WHOLE_DOUBLE = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?\d+)\.0+(?=[\s,\]}]|$)')


def survives_doubles(data: bytes) -> bool:
    """Whether every number of a JSON document keeps its value in a receiver that holds doubles."""
    if _LONG_NUMBER.search(data) is None:
        return True
    exact = True

    def integer(digits: str) -> int:
        nonlocal exact
        # The length first: Python turns no number of thousands of digits into an int.
        exact = exact and len(digits) <= 17 and abs(int(digits)) <= _DOUBLE_INTEGERS
        return 0

    def fraction(digits: str) -> float:
        nonlocal exact
        try:
            exact = exact and Decimal(digits) == Decimal(repr(float(digits)))
        except InvalidOperation:  # an exponent that not even Decimal holds
            exact = False
        return 0.0

    json.loads(data, parse_int=integer, parse_float=fraction)
    return exact


def integers_again(data: bytes) -> bytes:
    """`3.0` as `3`: senders built on protobuf hold every number as a double, and a tool's integer argument
    would be refused. The value is the same; nothing else is touched."""
    if b".0" not in data:
        return data
    return _STRING_OR_WHOLE_DOUBLE.sub(lambda found: found[1] or found[0], data)
