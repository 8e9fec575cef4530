"""Errors in A2A's words: a CodecError or a FabricError -> a JSON-RPC error and the HTTP status that carries
it.

A2A's own errors travel with 200, as its JSON-RPC binding has it (A2A 1.0.1, section 9). What concerns the
endpoint and not the message has the status that HTTP has for it: no such agent 404, come back later 429 and
503 with Retry-After.
"""

from collections.abc import Mapping

from starlette.responses import Response

from fabric.errors import FabricError, NoSuchAgent, NoSuchTool, Refused
from fabric_bridges.http.answer import json_response
from fabric_bridges.refusal import retry_after_s, words
from fabric_codecs.a2a.faults import FABRIC_DOMAIN, Fault, error_data
from fabric_codecs.core.jsonrpc import write_error
from fabric_codecs.errors import CodecError

__all__ = ["answer_codec_error", "answer_fabric_error"]


def answer_codec_error(
    id: bytes | None, error: CodecError, facts: Mapping[str, str] | None = None
) -> Response:
    """What the message breaks, with the code of the rule and where it was broken."""
    code = Fault(error.reason) if error.reason is not None else Fault.INVALID_PARAMS
    told = {"problem": error.what, **({"clause": error.clause} if error.clause else {}), **(facts or {})}
    return json_response(write_error(id, code, error.what, error_data(code.name, told)))


def answer_fabric_error(id: bytes | None, error: FabricError) -> Response:
    """What the fabric refuses, with its own code as the reason."""
    said = words(error)
    status = said.http if isinstance(error, NoSuchAgent) or said.jsonrpc > 0 else 200
    wait_s = retry_after_s(error) if said.http in (429, 503) else 0
    data = error_data(
        error.code.upper(),
        _facts(error),
        domain=FABRIC_DOMAIN,
        retry_after_ms=error.retry_after_ms if isinstance(error, Refused) else 0,
    )
    headers = {"Retry-After": str(wait_s)} if wait_s else {}
    return json_response(write_error(id, said.jsonrpc, str(error), data), status, headers)


def _facts(error: FabricError) -> dict[str, str]:
    facts = {"retriable": str(error.retriable).lower()}
    if isinstance(error, NoSuchTool):
        facts |= {"agent": error.agent, "tool": error.tool, "tools": ", ".join(error.known)}
    if isinstance(error, Refused):
        facts |= {"reason": error.reason}
    return facts
