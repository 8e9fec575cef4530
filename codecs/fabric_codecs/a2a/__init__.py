"""A2A 1.0, its JSON-RPC binding: bytes <-> messages <-> Envelope.

`model` holds the shapes, `wire` reads requests and writes answers, `faults` names what can go wrong, `lift`
makes a call of a message, `lower` makes task events of a call's envelopes, `card` writes an agent's card.
Unaware of HTTP, of tasks' lives and of agents: that is the edge's business.
"""
