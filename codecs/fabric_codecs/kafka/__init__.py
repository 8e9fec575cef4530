"""Kafka: record batches v2, framing, and the requests that a reading client sends.

`wire` (frames and primitive types), `records` (record batches), `apis` (which requests in which versions),
`requests` and `responses` (frames <-> values), `lift` and `lower` (Record <-> Envelope).
"""
