from fabric_codecs.mqtt.packets import Packet

def encode(packet: Packet, version: int) -> bytes:
    """One packet as the bytes of MQTT 3.1.1 (`version` 4) or 5. Raises CodecError when that version cannot
    say it."""
