"""MQTT 3.1.1 (OASIS, 2014) and 5.0 (OASIS, 2019), sans-IO.

`packets` names what crosses the wire, `properties` tables MQTT 5's properties, `wire` turns bytes into
packets and `encode` packets into bytes; `lift` makes the canonical message of a PUBLISH, `lower` a PUBLISH of
the canonical message, and `republish` one of the other version. Unaware of sockets, sessions and clocks.
"""
