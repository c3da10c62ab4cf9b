"""Tests as code objects in which every assertion reports for itself, so that one that fails does not hide the rest.

`assert x, m` becomes a report that it holds, does not hold or raised, and the tests go on. Inside `with` it is reported
and still raises; inside `try` it is left as it is, since the tests mean to catch it, and the whole `try` counts as one.
The tests are the user's, not the model's: they are parsed in our own process, never run there.
"""

from __future__ import annotations

import ast
import builtins
import marshal
import symtable
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache

from teachable.verify.programs.sharing import shares_a_process

_HOOK = "__teachable_"
_BUILTINS = frozenset(vars(builtins)) | {"__name__", "__file__", "__doc__", "__builtins__"}
MODULE_NAMES = ("solution", "main", "submission", "candidate", "program", "your_module")


@dataclass(frozen=True)
class Tests:
    """Tests, ready to run.

    `wanted` are the names that they use and do not define; `shadows` builtins that a program may define because there
    is nothing else that it could be asked for; `n_assertions` is how many they write down;
    `literal_lines` are those of assertions that compare with a literal; `fault` is why they can't run,
    `shares` what of the program's process they count on (see `sharing`), `seeds` whether they seed random numbers.
    """

    units: tuple[tuple[str, int, object], ...] = ()
    wanted: tuple[str, ...] = ()
    shadows: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    entry: str = ""
    n_assertions: int = 0
    literal_lines: frozenset[int] = frozenset()
    fault: str = ""
    shares: str = ""
    seeds: bool = False

    def packed(self, *, probe: bool, write_back: bool, paths: tuple[str, ...]) -> bytes:
        """All that the tests' process needs, for `marshal`."""
        fields = ("units", "wanted", "shadows", "functions", "classes", "called", "modules", "entry", "seeds")
        rest = {"probe": probe, "write_back": write_back, "paths": list(paths)}
        return marshal.dumps({name: getattr(self, name) for name in fields} | rest)


@lru_cache(maxsize=256)
def prepared(source: str, entry: str = "", module: str = "") -> Tests:
    """The tests of that source; of one that can't be parsed, its `fault`.

    Args:
        source: Python with assertions, test functions, or unittest classes.
        entry: the name of the function that `check(candidate)` is called with where the tests do not call it.
        module: a further name under which the tests may import the program.
    """
    modules = (*MODULE_NAMES, *([module] if module else []))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            table = symtable.symtable(source, "tests", "exec")
            return _prepared(tree, table, entry, modules)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Tests(fault=f"the tests do not compile: {error}")


