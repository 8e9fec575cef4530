"""The MQTT edge: stock MQTT 3.1.1 and 5 devices publish to channels and subscribe to them, QoS 0 and 1.

`listener` (sockets), `connection` (one of them), `session` (its state, sans-IO), `intake` (device -> fabric),
`deliver` (fabric -> device), `desk` (what all connections share), `replies` (which message a device's answer
belongs to), `config` (settings). Sessions end with their connection; wills, retained messages, QoS 2 and
shared subscriptions are refused in MQTT's own words: see `session`.
"""

from fabric_bridges.mqtt.listener import edge

__all__ = ["edge"]
