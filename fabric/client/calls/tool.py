"""Tools: a function's annotations become its JSON Schema, its arguments are checked against it before it
runs."""

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import msgspec

from fabric.client.agents.cards import ToolContract, ToolSpec
from fabric.errors import ConfigInvalid, FabricError
from fabric.rules.calls.budget import Budget

__all__ = ["BadArguments", "Tool", "ToolError"]

KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class BadArguments(FabricError):
    """The arguments of a call do not fit the tool's schema."""

    code = "bad_arguments"


class ToolError(FabricError):
    """Raise it in a tool to answer with a code of your own; `code` is listed in the tool's contract."""

    def __init__(self, code: str, message: str, *, retriable: bool = False, data: object = None) -> None:
        self.remote_code, self.remote_retriable, self.data = code, retriable, data
        super().__init__(message)


class Tool:
    """A handler with its schema: a coroutine function, or an async generator function, whose answer is the
    parts that it yields. `context` is the type whose parameter, if there is one, receives the running
    call."""

    def __init__(
        self, function: Callable[..., Any], contract: ToolContract, context: type, name: str | None = None
    ) -> None:
        self.streams = inspect.isasyncgenfunction(function)
        if not self.streams and not inspect.iscoroutinefunction(function):
            raise ConfigInvalid(f"tool {function.__name__}", "is no coroutine function; write `async def`")
        self.function = function
        self.price = Budget.price(contract.cost)
        self.name = name or function.__name__
        hints = typing.get_type_hints(function, include_extras=True)
        self.context_parameter: str | None = None
        fields: list[Any] = []
        for parameter in inspect.signature(function).parameters.values():
            hint = hints.get(parameter.name, Any)
            if hint is context:
                self.context_parameter = parameter.name
                continue
            if parameter.kind not in KINDS:
                raise ConfigInvalid(
                    f"tool {self.name}", f"parameter {parameter.name} cannot be given by name"
                )
            default = () if parameter.default is inspect.Parameter.empty else (parameter.default,)
            fields.append((parameter.name, hint, *default))
        self._arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(self._arguments)
        self._names = tuple(field[0] for field in fields)
        self.spec = ToolSpec(
            name=self.name,
            description=inspect.getdoc(function) or "",
            input_schema=_schema(self._arguments),
            output_schema=self._output_schema(hints.get("return")),
            contract=contract,
            streams=self.streams,
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether its contract allows to run it again when nobody knows whether it had its effects."""
        contract = self.spec.contract
        return contract.idempotent or contract.side_effects in ("none", "reads")

    def _output_schema(self, hint: Any) -> dict[str, Any] | None:
        # A generator's whole answer, to callers that do not stream, is an array of its parts: no object.
        return _schema(hint) if not self.streams and _is_object(hint) else None

    def arguments(self, data: bytes) -> dict[str, Any]:
        """The call's arguments by parameter name. Raises BadArguments with the path of what does not fit."""
        try:
            decoded = self._decoder.decode(data or b"{}")
        except msgspec.DecodeError as error:
            raise BadArguments(f"{self.name}: {error}") from None
        return {name: getattr(decoded, name) for name in self._names}


def _is_object(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    if origin in (types.UnionType, typing.Union, None, type(None)) or not isinstance(origin, type):
        return False
    return issubclass(origin, (dict, msgspec.Struct)) or is_dataclass(origin) or typing.is_typeddict(origin)


def _schema(of: Any) -> dict[str, Any]:
    (root,), components = msgspec.json.schema_components((of,), ref_template="#/$defs/{name}")
    reference = root.get("$ref", "").removeprefix("#/$defs/")
    if reference:
        root = components.pop(reference)
    root.pop("title", None)
    if components:
        root["$defs"] = components
    return dict(root)
