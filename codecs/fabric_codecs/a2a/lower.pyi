from fabric_codecs.envelope import Envelope
from fabric_codecs.translate.losses import Loss, Translation

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

    `request_id` is raw JSON and comes before what `fabcorr` holds; `task_id` and `context_id` come before the
    subject and the conversation; `losses` are those that the caller knows of. Raises CodecError for an
    envelope that has no such message: a cancel that names no task.
    """
