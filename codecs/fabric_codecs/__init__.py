"""Codecs: bytes <-> Envelope, sans-IO.

Below everything: knows no event loop, socket, clock or randomness, and nothing of `fabric`.
One folder a protocol, each with the same roles: `wire` (bytes <-> messages), `lift` (message -> Envelope),
`lower` (Envelope -> message, with its losses). Only `CodecError` escapes a decoder.
"""
