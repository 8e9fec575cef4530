"""Membership in a classic consumer group: FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup."""

from typing import Annotated

from fabric_codecs.kafka.schema import Struct, i8, i16, i32, needs, since

__all__ = [
    "Coordinator",
    "FindCoordinatorRequest",
    "FindCoordinatorResponse",
    "HeartbeatRequest",
    "HeartbeatResponse",
    "JoinGroupRequest",
    "JoinGroupRequestProtocol",
    "JoinGroupResponse",
    "JoinGroupResponseMember",
    "LeaveGroupRequest",
    "LeaveGroupResponse",
    "MemberIdentity",
    "MemberResponse",
    "SyncGroupRequest",
    "SyncGroupRequestAssignment",
    "SyncGroupResponse",
]


class FindCoordinatorRequest(Struct):
    """`key_type` 0: a group, 1: a transaction."""

    key: Annotated[str, needs(until=3)] = ""
    key_type: Annotated[i8, needs(1)] = 0
    coordinator_keys: Annotated[tuple[str, ...], needs(4)] = ()


class Coordinator(Struct):
    key: str
    node_id: i32
    host: str
    port: i32
    error_code: i16
    error_message: str | None


class FindCoordinatorResponse(Struct):
    throttle_time_ms: Annotated[i32, since(1)] = 0
    error_code: Annotated[i16, needs(until=3)] = 0
    error_message: Annotated[str | None, since(1, until=3)] = ""
    node_id: Annotated[i32, needs(until=3)] = 0
    host: Annotated[str, needs(until=3)] = ""
    port: Annotated[i32, needs(until=3)] = 0
    coordinators: Annotated[tuple[Coordinator, ...], needs(4)] = ()


class JoinGroupRequestProtocol(Struct):
    name: str
    metadata: bytes


class JoinGroupRequest(Struct):
    """The `metadata` of a protocol is the client's own affair (ConsumerProtocolSubscription)."""

    group_id: str
    session_timeout_ms: i32
    rebalance_timeout_ms: Annotated[i32, since(1)] = -1
    member_id: str
    group_instance_id: Annotated[str | None, needs(5)] = None
    protocol_type: str
    protocols: tuple[JoinGroupRequestProtocol, ...]
    reason: Annotated[str | None, since(8)] = None


class JoinGroupResponseMember(Struct):
    member_id: str
    group_instance_id: Annotated[str | None, since(5)] = None
    metadata: bytes


class JoinGroupResponse(Struct):
    throttle_time_ms: Annotated[i32, since(2)] = 0
    error_code: i16
    generation_id: i32 = -1
    protocol_type: Annotated[str | None, since(7)] = None
    protocol_name: Annotated[str | None, since(null_since=7)]
    leader: str
    skip_assignment: Annotated[bool, needs(9)] = False
    member_id: str
    members: tuple[JoinGroupResponseMember, ...]


class SyncGroupRequestAssignment(Struct):
    member_id: str
    assignment: bytes


class SyncGroupRequest(Struct):
    """`assignments`: of all members, from the leader; none from the others."""

    group_id: str
    generation_id: i32
    member_id: str
    group_instance_id: Annotated[str | None, needs(3)] = None
    protocol_type: Annotated[str | None, since(5)] = None
    protocol_name: Annotated[str | None, since(5)] = None
    assignments: tuple[SyncGroupRequestAssignment, ...]


class SyncGroupResponse(Struct):
    throttle_time_ms: Annotated[i32, since(1)] = 0
    error_code: i16
    protocol_type: Annotated[str | None, since(5)] = None
    protocol_name: Annotated[str | None, since(5)] = None
    assignment: bytes


class HeartbeatRequest(Struct):
    group_id: str
    generation_id: i32
    member_id: str
    group_instance_id: Annotated[str | None, needs(3)] = None


class HeartbeatResponse(Struct):
    throttle_time_ms: Annotated[i32, since(1)] = 0
    error_code: i16


class MemberIdentity(Struct):
    member_id: str
    group_instance_id: str | None = None
    reason: Annotated[str | None, since(5)] = None


class LeaveGroupRequest(Struct):
    """One member until version 2, several from 3 on."""

    group_id: str
    member_id: Annotated[str, needs(until=2)] = ""
    members: Annotated[tuple[MemberIdentity, ...], needs(3)] = ()


class MemberResponse(Struct):
    member_id: str
    group_instance_id: str | None
    error_code: i16


class LeaveGroupResponse(Struct):
    throttle_time_ms: Annotated[i32, since(1)] = 0
    error_code: i16
    members: Annotated[tuple[MemberResponse, ...], needs(3)] = ()
