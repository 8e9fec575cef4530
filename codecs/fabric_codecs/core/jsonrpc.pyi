from typing import Final, Literal

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX
from fabric_codecs.core.jsonscan import JsonObject

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602

class Rpc:
    """One JSON-RPC message. What its kind does not have is None; `params`, `result` and `error` are raw
    bytes."""

    @property
    def kind(self) -> Literal["request", "notification", "result", "error"]: ...
    @property
    def id(self) -> bytes | None:
        """Raw, so its type survives: `b'7'` or `b'"7"'`. None for a notification and for an error that knows
        none."""
    @property
    def method(self) -> str | None: ...
    @property
    def params(self) -> bytes | None:
        """A JSON object, raw; `body.object("params")` looks into it."""
    @property
    def result(self) -> bytes | None: ...
    @property
    def error(self) -> bytes | None: ...
    @property
    def body(self) -> JsonObject:
        """The whole message, unknown members included."""

def read_rpc(data: bytes, *, bytes_max: int = JSON_BYTES_MAX, depth_max: int = JSON_DEPTH_MAX) -> Rpc:
    """The message in `data`. Raises CodecError whose `reason` is the code to answer: PARSE_ERROR for what
    is no JSON, INVALID_REQUEST for JSON that is no message (a batch is none), INVALID_PARAMS for params
    that are no object."""

def peek_id(data: bytes) -> bytes | None:
    """The raw id of a message that may be broken elsewhere, so that the error answer can name it; None when
    it has none."""

def corr_of_id(raw: bytes) -> str:
    """A raw id as the attribute `fabcorr` carries it: base64 of `i:<digits>` or `s:<text>`."""

def id_of_corr(corr: str) -> bytes:
    """The raw id again. Raises CodecError when `corr` holds none."""

def write_request(id: bytes | None, method: str, params: bytes | None = None) -> bytes:
    """A request, or with `id` None a notification. `id` and `params` are raw JSON."""

def write_result(id: bytes, result: bytes) -> bytes: ...
def write_error(id: bytes | None, code: int, message: str, data: bytes | None = None) -> bytes:
    """An error answer; `id` None becomes null: the request's id could not be read. `data` is raw JSON."""
