"""For people and their tools: topics, configurations and groups, made, shown and deleted."""

from typing import Annotated

from fabric_codecs.kafka.schema import INT32_MIN, NO_UUID, Struct, Uuid, i8, i16, i32, needs, since, until

__all__ = [
    "CreatableReplicaAssignment",
    "CreatableTopic",
    "CreatableTopicConfig",
    "CreatableTopicConfigs",
    "CreatableTopicResult",
    "CreateTopicsRequest",
    "CreateTopicsResponse",
    "DeletableGroupResult",
    "DeletableTopicResult",
    "DeleteGroupsRequest",
    "DeleteGroupsResponse",
    "DeleteTopicState",
    "DeleteTopicsRequest",
    "DeleteTopicsResponse",
    "DescribeConfigsRequest",
    "DescribeConfigsResource",
    "DescribeConfigsResourceResult",
    "DescribeConfigsResponse",
    "DescribeConfigsResult",
    "DescribeConfigsSynonym",
    "DescribeGroupsRequest",
    "DescribeGroupsResponse",
    "DescribedGroup",
    "DescribedGroupMember",
    "ListGroupsRequest",
    "ListGroupsResponse",
    "ListedGroup",
]


class CreatableReplicaAssignment(Struct):
    partition_index: i32
    broker_ids: tuple[i32, ...]


class CreatableTopicConfig(Struct):
    name: str
    value: str | None


class CreatableTopic(Struct):
    name: str
    num_partitions: i32
    replication_factor: i16
    assignments: tuple[CreatableReplicaAssignment, ...]
    configs: tuple[CreatableTopicConfig, ...]


class CreateTopicsRequest(Struct):
    topics: tuple[CreatableTopic, ...]
    timeout_ms: i32 = 60000
    validate_only: bool = False


class CreatableTopicConfigs(Struct):
    name: str
    value: str | None
    read_only: bool
    config_source: i8 = -1
    is_sensitive: bool


class CreatableTopicResult(Struct):
    name: str
    topic_id: Annotated[Uuid, since(7)] = NO_UUID
    error_code: i16
    error_message: str | None
    topic_config_error_code: Annotated[i16, since(5, tag=0)] = 0
    num_partitions: Annotated[i32, since(5)] = -1
    replication_factor: Annotated[i16, since(5)] = -1
    configs: Annotated[tuple[CreatableTopicConfigs, ...] | None, since(5)] = ()


class CreateTopicsResponse(Struct):
    throttle_time_ms: i32
    topics: tuple[CreatableTopicResult, ...]


class DeleteTopicState(Struct):
    name: str | None = None
    topic_id: Uuid


class DeleteTopicsRequest(Struct):
    topics: Annotated[tuple[DeleteTopicState, ...], needs(6)] = ()
    topic_names: Annotated[tuple[str, ...], until(5)] = ()
    timeout_ms: i32


class DeletableTopicResult(Struct):
    name: Annotated[str | None, since(null_since=6)]
    topic_id: Annotated[Uuid, since(6)] = NO_UUID
    error_code: i16
    error_message: Annotated[str | None, since(5)] = None


class DeleteTopicsResponse(Struct):
    throttle_time_ms: i32
    responses: tuple[DeletableTopicResult, ...]


class DescribeConfigsResource(Struct):
    resource_type: i8
    resource_name: str
    configuration_keys: tuple[str, ...] | None


class DescribeConfigsRequest(Struct):
    resources: tuple[DescribeConfigsResource, ...]
    include_synonyms: bool = False
    include_documentation: Annotated[bool, needs(3)] = False


class DescribeConfigsSynonym(Struct):
    name: str
    value: str | None
    source: i8


class DescribeConfigsResourceResult(Struct):
    name: str
    value: str | None
    read_only: bool
    config_source: i8 = -1
    is_sensitive: bool
    synonyms: tuple[DescribeConfigsSynonym, ...]
    config_type: Annotated[i8, since(3)] = 0
    documentation: Annotated[str | None, since(3)] = ""


class DescribeConfigsResult(Struct):
    error_code: i16
    error_message: str | None
    resource_type: i8
    resource_name: str
    configs: tuple[DescribeConfigsResourceResult, ...]


class DescribeConfigsResponse(Struct):
    throttle_time_ms: i32
    results: tuple[DescribeConfigsResult, ...]


class DescribeGroupsRequest(Struct):
    groups: tuple[str, ...]
    include_authorized_operations: Annotated[bool, needs(3)] = False


class DescribedGroupMember(Struct):
    member_id: str
    group_instance_id: Annotated[str | None, since(4)] = None
    client_id: str
    client_host: str
    member_metadata: bytes
    member_assignment: bytes


class DescribedGroup(Struct):
    error_code: i16
    error_message: Annotated[str | None, needs(6)] = None
    group_id: str
    group_state: str
    protocol_type: str
    protocol_data: str
    members: tuple[DescribedGroupMember, ...]
    authorized_operations: Annotated[i32, needs(3)] = INT32_MIN


class DescribeGroupsResponse(Struct):
    throttle_time_ms: Annotated[i32, since(1)] = 0
    groups: tuple[DescribedGroup, ...]


class ListGroupsRequest(Struct):
    states_filter: Annotated[tuple[str, ...], needs(4)] = ()
    types_filter: Annotated[tuple[str, ...], needs(5)] = ()


class ListedGroup(Struct):
    group_id: str
    protocol_type: str
    group_state: Annotated[str, since(4)] = ""
    group_type: Annotated[str, since(5)] = ""


class ListGroupsResponse(Struct):
    throttle_time_ms: Annotated[i32, since(1)] = 0
    error_code: i16
    groups: tuple[ListedGroup, ...]


class DeleteGroupsRequest(Struct):
    groups_names: tuple[str, ...]


class DeletableGroupResult(Struct):
    group_id: str
    error_code: i16


class DeleteGroupsResponse(Struct):
    throttle_time_ms: i32
    results: tuple[DeletableGroupResult, ...]
