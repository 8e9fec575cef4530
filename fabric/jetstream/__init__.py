"""NATS JetStream, and the only package that imports `nats`.

nats-py makes connections (TCP, TLS, credentials, discovery of servers); parsing, writing, acknowledged
publishing, reading and recovery are ours. Above: `fabric.client` and `fabric.node`. Below: `fabric.rules` and
the NATS codec.
"""
