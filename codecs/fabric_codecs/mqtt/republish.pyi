from fabric_codecs.losses import Translation

def republish(packet: bytes, version: int) -> Translation[bytes]:
    """The PUBLISH of MQTT `version` (4 is 3.1.1) as one of the other version. Raises CodecError for bytes
    that are no PUBLISH with a topic of its own."""
