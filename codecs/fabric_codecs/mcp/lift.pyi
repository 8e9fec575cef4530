from typing import Final

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Translation

WHOLE: Final = "application/mcp+json"

def lift(
    message: bytes,
    *,
    source: str,
    fresh_id: str,
    now_us: int,
    target: str | None = None,
    revision: str | None = None,
    method: str | None = None,
) -> Translation[Envelope]:
    """The envelope of one JSON-RPC message of MCP. `fresh_id` is used unless the message has an id of ours.

    `target` is the subject of a request (`agent.tool`); without one it is the tool's name, the resource's
    URI or the task's id. `revision` is the session's; a modern request states its own. `method` says what a
    result answers, and is needed only to tell a tool's result from one that looks like it. Raises CodecError
    whose `reason` is the code to answer.
    """
