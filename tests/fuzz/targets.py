"""One function for each decoder: any bytes in; it returns, or it has found a bug.

What each holds its decoder to: only CodecError escapes, with an offset inside the input; fed at once equals
fed byte by byte; what was decoded can be encoded, and then reads as the same. Above: `run`.
"""

from collections.abc import Callable

from fuzz import core_targets as core
from fuzz import edge_targets as edge
from fuzz import json_targets as json
from fuzz import kafka_targets as kafka
from fuzz import translate_targets as between

__all__ = ["TARGETS"]

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(core.nats, core.nats_headers, core.envelope, core.names, core.jsonscan, core.jsonrpc),
        *(edge.mqtt_server, edge.mqtt_3_1_1, edge.mqtt_5, edge.mqtt_lift, edge.mqtt_lower),
        *(kafka.kafka_frames, kafka.kafka_requests, kafka.kafka_responses, kafka.kafka_records),
        *(kafka.kafka_compression, kafka.kafka_lift, kafka.kafka_lower),
        *(edge.mcp, edge.a2a, edge.a2a_events),
        *(json.sse, json.json_elements, json.json_lower),
        *(between.nats_operations, between.cloudevents, between.translations),
        *(json.mcp_messages, json.mcp_lift, json.a2a_messages, json.a2a_lift, json.a2a_rest),
    )
}
