from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss, Translation

def lower(
    envelope: Envelope,
    *,
    revision: str = "2026-07-28",
    request_id: bytes | None = None,
    progress_token: bytes | None = None,
    server_info: bytes | None = None,
    client_info: bytes | None = None,
    losses: tuple[Loss, ...] = (),
) -> Translation[bytes]:
    """The JSON-RPC message that an envelope of any origin becomes for a peer of that revision.

    `request_id` and `progress_token` are raw JSON and come before what `fabcorr` holds; `server_info` and
    `client_info` are raw objects for the modern `_meta`; `losses` are those that the caller knows of. Raises
    CodecError for an envelope that has no such message: a request without a subject, a progress without a
    number, a cancel that names no request, an error that is no JSON object.
    """
