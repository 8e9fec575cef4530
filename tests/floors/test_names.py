"""The compatibility promise: what `__all__` and the `.pyi` files name is there, and says what it is."""

import ast
import importlib
import inspect
from types import ModuleType

import pytest

from floors.tree import PACKAGES, Module, modules

PYTHON = [m for m in modules() if m.path.suffix == ".py" and m.path.name != "__main__.py"]
STUBS = [m for m in modules() if m.path.suffix == ".pyi"]
CYTHON = [m for m in modules() if m.path.suffix == ".pyx"]


def promised(module: ModuleType) -> list[str]:
    return list(getattr(module, "__all__", ()))


@pytest.mark.parametrize("module", PYTHON, ids=str)
def test_all_names_exist_and_are_documented(module: Module) -> None:
    imported = importlib.import_module(module.name)
    missing = [name for name in promised(imported) if not hasattr(imported, name)]
    assert not missing
    mute = [
        name
        for name in promised(imported)
        if _needs_a_docstring(value := getattr(imported, name)) and not value.__doc__
    ]
    assert not mute, "say what they are for"


@pytest.mark.parametrize("module", PYTHON, ids=str)
def test_all_is_sorted_and_named_once(module: Module) -> None:
    names = promised(importlib.import_module(module.name))
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("module", PYTHON, ids=str)
def test_a_module_with_code_has_its_floor_plan(module: Module) -> None:
    tree = ast.parse(module.path.read_text())
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("module", CYTHON, ids=str)
def test_a_cython_module_has_its_types_beside_it(module: Module) -> None:
    assert module.path.with_suffix(".pyi").exists()


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_what_a_stub_declares_is_compiled(stub: Module) -> None:
    compiled = importlib.import_module(stub.name)
    declared = [name for node in ast.parse(stub.path.read_text()).body if (name := _declared(node))]
    assert not [name for name in declared if not hasattr(compiled, name)]


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_the_classes_of_a_stub_are_documented(stub: Module) -> None:
    classes = [node for node in ast.parse(stub.path.read_text()).body if isinstance(node, ast.ClassDef)]
    assert not [node.name for node in classes if not ast.get_docstring(node)]


def _needs_a_docstring(value: object) -> bool:
    """What is defined here; a thing that somebody else's function made for us has no place for one."""
    ours = getattr(value, "__module__", "").partition(".")[0] in PACKAGES
    return ours and (inspect.isclass(value) or inspect.isfunction(value))


def _declared(node: ast.stmt) -> str | None:
    """The public name that a stub's statement promises at run time; type aliases promise none."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    if (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
    ):
        return node.target.id
    return None
