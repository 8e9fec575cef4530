"""Who is at the door: the bearer token, and the browser origin.

In: a request's headers. Out: the principal's name, or HttpRefused (401, 403). The token goes to the
authenticator and nowhere else.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from fabric.errors import Unauthenticated
from fabric.ports import Authenticator
from fabric_bridges.http.limits import HttpRefused

__all__ = ["Door"]

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class Door:
    """The checks that every request of one edge passes."""

    def __init__(self, edge: str, authenticator: Authenticator, allowed_origins: Sequence[str] = ()) -> None:
        self._edge = edge
        self._authenticator = authenticator
        self._allowed_origins = frozenset(allowed_origins)

    def check_origin(self, headers: Headers) -> None:
        """Refuse a browser page of a foreign site (403): DNS rebinding would let it talk to a listener on
        this machine.

        Requests without an Origin do not come from a browser. MCP demands this check; A2A profits from it.
        """
        origin = headers.get("origin")
        if origin is None or origin in self._allowed_origins:
            return
        try:
            local = urlsplit(origin).hostname in _THIS_MACHINE
        except ValueError:  # no URL at all
            local = False
        if not local:
            raise HttpRefused(
                403,
                "permission_denied",
                f"origin {origin!r} may not call this edge; list it in allowed_origins",
            )

    def principal(self, headers: Headers) -> str:
        """The name behind the bearer token. Raises HttpRefused (401) that says how to authenticate (RFC 6750,
        section 3)."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise self._unauthorized(f'Bearer realm="fabric-{self._edge}"')
        try:
            return self._authenticator.authenticate(self._edge, token.strip())
        except Unauthenticated as wrong:
            raise self._unauthorized(f'Bearer realm="fabric-{self._edge}", error="invalid_token"') from wrong

    def _unauthorized(self, challenge: str) -> HttpRefused:
        return HttpRefused(
            401,
            "unauthenticated",
            f"the {self._edge} edge needs the header `Authorization: Bearer <token>` with a valid token",
            headers={"WWW-Authenticate": challenge},
        )
