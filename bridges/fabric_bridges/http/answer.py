"""An answer that is JSON already, as codecs write it."""

from collections.abc import Mapping

from starlette.responses import Response

__all__ = ["json_response"]


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The whole response."""
    return Response(body, status, dict(headers or {}), media_type="application/json")
