"""Edges: one folder a protocol, found by the entry point `fabric.bridges`. The contract is `fabric.edge`.

Above: nobody. Below: `fabric`'s public surface and ports, and the codecs. An edge never imports another
edge, nor `fabric.jetstream`.
"""
