"""Opening a connection, and the cluster that a client finds: ApiVersions, the two of SASL, Metadata."""

from typing import Annotated

from fabric_codecs.kafka.schema import INT32_MIN, NO_UUID, Struct, Uuid, i16, i32, i64, needs, since

__all__ = [
    "ApiVersion",
    "ApiVersionsRequest",
    "ApiVersionsResponse",
    "FinalizedFeatureKey",
    "MetadataRequest",
    "MetadataRequestTopic",
    "MetadataResponse",
    "MetadataResponseBroker",
    "MetadataResponsePartition",
    "MetadataResponseTopic",
    "SaslAuthenticateRequest",
    "SaslAuthenticateResponse",
    "SaslHandshakeRequest",
    "SaslHandshakeResponse",
    "SupportedFeatureKey",
]


class ApiVersionsRequest(Struct):
    client_software_name: Annotated[str, since(3)] = ""
    client_software_version: Annotated[str, since(3)] = ""


class ApiVersion(Struct):
    api_key: i16
    min_version: i16
    max_version: i16


class SupportedFeatureKey(Struct):
    name: str
    min_version: i16
    max_version: i16


class FinalizedFeatureKey(Struct):
    name: str
    max_version_level: i16
    min_version_level: i16


class ApiVersionsResponse(Struct):
    """With error 35 it is written in version 0, which every client reads: KIP-511."""

    error_code: i16
    api_keys: tuple[ApiVersion, ...]
    throttle_time_ms: Annotated[i32, since(1)] = 0
    supported_features: Annotated[tuple[SupportedFeatureKey, ...], since(3, tag=0)] = ()
    finalized_features_epoch: Annotated[i64, since(3, tag=1)] = -1
    finalized_features: Annotated[tuple[FinalizedFeatureKey, ...], since(3, tag=2)] = ()
    zk_migration_ready: Annotated[bool, since(3, tag=3)] = False


class SaslHandshakeRequest(Struct):
    mechanism: str


class SaslHandshakeResponse(Struct):
    error_code: i16
    mechanisms: tuple[str, ...]


class SaslAuthenticateRequest(Struct):
    auth_bytes: bytes


class SaslAuthenticateResponse(Struct):
    error_code: i16
    error_message: str | None
    auth_bytes: bytes
    session_lifetime_ms: Annotated[i64, since(1)] = 0


class MetadataRequestTopic(Struct):
    topic_id: Annotated[Uuid, since(10)] = NO_UUID
    name: Annotated[str | None, since(null_since=10)]


class MetadataRequest(Struct):
    """`topics`: None asks for all; so does an empty list in version 0, which has no null."""

    topics: Annotated[tuple[MetadataRequestTopic, ...] | None, since(null_since=1)]
    allow_auto_topic_creation: Annotated[bool, needs(4)] = True
    include_cluster_authorized_operations: Annotated[bool, needs(8, until=10)] = False
    include_topic_authorized_operations: Annotated[bool, needs(8)] = False


class MetadataResponseBroker(Struct):
    node_id: i32
    host: str
    port: i32
    rack: Annotated[str | None, since(1)] = None


class MetadataResponsePartition(Struct):
    error_code: i16
    partition_index: i32
    leader_id: i32
    leader_epoch: Annotated[i32, since(7)] = -1
    replica_nodes: tuple[i32, ...]
    isr_nodes: tuple[i32, ...]
    offline_replicas: Annotated[tuple[i32, ...], since(5)] = ()


class MetadataResponseTopic(Struct):
    error_code: i16
    name: Annotated[str | None, since(null_since=12)]
    topic_id: Annotated[Uuid, since(10)] = NO_UUID
    is_internal: Annotated[bool, since(1)] = False
    partitions: tuple[MetadataResponsePartition, ...]
    topic_authorized_operations: Annotated[i32, needs(8)] = INT32_MIN


class MetadataResponse(Struct):
    throttle_time_ms: Annotated[i32, since(3)] = 0
    brokers: tuple[MetadataResponseBroker, ...]
    cluster_id: Annotated[str | None, since(2)] = None
    controller_id: Annotated[i32, since(1)] = -1
    topics: tuple[MetadataResponseTopic, ...]
    cluster_authorized_operations: Annotated[i32, needs(8, until=10)] = INT32_MIN
    error_code: Annotated[i16, since(13)] = 0
