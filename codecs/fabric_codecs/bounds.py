"""How much a decoder accepts before it refuses: one table, each limit with its reason.

A limit that a peer may change (a listener's `max_packet_bytes`) is a parameter of the decoder with its
default here.
"""

__all__ = [
    "CHANNEL_BYTES_MAX",
    "CHANNEL_LEVELS_MAX",
    "CONVERSATION_CHARS_MAX",
    "HEADER_BYTES_MAX",
    "ID_CHARS_MAX",
    "JSONRPC_BATCH_MAX",
    "JSONRPC_ID_BYTES_MAX",
    "JSON_BYTES_MAX",
    "JSON_DEPTH_MAX",
    "KAFKA_ELEMENTS_MAX",
    "KAFKA_FRAME_BYTES_MAX",
    "KAFKA_HEADERS_MAX",
    "KAFKA_INFLATED_BYTES_FREE",
    "KAFKA_INFLATED_BYTES_MAX",
    "KAFKA_INFLATION_MAX",
    "KAFKA_NAMED_MAX",
    "KAFKA_RECORDS_MAX",
    "KAFKA_TOPIC_CHARS_MAX",
    "MCP_META_BYTES_MAX",
    "MQTT_CONNECT_BYTES_MAX",
    "MQTT_FILTERS_MAX",
    "MQTT_PACKET_BYTES_MAX",
    "MQTT_USER_PROPERTIES_MAX",
    "NATS_CONTROL_LINE_MAX",
    "PAYLOAD_BYTES_MAX",
    "REST_PATH_BYTES_MAX",
    "TOKEN_BYTES_MAX",
]

PAYLOAD_BYTES_MAX = 1 << 20  # nats-server's own default max_payload
HEADER_BYTES_MAX = 64 << 10  # CloudEvents: intermediaries forward events up to 64 KiB; nothing needs more
NATS_CONTROL_LINE_MAX = 4096  # nats-server's default max_control_line

ID_CHARS_MAX = 64  # room for a UUID with a prefix; also nats-server's limit on a batch id
CONVERSATION_CHARS_MAX = 256  # a correlation, cause, key or count of hops: four UUIDs with separators
TOKEN_BYTES_MAX = 256  # one encoded level, agent, queue or source name
CHANNEL_LEVELS_MAX = 16  # deeper than any topic tree in use; keeps subjects inside the control line
CHANNEL_BYTES_MAX = 1024  # 16 levels of 256 bytes exceed the server's control line (tried on 2.15.1)

JSON_BYTES_MAX = 4 << 20  # the limit of the official MCP SDK's HTTP listener
JSONRPC_BATCH_MAX = 128  # messages in one batch; each may start work
JSONRPC_ID_BYTES_MAX = 256  # a UUID has 36; an id becomes an attribute, and attributes share HEADER_BYTES_MAX
JSON_DEPTH_MAX = 64  # JSON Schema and A2A parts stay below 20; a scanner without a limit is an attack

MQTT_CONNECT_BYTES_MAX = 16 << 10  # from a peer not yet known; a signed token is 1 to 4 KiB
MQTT_FILTERS_MAX = 256  # in one SUBSCRIBE; AWS IoT allows 8, HiveMQ and EMQX limit by packet size
MCP_META_BYTES_MAX = (
    16 << 10
)  # unknown `_meta` members ride in one header as base64: a quarter of HEADER_BYTES_MAX

MQTT_PACKET_BYTES_MAX = PAYLOAD_BYTES_MAX + (64 << 10)  # the payload we can store, plus topic and properties
MQTT_USER_PROPERTIES_MAX = 64  # the specification sets none; EMQX and HiveMQ limit by bytes only

KAFKA_FRAME_BYTES_MAX = (
    8 << 20
)  # one request; Kafka's socket.request.max.bytes is 100 MiB, our records are <= 1 MiB
KAFKA_RECORDS_MAX = 100_000  # records in one batch; librdkafka's batch.num.messages defaults to 10,000
KAFKA_INFLATED_BYTES_MAX = 16 << 20  # one batch: Kafka takes 1 MiB compressed, JSON comes to ten times that
KAFKA_INFLATION_MAX = 100  # times what came in: gzip can do 1,000, zstd more; telemetry stays below 30
KAFKA_INFLATED_BYTES_FREE = 2 << 20  # up to here at any ratio: one record of 1 MiB may well be all zeros
KAFKA_HEADERS_MAX = 256  # headers of one record
KAFKA_NAMED_MAX = 1024  # topics or partitions that one request may name; each costs the server a look
KAFKA_ELEMENTS_MAX = 100_000  # of any array in a response: the partitions of a large cluster in one Metadata
KAFKA_TOPIC_CHARS_MAX = 249  # Kafka's own limit (a file name with a partition suffix)

REST_PATH_BYTES_MAX = 8192  # path and query of a request; what HTTP servers take by default (RFC 9110, 4.1)
