"""A node: the process that keeps NATS, hosts the edges, mints credentials and tells where everything is.

Above: `fabric.cli` and the demo. Below: `fabric.client`, `fabric.jetstream`, and the edges by their contract.
"""
