"""JetStream's API: one function per thing asked of it. Above: `fabric.node`, views, `fabric doctor`. Below:
`connection`."""

import json
from typing import Any

from fabric.errors import FabricError
from fabric.jetstream.connection import Connection

__all__ = ["ApiError", "api", "delete_message", "requester", "stream_info"]

NO_SUCH_MESSAGE = (10037, 10043, 10057)  # not found, beyond the end, not any more


class ApiError(FabricError):
    """JetStream said no. `number` is its error code (10059: no such stream)."""

    code = "jetstream"

    def __init__(self, subject: str, number: int, words: str) -> None:
        self.number = number
        super().__init__(f"{subject}: {words} ({number})")


async def api(
    connection: Connection, subject: str, body: object = None, *, timeout_s: float = 5.0
) -> dict[str, Any]:
    """One call of `$JS.API.<subject>`. Raises ApiError with the server's code, Refused("timeout"),
    NoResponders without JetStream."""
    payload = b"" if body is None else json.dumps(body).encode()
    reply = await connection.request(f"$JS.API.{subject}", payload, timeout_s=timeout_s)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise ApiError(
            subject, int(answer["error"].get("err_code", 0)), str(answer["error"].get("description", ""))
        )
    return answer


async def stream_info(connection: Connection, stream: str) -> dict[str, Any]:
    """The stream's configuration and state. Expensive on the server at scale: for tools, not for loops."""
    return await api(connection, f"STREAM.INFO.{stream}")


async def delete_message(connection: Connection, stream: str, sequence: int) -> None:
    """Take one message out of a stream; nothing where somebody else was quicker. Raises ApiError, Refused."""
    try:
        await api(connection, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
    except ApiError as error:
        if error.number not in NO_SUCH_MESSAGE:
            raise


def requester(connection: Connection) -> Any:
    """What `layout.apply_layout` asks with."""

    async def request(subject: str, body: bytes) -> bytes:
        return (await connection.request(subject, body, timeout_s=10.0)).data

    return request
