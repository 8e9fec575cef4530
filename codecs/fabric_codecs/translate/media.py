"""Media types: what an envelope's data is, by its own word or by its looks."""

from fabric_codecs.core.mediatype import guess
from fabric_codecs.envelope import Envelope

__all__ = ["guess", "is_json", "media_type_of"]

JSON = "application/json"


def media_type_of(envelope: Envelope) -> str:
    """What an envelope says of its data, in lower case and without parameters; JSON when it says nothing."""
    return (envelope.get("datacontenttype") or JSON).partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Whether data of that type is a JSON document (RFC 6839, 3.1)."""
    return media_type == JSON or media_type.endswith("+json")
