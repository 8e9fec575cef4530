"""Republish: a PUBLISH of one version of MQTT -> the same of the other. Topic, payload, QoS and the retained flag stay.

In: a packet. Out: `Translation[bytes]`; what MQTT 3.1.1 cannot say is its properties. Above: `translate`. Below: `wire`,
`publish`.
"""

from fabric_codecs.losses cimport Translation, translation_of
from fabric_codecs.mqtt.publish cimport Parts, write_parts
from fabric_codecs.mqtt.wire cimport read_message

from fabric_codecs.losses import Loss, LossCode

cdef tuple PROPERTIES_LOST = (Loss(LossCode.NO_METADATA, "properties", "MQTT 3.1.1 has none"),)


cpdef Translation republish(bytes packet, int version):
    cdef Parts parts
    read_message(packet, version, &parts)
    if version == 5 and parts.section.size:
        return translation_of(write_parts(&parts, 4), PROPERTIES_LOST)
    return translation_of(write_parts(&parts, 4 if version == 5 else 5), ())
