"""Every request and response that this codec knows, in all versions of Apache Kafka 4: one class each.

Declarations only, made from the schemas of Apache Kafka (clients/src/main/resources/common/message): `plan`
reads and writes them, `frames` puts headers in front. What a listener serves of it is `apis.SERVED`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fabric_codecs.kafka.apis import Api
from fabric_codecs.kafka.messages import admin, connection, data, groups, offsets
from fabric_codecs.kafka.schema import Struct

__all__ = ["EXCHANGES", "Exchange"]


class Exchange(NamedTuple):
    """A request and its response, the versions there are of both, and the first flexible one."""

    request: type[Struct]
    response: type[Struct]
    first: int
    last: int
    flexible_from: int


EXCHANGES: Final[Mapping[int, Exchange]] = {
    Api.PRODUCE: Exchange(data.ProduceRequest, data.ProduceResponse, 3, 13, 9),
    Api.FETCH: Exchange(data.FetchRequest, data.FetchResponse, 4, 18, 12),
    Api.LIST_OFFSETS: Exchange(data.ListOffsetsRequest, data.ListOffsetsResponse, 1, 11, 6),
    Api.METADATA: Exchange(connection.MetadataRequest, connection.MetadataResponse, 0, 13, 9),
    Api.OFFSET_COMMIT: Exchange(offsets.OffsetCommitRequest, offsets.OffsetCommitResponse, 2, 10, 8),
    Api.OFFSET_FETCH: Exchange(offsets.OffsetFetchRequest, offsets.OffsetFetchResponse, 1, 10, 6),
    Api.FIND_COORDINATOR: Exchange(groups.FindCoordinatorRequest, groups.FindCoordinatorResponse, 0, 6, 3),
    Api.JOIN_GROUP: Exchange(groups.JoinGroupRequest, groups.JoinGroupResponse, 0, 9, 6),
    Api.HEARTBEAT: Exchange(groups.HeartbeatRequest, groups.HeartbeatResponse, 0, 4, 4),
    Api.LEAVE_GROUP: Exchange(groups.LeaveGroupRequest, groups.LeaveGroupResponse, 0, 5, 4),
    Api.SYNC_GROUP: Exchange(groups.SyncGroupRequest, groups.SyncGroupResponse, 0, 5, 4),
    Api.DESCRIBE_GROUPS: Exchange(admin.DescribeGroupsRequest, admin.DescribeGroupsResponse, 0, 6, 5),
    Api.LIST_GROUPS: Exchange(admin.ListGroupsRequest, admin.ListGroupsResponse, 0, 5, 3),
    Api.SASL_HANDSHAKE: Exchange(connection.SaslHandshakeRequest, connection.SaslHandshakeResponse, 0, 1, 2),
    Api.API_VERSIONS: Exchange(connection.ApiVersionsRequest, connection.ApiVersionsResponse, 0, 4, 3),
    Api.CREATE_TOPICS: Exchange(admin.CreateTopicsRequest, admin.CreateTopicsResponse, 2, 7, 5),
    Api.DELETE_TOPICS: Exchange(admin.DeleteTopicsRequest, admin.DeleteTopicsResponse, 1, 6, 4),
    Api.INIT_PRODUCER_ID: Exchange(data.InitProducerIdRequest, data.InitProducerIdResponse, 0, 6, 2),
    Api.DESCRIBE_CONFIGS: Exchange(admin.DescribeConfigsRequest, admin.DescribeConfigsResponse, 1, 4, 4),
    Api.SASL_AUTHENTICATE: Exchange(
        connection.SaslAuthenticateRequest, connection.SaslAuthenticateResponse, 0, 2, 2
    ),
    Api.DELETE_GROUPS: Exchange(admin.DeleteGroupsRequest, admin.DeleteGroupsResponse, 0, 2, 2),
}
