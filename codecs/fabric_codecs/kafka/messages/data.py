"""Records and where they stand: Produce, Fetch, ListOffsets, InitProducerId."""

from typing import Annotated

from fabric_codecs.kafka.schema import (
    INT32_MAX,
    INT64_MAX,
    NO_UUID,
    Struct,
    Uuid,
    i8,
    i16,
    i32,
    i64,
    needs,
    since,
    until,
)

__all__ = [
    "AbortedTransaction",
    "BatchIndexAndErrorMessage",
    "EpochEndOffset",
    "FetchPartition",
    "FetchRequest",
    "FetchResponse",
    "FetchTopic",
    "FetchableTopicResponse",
    "ForgottenTopic",
    "InitProducerIdRequest",
    "InitProducerIdResponse",
    "LeaderIdAndEpoch",
    "ListOffsetsPartition",
    "ListOffsetsPartitionResponse",
    "ListOffsetsRequest",
    "ListOffsetsResponse",
    "ListOffsetsTopic",
    "ListOffsetsTopicResponse",
    "NodeEndpoint",
    "PartitionData",
    "PartitionProduceData",
    "PartitionProduceResponse",
    "ProduceRequest",
    "ProduceResponse",
    "ReplicaState",
    "SnapshotId",
    "TopicProduceData",
    "TopicProduceResponse",
]


class PartitionProduceData(Struct):
    """`records`: one record batch."""

    index: i32
    records: bytes | None


class TopicProduceData(Struct):
    name: Annotated[str, until(12)] = ""
    topic_id: Annotated[Uuid, since(13)] = NO_UUID
    partition_data: tuple[PartitionProduceData, ...]


class ProduceRequest(Struct):
    """With `acks` 0 there is no answer."""

    transactional_id: str | None = None
    acks: i16
    timeout_ms: i32
    topic_data: tuple[TopicProduceData, ...]


class BatchIndexAndErrorMessage(Struct):
    batch_index: i32
    batch_index_error_message: str | None = None


class LeaderIdAndEpoch(Struct):
    leader_id: i32 = -1
    leader_epoch: i32 = -1


class PartitionProduceResponse(Struct):
    index: i32
    error_code: i16
    base_offset: i64
    log_append_time_ms: i64 = -1
    log_start_offset: Annotated[i64, since(5)] = -1
    record_errors: Annotated[tuple[BatchIndexAndErrorMessage, ...], since(8)] = ()
    error_message: Annotated[str | None, since(8)] = None
    current_leader: Annotated[LeaderIdAndEpoch, needs(10, tag=0)] = LeaderIdAndEpoch()


class TopicProduceResponse(Struct):
    name: Annotated[str, until(12)] = ""
    topic_id: Annotated[Uuid, since(13)] = NO_UUID
    partition_responses: tuple[PartitionProduceResponse, ...]


class NodeEndpoint(Struct):
    node_id: i32
    host: str
    port: i32
    rack: str | None = None


class ProduceResponse(Struct):
    responses: tuple[TopicProduceResponse, ...]
    throttle_time_ms: i32 = 0
    node_endpoints: Annotated[tuple[NodeEndpoint, ...], needs(10, tag=0)] = ()


class ReplicaState(Struct):
    replica_id: i32 = -1
    replica_epoch: i64 = -1


class FetchPartition(Struct):
    """`partition_max_bytes` is a wish: the first batch comes whole."""

    partition: i32
    current_leader_epoch: Annotated[i32, since(9)] = -1
    fetch_offset: i64
    last_fetched_epoch: Annotated[i32, needs(12)] = -1
    log_start_offset: Annotated[i64, since(5)] = -1
    partition_max_bytes: i32
    replica_directory_id: Annotated[Uuid, since(17, tag=0)] = NO_UUID
    high_watermark: Annotated[i64, since(18, tag=1)] = INT64_MAX


class FetchTopic(Struct):
    topic: Annotated[str, until(12)] = ""
    topic_id: Annotated[Uuid, since(13)] = NO_UUID
    partitions: tuple[FetchPartition, ...]


class ForgottenTopic(Struct):
    topic: Annotated[str, until(12)] = ""
    topic_id: Annotated[Uuid, since(13)] = NO_UUID
    partitions: tuple[i32, ...]


