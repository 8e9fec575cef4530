"""Which requests are served, in which versions, and the error codes that answers use: one table each.

Above: `messages`, `frames`, and the edge. Source: the schemas of Apache Kafka 4.4; the versions are the
classic (not flexible) ones that stock clients agreed on with a server that offers nothing newer.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

__all__ = ["SERVED", "Api", "ErrorCode", "is_served"]


class Api(IntEnum):
    """Request keys, as far as `messages` knows them."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    INIT_PRODUCER_ID = 22
    DESCRIBE_CONFIGS = 32
    SASL_AUTHENTICATE = 36
    DELETE_GROUPS = 42


# First and last version. The upper ends are what aiokafka and kafkajs stop at; the lower ends are Kafka 4's
# own (KIP-896).
SERVED: Final[Mapping[Api, tuple[int, int]]] = {
    # Only to be refused in words: librdkafka fetches from nobody who does not offer Produce 3 (tried).
    Api.PRODUCE: (3, 7),
    Api.FETCH: (4, 11),
    Api.LIST_OFFSETS: (1, 3),
    Api.METADATA: (0, 5),
    Api.SASL_HANDSHAKE: (0, 1),
    Api.API_VERSIONS: (0, 3),
    Api.SASL_AUTHENTICATE: (0, 1),
}


def is_served(api_key: int, api_version: int) -> bool:
    """Whether the edge answers this request."""
    lowest, highest = SERVED[Api(api_key)] if api_key in SERVED else (0, -1)
    return lowest <= api_version <= highest


class ErrorCode(IntEnum):
    """Kafka's error codes, as far as they are answered here."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    UNKNOWN_TOPIC_OR_PARTITION = 3
    TOPIC_AUTHORIZATION_FAILED = 29
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    INVALID_REQUEST = 42
    POLICY_VIOLATION = 44
    SASL_AUTHENTICATION_FAILED = 58
    FETCH_SESSION_ID_NOT_FOUND = 70
