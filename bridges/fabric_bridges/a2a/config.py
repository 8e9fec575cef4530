"""Settings of the A2A edge: the section `[edges.a2a]`."""

from typing import Annotated

import msgspec

from fabric_bridges.http.config import Count, HttpSettings, Positive

__all__ = ["A2aSettings"]


class A2aSettings(HttpSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where A2A is spoken, and how much it remembers."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8182  # after the node's 8180 and MCP's 8181
    # How clients reach this edge when it is not how they address it: "https://a2a.example".
    public_url: str = ""

    call_deadline_s: Positive = 300.0  # A2A names none; a task that nobody ends is ended here
    tasks_max: Count = 1024  # twice the requests in flight: as many finished tasks as running ones
    tasks_bytes_max: Count = 256 << 20  # what all tasks may hold: a 1 MiB result, base64, for a fifth of them
    task_ttl_s: Positive = 900.0  # how long a finished task can be asked for; clients poll within minutes
    task_events_max: Count = 1024  # progress kept of one task: as much as the client library keeps of a call
