from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss, Translation

def lower(
    envelope: Envelope,
    *,
    version: str = "1.0",
    request_id: bytes | None = None,
    task_id: str | None = None,
    context_id: str | None = None,
    losses: tuple[Loss, ...] = (),
) -> Translation[bytes]:
    """The JSON-RPC message that an envelope of any origin becomes for a peer of that version (1.0 or 0.3).

    `request_id` is raw JSON and comes before what `fabcorr` holds; `context_id` comes before the
    conversation, and `task_id` before the subject in an update or a cancel; a response says it, a request
    does not. `losses` are those that the caller knows of. Raises CodecError for an envelope that has no such
    message: a cancel that names no task.
    """
