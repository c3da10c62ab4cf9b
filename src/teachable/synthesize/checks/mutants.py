"""Programs that are wrong on purpose: mutants of a program, and stubs that do nothing.

A test that passes on a stub can't fail, and a test that passes on every mutant of a right program tells nothing of it.
A mutant differs from its program in one place inside a function: an operator, a comparison, a constant, a condition
turned round, a call of `min` for `max`, a statement left out, a result left out. Programs are only parsed and printed
here, never run.

Some mutants do the same as their program (`i <= n` for `i < n` where they are never equal), which no test can tell. So
the share of mutants that tests refute is a floor of what they see, not its measure.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

MAX_CHARS = 40_000  # of a program that is parsed at all
MAX_DEPTH = 200  # of its syntax tree: what prints trees calls itself several times a level

_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "abs": "int"}
_METHODS = {
    "upper": "lower",
    "lower": "upper",
    "startswith": "endswith",
    "endswith": "startswith",
    "union": "intersection",
    "intersection": "union",
}
_STUBS = {
    "functions that return None": ("return None", "pass"),
    "functions that raise NotImplementedError": ("raise NotImplementedError", "raise NotImplementedError"),
    "functions that return their first argument": ("return args[0] if args else None", "pass"),
    "an empty program": ("raise NameError('it is not defined')", "raise NameError('it is not defined')"),
}


@dataclass(frozen=True)
class Mutant:
    """A program that differs from another in one place; `what` says in which, and how."""

    source: str
    what: str


@dataclass(frozen=True)
class _Change:
    """Another value for a field of a node; `late` for changes that are taken only where there are few others."""

    node: ast.AST
    field: str
    value: Any
    what: str
    late: bool = False


def mutants(source: str, limit: int = 12) -> tuple[Mutant, ...]:
    """Mutants of a Python program, at most `limit`, spread over it; the same ones every time.

    None where it can't be parsed, or has no function with anything to change.
    """
    tree = parsed(source)
    if tree is None:
        return ()
    same = _printed(tree)
    changes = [change for function in _functions(tree) for change in _changes_in(function)]
    ordered = _spread([c for c in changes if not c.late], limit) + [c for c in changes if c.late]
    found: dict[str, Mutant] = {}
    for change in ordered:
        if len(found) == limit:
            break
        text = _changed(tree, change)
        if text and text != same and text not in found:
            found[text] = Mutant(text, change.what)
    return tuple(found.values())


def stubs(names: Collection[str], classes: Collection[str] = ()) -> dict[str, str]:
    """Programs that define these names and do nothing: what they are -> source.

    Args:
        names: functions, and the classes among them.
        classes: which names are classes.
    """
    return {what: _stub(names, classes, body, made) for what, (body, made) in _STUBS.items()}


def _stub(names: Collection[str], classes: Collection[str], body: str, made: str) -> str:
    lines = []
    for name in sorted(names):
        if name in classes:
            lines += [f"class {name}:", f"    def __init__(self, *args, **named): {made}"]
            lines += ["    def __getattr__(self, name):", f"        def method(*args, **named): {body}"]
            lines += ["        return method"]
        else:
            lines += [f"def {name}(*args, **named):", f"    {body}"]
    return "\n".join(lines) + "\n"


def parsed(source: str) -> ast.Module | None:
    """The program's syntax tree, or None: it is no Python, or longer or deeper than anybody would write."""
    if len(source) > MAX_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if _depth_is_bounded(tree) else None


def _depth_is_bounded(tree: ast.AST) -> bool:
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return True
    return False


def _printed(tree: ast.Module) -> str:
    try:
        return ast.unparse(tree)
    except (RecursionError, ValueError):
        return ""


def _changed(tree: ast.Module, change: _Change) -> str:
    """The program with one change, which is taken back; "" where the result is no program."""
    old = getattr(change.node, change.field)
    setattr(change.node, change.field, change.value)
    text = _printed(tree)
    setattr(change.node, change.field, old)
    return text if parsed(text) is not None else ""


def _spread(changes: list[_Change], limit: int) -> list[_Change]:
    """Evenly spaced ones first, then the others."""
    chosen = {i * len(changes) // limit for i in range(limit)} if len(changes) > limit else set(range(len(changes)))
    rest = [change for i, change in enumerate(changes) if i not in chosen]
    return [changes[i] for i in sorted(chosen)] + rest


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods; those inside a function belong to it."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            waiting = [*node.body, *waiting]


def _changes_in(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[_Change]:
    """Every change inside a function, in the order of its lines. Annotations and docstrings stay as they are."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        yield from _changes_of(node)
        waiting = [*_inside(node), *waiting]


def _inside(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return list(node.body)
    if isinstance(node, ast.AnnAssign):
        return [node.value] if node.value is not None else []
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
        return []
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return []
    return list(ast.iter_child_nodes(node))


def _changes_of(node: ast.AST) -> Iterator[_Change]:
    at = f"line {getattr(node, 'lineno', 0)}"
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        other = _OPERATORS[type(node.op)]
        yield _Change(node, "op", other(), f"{at}: {type(node.op).__name__} to {other.__name__}")
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        compared = _COMPARISONS[type(node.ops[0])]
        what = f"{at}: {type(node.ops[0]).__name__} to {compared.__name__}"
        yield _Change(node, "ops", [compared(), *node.ops[1:]], what)
    elif isinstance(node, ast.BoolOp):
        joined = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield _Change(node, "op", joined, f"{at}: {'or' if isinstance(node.op, ast.And) else 'and'} turned round")
    elif isinstance(node, ast.Constant):
        yield from _changes_of_constant(node, at)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield _Change(node, "test", ast.UnaryOp(ast.Not(), node.test), f"{at}: the condition turned round")
    elif isinstance(node, ast.Name) and node.id in _NAMES and isinstance(node.ctx, ast.Load):
        yield _Change(node, "id", _NAMES[node.id], f"{at}: {node.id} to {_NAMES[node.id]}")
    elif isinstance(node, ast.Attribute) and node.attr in _METHODS:
        yield _Change(node, "attr", _METHODS[node.attr], f"{at}: {node.attr} to {_METHODS[node.attr]}")
    elif isinstance(node, ast.Return) and node.value is not None:
        yield _Change(node, "value", ast.Constant(None), f"{at}: the result left out", late=True)
    yield from _left_out(node)


def _changes_of_constant(node: ast.Constant, at: str) -> Iterator[_Change]:
    value = node.value
    if isinstance(value, bool):
        yield _Change(node, "value", not value, f"{at}: {value} to {not value}")
    elif isinstance(value, int | float):
        yield _Change(node, "value", value + 1, f"{at}: {value} to {value + 1}")
    elif isinstance(value, str):
        yield _Change(node, "value", value + "x", f"{at}: a text made longer")


def _left_out(node: ast.AST) -> Iterator[_Change]:
    """The blocks of a node with one of their statements left out: those that do something but end nothing."""
    for field in ("body", "orelse"):
        block = getattr(node, field, None)
        if not isinstance(block, list):
            continue
        for place, statement in enumerate(block):
            does = isinstance(statement, ast.AugAssign) or (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            )
            if does:
                what = f"line {statement.lineno}: a statement left out"
                yield _Change(node, field, [*block[:place], ast.Pass(), *block[place + 1 :]], what, late=True)
