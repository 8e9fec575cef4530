"""Kafka: the requests and responses of servers and clients, record batches, and records as envelopes.

The protocol: `wire` (a stream -> frames), `frames` (frames <-> messages), `messages` (every message,
declared by `schema`, read and written by `plan`), `apis` (what the edge serves). The log: `records` and
`builder` (record batches v2, read and written), `compression`. The fabric: `lift`, `lower` (envelopes).
"""
