"""Settings that every HTTP edge has; an edge's own struct extends them and states its port."""

from typing import Annotated

import msgspec

from fabric_codecs.bounds import JSON_BYTES_MAX

__all__ = ["HttpSettings"]

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an HTTP edge listens and how much it takes on."""

    host: str = "127.0.0.1"  # not reachable from outside unless somebody says so
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0  # 0: any free one

    body_bytes_max: Count = JSON_BYTES_MAX  # of one request
    body_timeout_s: Positive = 30.0  # for one request's body to arrive: nginx allows 60 s between two reads
    requests_in_flight_max: Count = 512  # streams included; each is one task and one call
    connections_max: Count = 1024  # half of the 2,048 descriptors many systems allow a process
    head_timeout_s: Positive = 10.0  # for a request's head; a connection that says nothing is closed after it
    idle_timeout_s: Annotated[int, msgspec.Meta(ge=1)] = 30  # between two requests
    stall_timeout_s: Positive = 20.0  # for a peer that does not read its response, then the connection is cut
    keep_alive_s: Positive = 15.0  # a comment on a silent stream, so that proxies (60 s in nginx) keep it
    # Browser origins beside this machine's own, such as "https://app.example".
    allowed_origins: list[str] = []

    @property
    def url(self) -> str:
        """Where it will listen; port 0 says that nobody knows yet."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
