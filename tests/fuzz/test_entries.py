"""Every public decoder is called by a target: one that nobody fuzzes fails here, by its name."""

import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz import run
from fuzz.targets import TARGETS

CODECS = Path(__file__).parents[2] / "codecs"

# What the functions are called that are given what a peer sent, or an envelope that was made of it.
_decodes = re.compile(
    r"(check|decode|elements|inflate|lift|lower|only|pass_on|peek|read|scan|split|to|translate)(_\w+)?|\w+_to_\w+"
).fullmatch
STREAMS = "feed"  # the method of every decoder of a byte stream
LOWERS_WHAT_WE_READ = {
    "fabric_codecs.mcp.tools.lower_tool"
}  # a tool's declaration, typed by the client library


def test_every_public_decoder_is_called_by_a_target() -> None:
    decoders = dict(_decoders())
    assert len(decoders) > 50, "the rule finds them"
    called = _called_on_seeds()
    missed = [name for name, decoder in decoders.items() if _mark(decoder) not in called]
    assert set(missed) == LOWERS_WHAT_WE_READ


def _decoders() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each public function with such a name, and the streams' `feed`."""
    for path in sorted((*CODECS.rglob("*.py"), *CODECS.rglob("*.pyi"))):
        module = ".".join(path.relative_to(CODECS).with_suffix("").parts).removesuffix(".__init__")
        for name in _public_names(ast.parse(path.read_text())):
            found = getattr(importlib.import_module(module), name)
            if isinstance(found, type):
                if hasattr(found, STREAMS):
                    yield f"{module}.{name}.{STREAMS}", getattr(found, STREAMS)
            elif callable(found) and _decodes(name):
                yield f"{module}.{name}", found


def _public_names(module: ast.Module) -> list[str]:
    """What `__all__` says; a stub has none, and all that it defines is public."""
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    defined = [node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [name for name in defined if not name.startswith("_")]


def _called_on_seeds() -> set[object]:
    called: set[object] = set()

    def note(frame: FrameType, event: str, called_object: Any) -> None:
        if event == "call":
            called.add(frame.f_code)
        elif event == "c_call":
            called.add(_mark(called_object))

    for name, target in TARGETS.items():
        seeds = run.seeds_of(name)
        sys.setprofile(note)
        try:
            for data in seeds:
                target(data)
        finally:
            sys.setprofile(None)
    return called


def _mark(function: Any) -> object:
    """What a profile can tell one by: the code of Python's functions, the owner and the name of C's."""
    if code := getattr(function, "__code__", None):
        return code
    if isinstance(owner := getattr(function, "__self__", None), type(sys)) or owner is None:
        return getattr(function, "__objclass__", getattr(function, "__module__", None)), function.__name__
    return type(owner), function.__name__
