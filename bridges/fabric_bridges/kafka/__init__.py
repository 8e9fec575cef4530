"""The Kafka edge: stock Kafka clients read channels, patterns and the journal as topics, without a cluster.

`listener` (the socket), `session` (one connection's requests and answers), `deliver` (records for a Fetch),
`catalogue` (topics by name), `config` (settings). Reading only, with explicit assignment:
`fabric_codecs.kafka.apis` is the list of what is served.
"""

from fabric_bridges.kafka.listener import edge

__all__ = ["edge"]
