"""Records with one writer at a time: cursors, ownerships, results that are kept. Compare-and-set on the last
message of a subject.

| put                             | answer |
|---------------------------------|--------|
| nobody wrote since `expected`   | the new revision |
| somebody else wrote             | Fenced |
| our own write, its acknowledgement lost | its revision: a value names its writer, so equal is ours |
| no answer                       | Refused, outcome unknown: put the same value again |

A record that is not wanted any more is emptied, not removed: its revision goes on fencing. On a replicated
stream `get` may answer from a follower that lags; a `put` on top of it is then fenced, never lost, and one
that was fenced looks for a second before it believes that the newer value is not its own. Above:
`fabric.client`, `fabric.node`. Below: `connection`. Cost: one round trip each.
"""

import asyncio
import json
from typing import NamedTuple

from fabric.errors import Fenced, InternalError, Refused
from fabric.jetstream.connection import Connection, NoResponders
from fabric.jetstream.layout import STATE_STREAM
from fabric_codecs.nats.headers import number_in, server_value_in, status_of

__all__ = ["Record", "State"]

WRONG_LAST = (10071, 10164)
LOOKS, LOOK_AGAIN_S = 10, 0.1


class Record(NamedTuple):
    """What a subject holds, and when the server stored it (RFC 3339). Revision 0: never written."""

    value: bytes
    revision: int
    stored_at: str = ""


class State:
    """The state stream as one connection sees it; subjects are those of `fabric.subjects.state`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, subject: str, *, timeout_s: float = 5.0) -> Record:
        """The record, empty when there is none. Raises Refused("timeout", "denied", "unreachable"),
        Unreachable."""
        ask = f"$JS.API.DIRECT.GET.{STATE_STREAM}.{subject}"
        try:
            reply = await self._connection.request(ask, timeout_s=timeout_s)
        except NoResponders:
            detail = "nobody serves the state stream now"
            raise Refused("unreachable", retry_after_ms=1000, detail=detail) from None
        if status_of(reply.header) == 404:
            return Record(b"", 0)
        stored_at = server_value_in(reply.header, b"Nats-Time-Stamp").decode()
        return Record(reply.data, number_in(reply.header, b"Nats-Sequence"), stored_at)

    async def put(
        self, subject: str, value: bytes, *, expected: int, headers: str = "", timeout_s: float = 5.0
    ) -> int:
        """Write over revision `expected` (0: the first) and answer the new one. `headers` are further lines,
        each with its line end. Raises Fenced, Refused as `get`."""
        header = f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {expected}\r\n{headers}\r\n".encode()
        try:
            reply = await self._connection.request(subject, value, header=header, timeout_s=timeout_s)
        except NoResponders:
            detail = "nobody serves the state stream now"
            raise Refused("unreachable", retry_after_ms=1000, detail=detail) from None
        answer = json.loads(reply.data)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in WRONG_LAST:
            found = await self._newer(subject, expected, timeout_s)
            if found.value == value and found.revision > expected:
                return found.revision
            raise Fenced(subject, "another process wrote it meanwhile")
        raise InternalError(f"{subject}: {error.get('description')} ({error.get('err_code')})")

    async def _newer(self, subject: str, expected: int, timeout_s: float) -> Record:
        # There is another revision: a replica that does not know it yet is asked again.
        found = await self.get(subject, timeout_s=timeout_s)
        for _ in range(LOOKS):
            if found.revision > expected:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
            found = await self.get(subject, timeout_s=timeout_s)
        return found
