from typing import Final

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Translation
from fabric_codecs.mqtt.publish import Publish

FAB_LOSS: Final = "fab-loss"
FAB_NATIVE: Final = "fab-native"

def lift(
    publish: Publish, *, version: int, fresh_id: str, source: str, now_us: int, trusted: bool = False
) -> Translation[Envelope]:
    """The envelope of one PUBLISH; `fresh_id` is used unless the device set `id`. `version` is 4 (3.1.1) or
    5. With `trusted` the sender may also say what a device may not, its source for one: for packets that
    `lower` made.

    Raises CodecError with the reason code for the PUBACK: 0x90 for a topic no channel can have, 0x99 for a
    payload that is not the UTF-8 that its Payload Format Indicator promises, 0x97 for more than 64 KiB
    beside the payload.
    """
