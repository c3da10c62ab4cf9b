"""The floors of the house: a room imports only from the floors below it, and light commands stay light.

Read from the syntax tree of every module, so that an import counts wherever it stands (in a function, under
`TYPE_CHECKING`, relative or absolute), and none is overlooked because a test did not run that line.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "teachable"
DATA = ("recipes",)  # folders that hold no modules; code among the recipes' sample documents is read, never imported
SOURCE = Path(__file__).resolve().parent.parent / "src" / PACKAGE

# Lowest first. A room is a folder or a top-level module of the package. Rooms of one floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "records"),
    ("store",),
    ("chat", "stats"),  # below the engines, which turn messages into tokens, and the verifiers, which are calibrated
    ("engines", "families", "overlap", "verify"),
    ("rollouts",),
    ("evaluate", "merge", "pivot", "prefer", "probe", "report", "select", "synthesize", "tasks", "train"),
    ("explore",),  # a search over the settings of training
    ("recipe",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("accelerate", "altair", "datasets", "polars", "reasoning_gym", "scipy", "tokenizers", "torch")
HEAVY += ("httpx2", "openai", "peft", "transformers", "trl", "vl_convert")


@dataclass(frozen=True)
class Import:
    """One import of our own package: who imports what, on which line, and whether inside a function."""

    importer: str
    target: str
    line: int
    inside_function: bool


def module_name(path: Path, source: Path) -> str:
    """The dotted name of the module at `path`; a package's is that of its folder."""
    parts = [source.name, *path.relative_to(source).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(source: Path) -> Iterator[Import]:
    """Every import of the package by itself, `import_module("…")` with a literal name among them."""
    found = [path for path in sorted(source.rglob("*.py")) if path.relative_to(source).parts[0] not in DATA]
    names = {module_name(path, source): path for path in found}
    for name, path in names.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        in_functions = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            for target in _targets(node, package, names):
                if target == source.name or target.startswith(source.name + "."):
                    yield Import(name, target, node.lineno, id(node) in in_functions)


def _targets(node: ast.AST, package: str, names: Mapping[str, Path]) -> list[str]:
    """The dotted modules that one node imports; `from a import b` is `a.b` where that is a module, else `a`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
        return sorted({full if (full := f"{base}.{alias.name}") in names else base for alias in node.names})
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def room_of(module: str) -> str:
    """The room that a module of the package belongs to; empty for the package itself."""
    return [*module.split("."), ""][1]


def breaches(source: Path) -> list[str]:
    """Every import that goes upward, sideways or hides in a function, as sentences."""
    found = []
    for entry in own_imports(source):
        at = f"{entry.importer} line {entry.line} imports {entry.target}"
        here, there = room_of(entry.importer), room_of(entry.target)
        if entry.inside_function and here != "cli":
            found.append(f"{at} inside a function: only cli/ may")
        if not here:
            found.append(f"{at}: the package itself imports no room, or every import of it would load that room")
        elif here != there and there and FLOOR_OF[there] >= FLOOR_OF[here]:
            found.append(f"{at}: {there} is not below {here}")
    return found


def circles(source: Path) -> list[list[str]]:
    """Modules that import each other in a circle, within a room too; a package's re-exports are left out."""
    graph: dict[str, set[str]] = {}
    for entry in own_imports(source):
        if not entry.importer.endswith(entry.target) and not entry.inside_function:
            graph.setdefault(entry.importer, set()).add(entry.target)
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append([*trail[trail.index(module) :], module])
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_name(path, SOURCE)) for path in SOURCE.rglob("*.py")} - {"", *DATA}
    assert rooms - FLOOR_OF.keys() == set(), "give the new room a floor in FLOORS, and its line in the README's tree"


def test_imports_go_down() -> None:
    found = breaches(SOURCE)
    assert not found, "\n".join(found)


def test_no_module_imports_itself_in_a_circle() -> None:
    found = circles(SOURCE)
    assert not found, "\n".join(" -> ".join(circle) for circle in found)


@pytest.mark.parametrize(
    ("module", "text", "sentence"),
    [
        ("probe/plan.py", "from teachable.cli import main", "cli is not below probe"),
        ("probe/plan.py", "from teachable import select", "select is not below probe"),
        ("probe/plan.py", "from .. import select", "select is not below probe"),
        ("probe/plan.py", "from ..select import pool", "select is not below probe"),
        ("store/files.py", "if True:\n    import teachable.engines.local", "engines is not below store"),
        ("recipe/run.py", "def f():\n    from teachable.store import files", "inside a function"),
        ("recipe/run.py", "async def f():\n    import_module('teachable.store')", "inside a function"),
        ("recipe/run.py", "import importlib\nimportlib.import_module('teachable.cli.main')", "cli is not below recipe"),
        ("__init__.py", "from teachable.records import Prompt", "the package itself imports no room"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, module: str, text: str, sentence: str) -> None:
    """The rules above can fail: each kind of breach, planted in a small house, is named."""
    source = _house(tmp_path, {module: text})
    assert [sentence in breach for breach in breaches(source)] == [True]


def test_what_is_allowed_is_not_a_breach(tmp_path: Path) -> None:
    source = _house(
        tmp_path,
        {
            "cli/main.py": "def f():\n    from teachable.recipe import run",
            "probe/plan.py": "from teachable.records import Prompt\nfrom teachable.probe import zones\nimport json",
            "probe/zones.py": "from teachable import rollouts",
        },
    )
    assert breaches(source) == [] and circles(source) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    source = _house(
        tmp_path,
        {"probe/plan.py": "from teachable.probe import zones", "probe/zones.py": "from teachable.probe.plan import x"},
    )
    assert circles(source) == [["teachable.probe.plan", "teachable.probe.zones", "teachable.probe.plan"]]


@pytest.mark.parametrize("module", ["teachable.recipe.plan", "teachable.cli.main"])
def test_light_modules_load_no_heavy_library(module: str) -> None:
    """Planning a recipe and asking for help must answer at once: neither may load torch or its like."""
    loaded = _loaded_after(f"import {module}")
    assert sorted(loaded.intersection(HEAVY)) == []


def test_help_loads_no_heavy_library() -> None:
    code = "import sys; sys.argv = ['teachable', '--help']\nfrom teachable.cli.main import main\ntry: main()\n"
    loaded = _loaded_after(code + "except SystemExit as end: assert not end.code")
    assert sorted(loaded.intersection((*HEAVY, "pyarrow"))) == []


def _loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys; print('LOADED', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def _house(folder: Path, modules: Mapping[str, str]) -> Path:
    """A package of the same name with one package a room and the given modules."""
    source = folder / PACKAGE
    for room in [room for rooms in FLOORS for room in rooms]:
        (source / room).mkdir(parents=True, exist_ok=True)
        (source / room / "__init__.py").write_text("")
    (source / "__init__.py").write_text("")
    for path, text in modules.items():
        (source / path).write_text(text)
    return source