def _prepared(tree: ast.Module, table: symtable.SymbolTable, entry: str, modules: tuple[str, ...]) -> Tests:
    free = _free_names(table)
    star, imported = _imports(tree, modules)
    wanted = sorted(free - _BUILTINS)
    subject = [name for name in wanted if name not in sys.stdlib_module_names and not name.startswith("__")]
    shadows = sorted((free & _BUILTINS) - {entry}) if not (subject or imported or star or entry) else []
    names = {*wanted, *([entry] if entry else []), *(["*"] if star else [])}
    flags = _future_flags(tree)
    sites = _Assertions()
    seeds = any(isinstance(node, ast.Attribute) and node.attr == "seed" for node in ast.walk(tree))
    shares = shares_a_process(tree, modules)
    body = [sites.statement(statement) for statement in tree.body]
    units = []
    for before, after in zip(tree.body, body, strict=True):
        code = compile(_module(after), "tests.py", "exec", flags=flags, dont_inherit=True)
        kind = "import" if _foreign_import(before, modules) else ""
        units.append((kind, before.lineno, code))
    functions = [s.name for s in tree.body if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
    return Tests(
        units=tuple(units),
        wanted=tuple(sorted(names)),
        shadows=tuple(shadows),
        functions=tuple(dict.fromkeys(functions)),
        classes=tuple(dict.fromkeys(s.name for s in tree.body if isinstance(s, ast.ClassDef))),
        called=tuple(sorted(_called(tree))),
        modules=modules,
        entry=entry or (subject[0] if len(subject) == 1 else ""),
        n_assertions=sites.n_found,
        literal_lines=frozenset(sites.literal_lines),
        shares=shares,
        seeds=seeds,
    )


def _module(statements: list[ast.stmt]) -> ast.Module:
    return ast.fix_missing_locations(ast.Module(body=statements, type_ignores=[]))


def _free_names(table: symtable.SymbolTable) -> set[str]:
    """Names that any scope looks up globally and that the module itself never binds."""
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    used: set[str] = set()
    open_tables = [table]
    while open_tables:
        scope = open_tables.pop()
        top = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                used.add(symbol.get_name())
            if symbol.is_declared_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
        open_tables.extend(scope.get_children())
    return used - bound


def _imports(tree: ast.Module, modules: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether the tests import the program's names with a star, and whether they import it at all."""
    star = imported = False
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            imported = True
            star = star or any(alias.name == "*" for alias in node.names)
        elif isinstance(node, ast.Import):
            imported = imported or any(alias.name in modules for alias in node.names)
    return star, imported


def _foreign_import(statement: ast.stmt, modules: tuple[str, ...]) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module not in modules
    return isinstance(statement, ast.Import) and not any(alias.name in modules for alias in statement.names)


def _future_flags(tree: ast.Module) -> int:
    import __future__

    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(getattr(__future__, alias.name, None), "compiler_flag", 0)
    return flags


def _called(tree: ast.Module) -> set[str]:
    """Functions that the module's own statements call (not those inside definitions)."""
    found = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.add(node.id)
    return found


class _Assertions:
    """Rewrites statements; `n_found` counts the assertions that report."""

    def __init__(self) -> None:
        self.n_found = 0
        self.literal_lines: set[int] = set()

    def statement(self, node: ast.stmt, inside: str = "") -> list[ast.stmt]:
        """The statements that replace one; `inside` is "with" or "try" where it stands in one, else empty."""
        if isinstance(node, ast.Assert):
            return self._assertion(node, inside)
        if isinstance(node, ast.Try | ast.TryStar):
            return self._attempt(node, inside)
        below = "with" if isinstance(node, ast.With | ast.AsyncWith) and not inside else inside
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            below = ""
        for field in ("body", "orelse"):
            inner = getattr(node, field, None)
            if isinstance(inner, list) and inner and isinstance(inner[0], ast.stmt):
                setattr(node, field, [new for old in inner for new in self.statement(old, below)])
        for case in getattr(node, "cases", []):
            case.body = [new for old in case.body for new in self.statement(old, below)]
        if _is_main_guard(node):
            node.test = ast.copy_location(ast.Constant(True), node.test)  # type: ignore[attr-defined]
        return [node]

    def _attempt(self, node: ast.Try | ast.TryStar, inside: str) -> list[ast.stmt]:
        for part in (node.body, node.orelse, node.finalbody, *[handler.body for handler in node.handlers]):
            part[:] = [new for old in part for new in self.statement(old, "try")]
        checks = any(isinstance(inner, ast.Assert | ast.Raise) for inner in ast.walk(node))
        if inside == "try" or not checks:
            return [node]
        self.n_found += 1
        return [node, _at(ast.Expr(_call("passed", [])), node)]

    def _assertion(self, node: ast.Assert, inside: str) -> list[ast.stmt]:
        if inside == "try":
            return [node]
        self.n_found += 1
        if isinstance(node.test, ast.Compare) and any(map(_is_literal, [node.test.left, *node.test.comparators])):
            self.literal_lines.add(node.lineno)
        line = ast.Constant(node.lineno)
        message = [node.msg] if node.msg is not None else []
        bad = _call("failed_inside" if inside else "failed", [line, *message])
        report: ast.stmt = ast.If(node.test, [ast.Expr(_call("passed", []))], [ast.Expr(bad)])
        if not inside:
            handler = ast.ExceptHandler(_name("any"), None, [ast.Expr(_call("raised", [line]))])
            report = ast.Try(body=[report], handlers=[handler], orelse=[], finalbody=[])
        return [_at(report, node)]


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _name(hook: str) -> ast.Name:
    return ast.Name(f"{_HOOK}{hook}__", ast.Load())


def _call(hook: str, arguments: list[ast.expr]) -> ast.Call:
    return ast.Call(_name(hook), arguments, [])


def _at(new: ast.stmt, old: ast.stmt) -> ast.stmt:
    return ast.copy_location(new, old)


def _is_main_guard(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":`, which the tests' process takes as true."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    left = node.test.left
    return isinstance(left, ast.Name) and left.id == "__name__" and "__main__" in ast.unparse(node.test)
