"""Agents' tools as MCP tools: the names there and back, and the declaration.

An MCP name has the characters `A-Z a-z 0-9 _ . -`, 128 of them at most. An agent's tool is `agent.tool`;
neither part has a dot of its own, so two dots are free to escape what MCP does not have: `my agent.heat` is
`my..20agent.heat`, each byte of UTF-8 as two upper-case hexadecimal digits. The map is injective, and the
way back takes nothing but what the way there gives.
"""

import re
from typing import Any, Protocol

import msgspec

from fabric_codecs.core.jsonscan import compose, quote
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode, Translation

__all__ = ["NAME_CHARS_MAX", "lower_tool", "split_tool_name", "tool_name"]

NAME_CHARS_MAX = 128
NAMES = "MCP tools, Tool Names"

_foreign = re.compile(rb"[^A-Za-z0-9_-]")
_escape_sequence = re.compile(rb"\.\.([0-9A-F]{2})")
_PART = r"((?:[A-Za-z0-9_-]|\.\.[0-9A-F]{2})+)"
_dotted = re.compile(rf"{_PART}\.{_PART}").fullmatch


class Contract(Protocol):
    """What a caller may rely on; `fabric.client.ToolContract` is one."""

    @property
    def side_effects(self) -> str: ...
    @property
    def idempotent(self) -> bool: ...


class Tool(Protocol):
    """An agent's tool; `fabric.client.ToolSpec` is one."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def input_schema(self) -> dict[str, Any]: ...
    @property
    def output_schema(self) -> dict[str, Any] | None: ...
    @property
    def contract(self) -> Contract: ...


def tool_name(agent: str, tool: str) -> str:
    """The MCP name of an agent's tool. Raises CodecError when it is longer than MCP allows."""
    name = f"{_escape(agent)}.{_escape(tool)}"
    if len(name) > NAME_CHARS_MAX:
        what = f"{agent}.{tool} has {len(name)} characters as an MCP name, allowed are {NAME_CHARS_MAX}"
        raise CodecError(what, protocol="mcp", clause=NAMES)
    return name


def split_tool_name(name: str) -> tuple[str, str]:
    """The agent and the tool behind an MCP name. Raises CodecError for a name that `tool_name` does not
    give."""
    parts = _dotted(name)
    try:
        if parts is not None:
            agent, tool = _unescape(parts[1]), _unescape(parts[2])
            if tool_name(agent, tool) == name:
                return agent, tool
    except UnicodeDecodeError:
        pass  # escapes that are no UTF-8: nobody's name
    raise CodecError(f"{name!r} names no tool; tools are named agent.tool", protocol="mcp", clause=NAMES)


def lower_tool(agent: str, tool: Tool) -> Translation[bytes]:
    """The declaration of an agent's tool, raw JSON. Raises CodecError when its name is too long for MCP."""
    losses: list[Loss] = []
    schema = tool.input_schema
    if schema.get("type") != "object":
        losses.append(
            Loss(LossCode.SCHEMA_SYNTHESISED, "input_schema", "MCP wants an object; any is declared")
        )
        schema = {"type": "object"}
    members = [
        ("name", quote(tool_name(agent, tool.name))),
        ("description", quote(tool.description)),
        ("inputSchema", msgspec.json.encode(schema)),
    ]
    if tool.output_schema is not None:
        members.append(("outputSchema", msgspec.json.encode(tool.output_schema)))
    members.append(("annotations", _annotations(tool.contract)))
    members.append(("_meta", compose([("io.agentfabric/contract", msgspec.json.encode(tool.contract))])))
    return Translation(compose(members), tuple(losses))


def _annotations(contract: Contract) -> bytes:
    hints = {
        "readOnlyHint": contract.side_effects in ("none", "reads"),
        "destructiveHint": contract.side_effects == "irreversible",
        "idempotentHint": contract.idempotent or contract.side_effects == "none",
    }
    return msgspec.json.encode(hints)


def _escape(part: str) -> str:
    return _foreign.sub(lambda found: b"..%02X" % found[0][0], part.encode()).decode()


def _unescape(part: str) -> str:
    return _escape_sequence.sub(lambda found: bytes([int(found[1], 16)]), part.encode()).decode()
