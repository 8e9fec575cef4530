from typing import Any, Final

class Properties:
    """What a packet says beside its fixed fields, in MQTT 5.

    Built from fields (`Properties(content_type="text/plain", user=(("a", "1"),))`) or read, in which case
    the section stays the bytes it came in, order and duplicates included, and a field is looked for when
    somebody asks. An absent field is None; the two that may repeat are tuples, in order. Immutable. Values
    are checked when they are written, not here. Raises TypeError for a field that MQTT does not have.
    """

    payload_format: Final[int | None]
    message_expiry_s: Final[int | None]
    content_type: Final[str | None]
    response_topic: Final[str | None]
    correlation_data: Final[bytes | None]
    subscription_ids: Final[tuple[int, ...]]
    session_expiry_s: Final[int | None]
    assigned_client_id: Final[str | None]
    server_keep_alive_s: Final[int | None]
    authentication_method: Final[str | None]
    authentication_data: Final[bytes | None]
    request_problem_information: Final[int | None]
    will_delay_s: Final[int | None]
    request_response_information: Final[int | None]
    response_information: Final[str | None]
    server_reference: Final[str | None]
    reason_string: Final[str | None]
    receive_maximum: Final[int | None]
    topic_alias_maximum: Final[int | None]
    topic_alias: Final[int | None]
    maximum_qos: Final[int | None]
    retain_available: Final[int | None]
    user: Final[tuple[tuple[str, str], ...]]
    maximum_packet_bytes: Final[int | None]
    wildcard_subscription_available: Final[int | None]
    subscription_ids_available: Final[int | None]
    shared_subscription_available: Final[int | None]

    def __init__(
        self,
        *,
        payload_format: int | None = None,
        message_expiry_s: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        subscription_ids: tuple[int, ...] = (),
        session_expiry_s: int | None = None,
        assigned_client_id: str | None = None,
        server_keep_alive_s: int | None = None,
        authentication_method: str | None = None,
        authentication_data: bytes | None = None,
        request_problem_information: int | None = None,
        will_delay_s: int | None = None,
        request_response_information: int | None = None,
        response_information: str | None = None,
        server_reference: str | None = None,
        reason_string: str | None = None,
        receive_maximum: int | None = None,
        topic_alias_maximum: int | None = None,
        topic_alias: int | None = None,
        maximum_qos: int | None = None,
        retain_available: int | None = None,
        user: tuple[tuple[str, str], ...] = (),
        maximum_packet_bytes: int | None = None,
        wildcard_subscription_available: int | None = None,
        subscription_ids_available: int | None = None,
        shared_subscription_available: int | None = None,
    ) -> None: ...
    def passed_on(self, traceparent: str | None = None, waited_s: int = 0) -> Properties:
        """A copy for the next hop of a PUBLISH: the first user property traceparent says that one, at the end
        when there was none, and the expiry is less by what the message waited (at least 1). Every other byte
        stays. Raises CodecError for what no PUBLISH has."""

    def asdict(self) -> dict[str, Any]:
        """The fields that are there, in their order on the wire."""

NONE: Final[Properties]
"""Shared by every packet that has no properties, which is nearly all of them."""
