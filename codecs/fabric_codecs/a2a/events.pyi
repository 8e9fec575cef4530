from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss, Translation

def lower_events(
    envelope: Envelope, *, task_id: str, context_id: str, losses: tuple[Loss, ...] = ()
) -> Translation[tuple[bytes, ...]]:
    """The events of a task that one envelope of its call becomes, in their order: raw StreamResponses of A2A
    1.0. `losses` are those that the caller knows of. Raises CodecError for a kind that no caller is sent."""
