"""The source tree as the floor tests see it: modules, what each imports, how long each file is.

In: the checked-out files. Out: `Module` values; nothing is imported or run. Python is read by its syntax
tree, Cython by its import and cimport lines.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "fabric_codecs": ROOT / "codecs",
    "fabric": ROOT,
    "fabric_bridges": ROOT / "bridges",
    "fabric_bench": ROOT / "bench",
}
SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")
_CYTHON_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+(.+)$", re.MULTILINE)
_CYTHON_IMPORT = re.compile(r"^\s*c?import\s+([\w.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """One file: its dotted name, where it is, and the dotted names that it imports; `typing_only` are those
    that it imports for the type checker alone."""

    name: str
    path: Path
    imports: frozenset[str]
    typing_only: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


def read_module(name: str, path: Path) -> Module:
    """The module in `path`. `from a import b` counts as `a.b`: `b` may be a module or a name inside `a`."""
    text = path.read_text()
    if path.suffix in (".pyx", ".pxd"):
        return Module(name, path, frozenset(_cython_imports(text)))
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(text, str(path))
    guarded = [node for block in ast.walk(tree) if _is_for_typing(block) for node in ast.walk(block)]
    skipped = set(map(id, guarded))
    at_run_time = {
        name for node in ast.walk(tree) if id(node) not in skipped for name in _imported(node, package)
    }
    typing_only = {name for node in guarded for name in _imported(node, package)} - at_run_time
    return Module(name, path, frozenset(at_run_time | typing_only), frozenset(typing_only))


def modules() -> list[Module]:
    """Every module that is shipped."""
    return [
        read_module(_dotted(path.relative_to(root)), path)
        for package, root in PACKAGES.items()
        for path in sorted((root / package).rglob("*"))
        if path.suffix in SUFFIXES
    ]


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_for_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """The dotted names that one statement imports; none when it is no import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _cython_imports(text: str) -> Iterator[str]:
    yield from _CYTHON_IMPORT.findall(text)
    for base, names in _CYTHON_FROM.findall(text):
        yield from (f"{base}.{word.split()[0]}" for word in names.strip(" ()").split(",") if word.strip())
