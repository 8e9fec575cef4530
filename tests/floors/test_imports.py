"""Imports point down only, and what a floor must not know it does not import.

The table is the architecture: a floor may import itself and what stands before it in the list, lower in the
house.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import nats.aio.client
import pytest

from floors.tree import ROOT, SUFFIXES, Module, modules, read_module

# From the ground up; a module belongs to the longest prefix that it has.
FLOORS = (
    ("fabric_codecs",),
    ("fabric.errors", "fabric.clock", "fabric.subjects", "fabric.ports", "fabric.config", "fabric.holders"),
    ("fabric.rules",),
    ("fabric.jetstream",),
    ("fabric.client",),
    ("fabric",),  # the package itself: the client library's front door
    ("fabric.edge",),  # the contract of edges, which the node and the bridges both know
    ("fabric_bridges",),
    ("fabric.node",),
    ("fabric_bench",),
    ("fabric.demo",),
    ("fabric.cli",),
)
LEVEL = {prefix: level for level, prefixes in enumerate(FLOORS) for prefix in prefixes}
PROTOCOLS = ("mcp", "a2a", "mqtt", "kafka")
EDGE_MAY_SEE = (
    "fabric.client",
    "fabric.errors",
    "fabric.ports",
    "fabric.config",
    "fabric.clock",
    "fabric.edge",
)
CLOCKS_AND_CHANCE = {"time", "random", "secrets", "uuid"}
INPUT_OUTPUT = {
    *(
        "asyncio",
        "anyio",
        "socket",
        "ssl",
        "select",
        "selectors",
        "threading",
        "subprocess",
        "multiprocessing",
    ),
    *("os", "io", "pathlib", "tempfile", "http", "logging", "starlette", "uvicorn", "uvloop", "posix"),
}
PEERS = {"mcp", "a2a", "aiomqtt", "paho", "amqtt", "aiokafka", "confluent_kafka"}
LINES_MAX = 400

TREE = modules()
KNOWN = {module.name for module in TREE}


def floor_of(name: str) -> str | None:
    """The floor a dotted name stands on; None when it is not ours."""
    fitting = [prefix for prefix in LEVEL if name == prefix or name.startswith(prefix + ".")]
    return max(fitting, key=len, default=None)


def ours(module: Module) -> set[str]:
    """The modules of this tree that `module` imports."""
    return _known(module.imports) - {module.name}


def _known(names: Iterable[str]) -> set[str]:
    return {module for name in names if (module := _module_in(name))}


def _module_in(name: str) -> str | None:
    """The module that a dotted name is, or is inside of."""
    while name and name not in KNOWN:
        name = name.rpartition(".")[0]
    return name or None


def roots(module: Module) -> set[str]:
    return {name.partition(".")[0] for name in module.imports}


def below(*prefixes: str) -> list[Module]:
    return [m for m in TREE if any(m.name == p or m.name.startswith(p + ".") for p in prefixes)]


def upward(module: Module) -> list[str]:
    """What `module` imports from a floor above its own."""
    own = floor_of(module.name)
    assert own is not None, f"{module} stands on no floor; add it to FLOORS"
    targets = {name: floor_of(name) for name in ours(module)}
    return sorted(name for name, floor in targets.items() if floor and LEVEL[floor] > LEVEL[own])


def test_imports_point_down() -> None:
    wrong = {str(module): found for module in TREE if (found := upward(module))}
    assert not wrong


def test_an_upward_import_is_found(tmp_path: Path) -> None:
    upstart = tmp_path / "upstart.pyx"
    upstart.write_text("from fabric_bridges.crossings cimport House\nimport fabric.errors\n")
    module = read_module("fabric_codecs.upstart", upstart)
    assert upward(module) == ["fabric.errors", "fabric_bridges.crossings"]


def test_no_module_imports_itself_by_a_detour() -> None:
    graph: dict[str, set[str]] = {}
    for module in TREE:
        graph.setdefault(module.name, set()).update(ours(module) - _known(module.typing_only))
    done: set[str] = set()
    for start in graph:
        assert not (cycle := _cycle_from(start, graph, done, [])), " -> ".join(cycle)


def _cycle_from(name: str, graph: dict[str, set[str]], done: set[str], path: list[str]) -> list[str]:
    if name in path:
        return [*path[path.index(name) :], name]
    if name in done:
        return []
    for target in sorted(graph.get(name, ())):
        if cycle := _cycle_from(target, graph, done, [*path, name]):
            return cycle
    done.add(name)
    return []


def test_an_edge_sees_the_public_surface_and_no_other_edge() -> None:
    wrong = []
    for protocol in PROTOCOLS:
        others = tuple(f"fabric_bridges.{other}" for other in PROTOCOLS if other != protocol)
        for module in below(f"fabric_bridges.{protocol}"):
            for name in ours(module):
                inside = name.startswith("fabric.") and not name.startswith(EDGE_MAY_SEE)
                if inside or name.startswith(others):
                    wrong.append(f"{module} imports {name}")
    assert not wrong


def test_the_shared_rooms_of_the_bridges_know_no_edge() -> None:
    edges = tuple(f"fabric_bridges.{protocol}" for protocol in PROTOCOLS)
    shared = [module for module in below("fabric_bridges") if not module.name.startswith(edges)]
    assert not [str(module) for module in shared if any(name.startswith(edges) for name in ours(module))]


def test_the_node_finds_edges_by_entry_point_only() -> None:
    edges = tuple(f"fabric_bridges.{protocol}" for protocol in PROTOCOLS)
    assert not [
        str(module) for module in below("fabric.node") if any(n.startswith(edges) for n in ours(module))
    ]


def test_a_codec_knows_no_other_protocol() -> None:
    for protocol in PROTOCOLS:
        others = tuple(f"fabric_codecs.{other}" for other in PROTOCOLS if other != protocol)
        for module in below(f"fabric_codecs.{protocol}"):
            assert not any(name.startswith(others) for name in ours(module)), module


def test_codecs_and_rules_know_no_loop_socket_clock_or_chance() -> None:
    forbidden = INPUT_OUTPUT | CLOCKS_AND_CHANCE
    pure = below("fabric_codecs", "fabric.rules")
    wrong = {str(module): found for module in pure if (found := sorted(roots(module) & forbidden))}
    assert not wrong


def test_codecs_use_no_input_output_of_c() -> None:
    of_c = ("libc.stdio", "libc.time", "posix")
    assert not [str(m) for m in below("fabric_codecs") if any(name.startswith(of_c) for name in m.imports)]


def test_only_the_jetstream_room_and_the_benchmarks_know_nats() -> None:
    allowed = {module.name for module in below("fabric.jetstream", "fabric_bench")}
    assert not [str(module) for module in TREE if "nats" in roots(module) and module.name not in allowed]


def test_listeners_are_ours_and_not_built_on_a_peer() -> None:
    wrong = {str(m): found for m in below("fabric_bridges", "fabric.node") if (found := roots(m) & PEERS)}
    assert not wrong


def test_private_names_of_nats_py_are_used_in_one_module_only() -> None:
    private = _private_names_of_nats_py()
    wrong = []
    for module in below("fabric.jetstream"):
        if module.name == "fabric.jetstream.private" or module.path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(module.path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in private and not _is_self(node.value):
                wrong.append(f"{module}:{node.lineno} {node.attr}")
    assert not wrong


def _private_names_of_nats_py() -> set[str]:
    package = Path(nats.aio.client.__file__).parents[1]
    return {
        name
        for source in package.rglob("*.py")
        for name in re.findall(r"self\.(_[a-z]\w*)", source.read_text())
    }


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _all_files() -> list[Path]:
    folders = [ROOT / name for name in ("fabric", "codecs", "bridges", "bench", "tests")]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _all_files()}
    assert not {path: lines for path, lines in lengths.items() if lines > LINES_MAX}


@pytest.mark.parametrize("package", ["codecs", "bridges", "bench"])
def test_source_roots_hold_no_init_that_would_shadow_the_standard_library(package: str) -> None:
    assert not (ROOT / package / "__init__.py").exists()
