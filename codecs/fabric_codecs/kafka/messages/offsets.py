"""What a consumer group has read: OffsetCommit, OffsetFetch."""

from typing import Annotated

from fabric_codecs.kafka.schema import NO_UUID, Struct, Uuid, i16, i32, i64, needs, since, until

__all__ = [
    "OffsetCommitRequest",
    "OffsetCommitRequestPartition",
    "OffsetCommitRequestTopic",
    "OffsetCommitResponse",
    "OffsetCommitResponsePartition",
    "OffsetCommitResponseTopic",
    "OffsetFetchRequest",
    "OffsetFetchRequestGroup",
    "OffsetFetchRequestTopic",
    "OffsetFetchRequestTopics",
    "OffsetFetchResponse",
    "OffsetFetchResponseGroup",
    "OffsetFetchResponsePartition",
    "OffsetFetchResponsePartitions",
    "OffsetFetchResponseTopic",
    "OffsetFetchResponseTopics",
]


class OffsetCommitRequestPartition(Struct):
    """`committed_metadata`: the client's own words, handed back as they are."""

    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: Annotated[i32, since(6)] = -1
    committed_metadata: str | None


class OffsetCommitRequestTopic(Struct):
    name: Annotated[str, until(9)] = ""
    topic_id: Annotated[Uuid, since(10)] = NO_UUID
    partitions: tuple[OffsetCommitRequestPartition, ...]


class OffsetCommitRequest(Struct):
    group_id: str
    generation_id_or_member_epoch: i32 = -1
    member_id: str
    group_instance_id: Annotated[str | None, needs(7)] = None
    retention_time_ms: Annotated[i64, until(4)] = -1
    topics: tuple[OffsetCommitRequestTopic, ...]


class OffsetCommitResponsePartition(Struct):
    partition_index: i32
    error_code: i16


class OffsetCommitResponseTopic(Struct):
    name: Annotated[str, until(9)] = ""
    topic_id: Annotated[Uuid, since(10)] = NO_UUID
    partitions: tuple[OffsetCommitResponsePartition, ...]


class OffsetCommitResponse(Struct):
    throttle_time_ms: Annotated[i32, since(3)] = 0
    topics: tuple[OffsetCommitResponseTopic, ...]


class OffsetFetchRequestTopic(Struct):
    name: str
    partition_indexes: tuple[i32, ...]


class OffsetFetchRequestTopics(Struct):
    name: Annotated[str, until(9)] = ""
    topic_id: Annotated[Uuid, since(10)] = NO_UUID
    partition_indexes: tuple[i32, ...]


class OffsetFetchRequestGroup(Struct):
    group_id: str
    member_id: Annotated[str | None, since(9)] = None
    member_epoch: Annotated[i32, since(9)] = -1
    topics: tuple[OffsetFetchRequestTopics, ...] | None


class OffsetFetchRequest(Struct):
    """`topics`: None asks for all that the group has read."""

    group_id: Annotated[str, needs(until=7)] = ""
    topics: Annotated[tuple[OffsetFetchRequestTopic, ...] | None, needs(until=7, null_since=2)] = ()
    groups: Annotated[tuple[OffsetFetchRequestGroup, ...], needs(8)] = ()
    require_stable: Annotated[bool, needs(7)] = False


class OffsetFetchResponsePartition(Struct):
    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: Annotated[i32, since(5)] = -1
    metadata: str | None
    error_code: i16


class OffsetFetchResponseTopic(Struct):
    name: str
    partitions: tuple[OffsetFetchResponsePartition, ...]


class OffsetFetchResponsePartitions(Struct):
    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: i32 = -1
    metadata: str | None
    error_code: i16


class OffsetFetchResponseTopics(Struct):
    name: Annotated[str, until(9)] = ""
    topic_id: Annotated[Uuid, since(10)] = NO_UUID
    partitions: tuple[OffsetFetchResponsePartitions, ...]


class OffsetFetchResponseGroup(Struct):
    group_id: str
    topics: tuple[OffsetFetchResponseTopics, ...]
    error_code: i16 = 0


class OffsetFetchResponse(Struct):
    throttle_time_ms: Annotated[i32, since(3)] = 0
    topics: Annotated[tuple[OffsetFetchResponseTopic, ...], needs(until=7)] = ()
    error_code: Annotated[i16, since(2, until=7)] = 0
    groups: Annotated[tuple[OffsetFetchResponseGroup, ...], needs(8)] = ()
