"""From any protocol to any other, and what it costs.

`message.translate` takes a message's bytes and gives the same message in another protocol's bytes, through
`lift` (bytes to Envelope) and `lower` (Envelope to bytes); the maps themselves stand with their protocol.
`losses` are the codes that say what did not survive; `routes.explain` tells them before any traffic; `media`
reads media types.
"""