class FetchRequest(Struct):
    """Answer when `min_bytes` are there or `max_wait_ms` are over, with about `max_bytes` at most."""

    cluster_id: Annotated[str | None, since(12, tag=0)] = None
    replica_id: Annotated[i32, needs(until=14)] = -1
    replica_state: Annotated[ReplicaState, needs(15, tag=1)] = ReplicaState()
    max_wait_ms: i32
    min_bytes: i32
    max_bytes: i32 = INT32_MAX
    isolation_level: i8 = 0
    session_id: Annotated[i32, since(7)] = 0
    session_epoch: Annotated[i32, since(7)] = -1
    topics: tuple[FetchTopic, ...]
    forgotten_topics_data: Annotated[tuple[ForgottenTopic, ...], needs(7)] = ()
    rack_id: Annotated[str, since(11)] = ""


class EpochEndOffset(Struct):
    epoch: i32 = -1
    end_offset: i64 = -1


class SnapshotId(Struct):
    end_offset: i64 = -1
    epoch: i32 = -1


class AbortedTransaction(Struct):
    producer_id: i64
    first_offset: i64


class PartitionData(Struct):
    """`records`: record batches, one after the other, as they are stored. `last_stable_offset` is the end for
    a reader of committed records alone."""

    partition_index: i32
    error_code: i16
    high_watermark: i64
    last_stable_offset: i64 = -1
    log_start_offset: Annotated[i64, since(5)] = -1
    diverging_epoch: Annotated[EpochEndOffset, needs(12, tag=0)] = EpochEndOffset()
    current_leader: Annotated[LeaderIdAndEpoch, needs(12, tag=1)] = LeaderIdAndEpoch()
    snapshot_id: Annotated[SnapshotId, needs(12, tag=2)] = SnapshotId()
    aborted_transactions: tuple[AbortedTransaction, ...] | None
    preferred_read_replica: Annotated[i32, needs(11)] = -1
    records: bytes | None


class FetchableTopicResponse(Struct):
    topic: Annotated[str, until(12)] = ""
    topic_id: Annotated[Uuid, since(13)] = NO_UUID
    partitions: tuple[PartitionData, ...]


class FetchResponse(Struct):
    """Session id 0: no fetch session, send every partition every time."""

    throttle_time_ms: i32
    error_code: Annotated[i16, since(7)] = 0
    session_id: Annotated[i32, needs(7)] = 0
    responses: tuple[FetchableTopicResponse, ...]
    node_endpoints: Annotated[tuple[NodeEndpoint, ...], needs(16, tag=0)] = ()


class ListOffsetsPartition(Struct):
    """`timestamp` -1 asks for the end of the log, -2 for its beginning."""

    partition_index: i32
    current_leader_epoch: Annotated[i32, since(4)] = -1
    timestamp: i64


class ListOffsetsTopic(Struct):
    name: str
    partitions: tuple[ListOffsetsPartition, ...]


class ListOffsetsRequest(Struct):
    replica_id: i32
    isolation_level: Annotated[i8, needs(2)] = 0
    topics: tuple[ListOffsetsTopic, ...]
    timeout_ms: Annotated[i32, since(10)] = 0


class ListOffsetsPartitionResponse(Struct):
    partition_index: i32
    error_code: i16
    timestamp: i64 = -1
    offset: i64 = -1
    leader_epoch: Annotated[i32, needs(4)] = -1


class ListOffsetsTopicResponse(Struct):
    name: str
    partitions: tuple[ListOffsetsPartitionResponse, ...]


class ListOffsetsResponse(Struct):
    throttle_time_ms: Annotated[i32, since(2)] = 0
    topics: tuple[ListOffsetsTopicResponse, ...]


class InitProducerIdRequest(Struct):
    transactional_id: str | None
    transaction_timeout_ms: i32
    producer_id: Annotated[i64, needs(3)] = -1
    producer_epoch: Annotated[i16, needs(3)] = -1
    enable_2pc: Annotated[bool, needs(6)] = False
    keep_prepared_txn: Annotated[bool, needs(6)] = False


class InitProducerIdResponse(Struct):
    throttle_time_ms: i32
    error_code: i16
    producer_id: i64 = -1
    producer_epoch: i16
    ongoing_txn_producer_id: Annotated[i64, needs(6)] = -1
    ongoing_txn_producer_epoch: Annotated[i16, needs(6)] = -1
