from typing import Final

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Translation

WHOLE: Final = "application/a2a+json"

def lift(
    message: bytes,
    *,
    source: str,
    fresh_id: str,
    now_us: int,
    target: str | None = None,
    traceparent: str | None = None,
) -> Translation[Envelope]:
    """The envelope of one JSON-RPC message of A2A 1.0 or 0.3. `fresh_id` is used where the message has none.

    `target` is the subject of a request (`agent.tool`); without one it is what a mark says, or the task.
    `traceparent` is the HTTP header's. Raises CodecError whose `reason` is the code to answer.
    """
