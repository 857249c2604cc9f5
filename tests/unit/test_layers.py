"""The rules on imports beside the contracts in pyproject.toml: no cycles, and what a leaf is."""

from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

import codewalk

ROOT = Path(codewalk.__file__).parent

FACADES = {"codewalk", "codewalk.__main__"}
"""The modules that only hand out names of others."""

ABOVE_HEALTH = {"codewalk.server"}
"""A module of the top level that isn't a leaf: a server as outsiders see it, health included."""


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """The modules that each module imports, those for types alone included."""
    graph = grimp.build_graph("codewalk", cache_dir=None)
    return {
        module: frozenset(graph.find_modules_directly_imported_by(module))
        for module in graph.modules - FACADES
    }


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def cycle_in(graph: Mapping[str, Iterable[str]]) -> list[str] | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        cycle: list[str] = exc.args[1]
        return cycle
    return None


def test_no_modules_form_an_import_cycle() -> None:
    assert cycle_in(imports()) is None


def test_no_packages_form_an_import_cycle() -> None:
    packages: dict[str, set[str]] = {}
    for module, imported in imports().items():
        others = {package_of(name) for name in imported - FACADES} - {package_of(module)}
        packages.setdefault(package_of(module), set()).update(others)
    assert cycle_in(packages) is None


def test_a_cycle_would_be_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) is not None


def test_leaves_import_only_leaves() -> None:
    packages = {f"codewalk.{path.parent.name}" for path in ROOT.glob("*/__init__.py")}
    leaves = {f"codewalk.{path.stem}" for path in ROOT.glob("*.py")} - FACADES - ABOVE_HEALTH
    wrong = {
        f"{leaf} imports {name}"
        for leaf in leaves & imports().keys()
        for name in imports()[leaf]
        if package_of(name) in packages | ABOVE_HEALTH
    }
    assert wrong == set()
