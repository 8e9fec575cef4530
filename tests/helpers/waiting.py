"""Waiting for what has no event of its own, always with a bound. The one place in the tests that polls."""

import asyncio
from collections.abc import Callable

__all__ = ["BOUND_S", "until"]

BOUND_S = 20.0  # of any one wait: far longer than it takes on a busy machine
POLL_S = 0.005


async def until(condition: Callable[[], object], what: str, bound_s: float = BOUND_S) -> None:
    """Until the condition is true. Raises TimeoutError that says what did not happen."""
    deadline = asyncio.get_running_loop().time() + bound_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not within {bound_s:g} s: {what}")
        await asyncio.sleep(POLL_S)
