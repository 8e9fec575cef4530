"""How much an HTTP edge takes on at once, and the words for saying no.

In: a request. Out: its body, a place among the requests in flight, or HttpRefused, which `app` answers.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fabric_bridges.http.answer import json_response

__all__ = ["HttpRefused", "Places", "read_body"]


class HttpRefused(Exception):
    """A request answered by HTTP alone, before the edge's own protocol has a say."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after_s: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})
        if retry_after_s > 0:
            self.headers["Retry-After"] = str(math.ceil(retry_after_s))
        super().__init__(f"HTTP {status}: {message}")

    def response(self) -> Response:
        """The answer: a JSON object saying what and why."""
        body = msgspec.json.encode({"error": {"code": self.code, "message": self.message}})
        return json_response(body, self.status, self.headers)


class Places:
    """The requests in flight, of which there are only so many places."""

    def __init__(self, places_max: int) -> None:
        self.places_max = places_max
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place for the duration of a request. Raises HttpRefused (503) when none is free."""
        if self.taken >= self.places_max:
            raise HttpRefused(
                503,
                "refused.full",
                f"{self.taken} requests are in flight, as many as are allowed; try again in a second",
                retry_after_s=1,
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


async def read_body(request: Request, *, bytes_max: int, timeout_s: float) -> bytes:
    """The whole body, of at most `bytes_max` bytes. Raises HttpRefused: 413 as soon as it is known to be
    longer, 408 when it is slow."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError as late:
        raise HttpRefused(
            408,
            "deadline_exceeded",
            f"the body did not arrive within {timeout_s:g} s",
            headers={"Connection": "close"},
        ) from late
    return bytes(body)


def _too_large(bytes_max: int) -> HttpRefused:
    # The rest of the body is not worth reading: the connection ends with the answer.
    return HttpRefused(
        413,
        "limit_exceeded",
        f"the body is longer than {bytes_max:,} bytes; send less at once",
        headers={"Connection": "close"},
    )
