"""Kafka: record batches v2, framing, and the requests that a reading client sends.

`wire` (frames and primitive types), `records` (record batches), `apis` (which requests in which versions),
`requests` and `responses` (frames <-> values), `lower` (Envelope -> Record). No `lift`: nothing is produced
through this listener yet.
"""
