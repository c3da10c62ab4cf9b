"""Single tests out of a suite that a model wrote: each a function of its own, with what it needs, that can fail.

A suite is Python source with top-level assertions and functions called `test...`. What a test needs of the rest (an
import, a value, a helper) goes into it, so that tests of several suites can stand in one file and be run, dropped and
counted one by one.

Tests are read, never run, here. What is left out, and counted: a test that never names the program's functions, one
that asserts nothing, one that needs a fixture, and one beyond plain Python: a module that is not in `MODULES` (files,
clocks, random numbers, the process itself), a name with two underscores, `exec` and its like. A suite that defines the
function that it should test does not get to test its own.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from teachable.synthesize.checks.mutants import parsed
from teachable.verify.programs.rewriting import MODULE_NAMES

MAX_TEST_CHARS = 4000
_MODULES = """
math itertools functools collections fractions decimal statistics heapq bisect string re operator copy typing datetime
json pytest cmath numbers enum dataclasses textwrap unicodedata
"""
MODULES = frozenset(_MODULES.split())
_BANNED_NAMES = """
exec eval compile open input exit quit breakpoint globals locals vars setattr delattr getattr memoryview
"""
_BANNED = frozenset(_BANNED_NAMES.split())
NO_CALL, NO_ASSERTION, FIXTURE, NOT_PLAIN, TOO_LONG, OWN = (
    "does not use the program",
    "asserts nothing",
    "needs a fixture",
    "not plain Python",
    "too long",
    "defines what it tests",
)


@dataclass(frozen=True)
class SingleTest:
    """One test.

    Attributes:
        body: its statements, as source without indentation.
        key: its normal form; two tests with one key are one.
        suites: numbers of the suites that have it; none for a task's own example.
    """

    body: str
    key: str
    suites: frozenset[int] = frozenset()

    @property
    def is_example(self) -> bool:
        """Whether it is a task's own example."""
        return not self.suites


@dataclass(frozen=True)
class Suite:
    """The tests of one suite, and what was left out of it, by reason."""

    tests: tuple[SingleTest, ...]
    left_out: Counter[str]


def single_tests(source: str, names: Collection[str]) -> Suite | None:
    """The single tests of a suite, or None where it is no Python.

    Args:
        source: of the suite.
        names: what the program defines: functions and classes.
    """
    tree = parsed(source)
    if tree is None:
        return None
    own = {name for statement in tree.body for name in _bound(statement)} & set(names)
    found: dict[str, SingleTest] = {}
    left_out: Counter[str] = Counter()
    rest = [statement for statement in tree.body if not _is_test(statement) and not _is_idle(statement)]
    for statement in filter(_is_test, tree.body):
        made = _test(statement, rest, frozenset(names), frozenset(own))
        if isinstance(made, str):
            left_out[made] += 1
        else:
            found.setdefault(made.key, made)
    return Suite(tuple(found.values()), left_out)


def merged(suites: Sequence[Suite], most: int, before: Sequence[SingleTest] = ()) -> list[SingleTest]:
    """The tests of several suites, each once with the numbers of the suites that have it.

    Args:
        most: tests that are taken from one suite.
        before: tests that come first: a task's examples, which stay examples.
    """
    found = {test.key: test for test in before}
    for number, suite in enumerate(suites):
        for test in suite.tests[:most]:
            known = found.setdefault(test.key, replace(test, suites=frozenset((number,))))
            if known.suites:
                found[test.key] = replace(known, suites=known.suites | {number})
    return list(found.values())


def source_of(tests: Sequence[SingleTest]) -> str:
    """A file of tests: a function each."""
    return "\n\n".join(as_function(test, f"test_{i}") for i, test in enumerate(tests)) + "\n"


def as_function(test: SingleTest, name: str, arguments: Sequence[str] = (), *, plain: bool = False) -> str:
    """A test as a function of that name.

    Args:
        arguments: names that it is given.
        plain: every assertion as the `if` and `raise` that it means, which nothing rewrites.
    """
    body = ast.parse(test.body).body
    if plain:
        body = [_Plain().visit(node) for node in body]
    given = ast.arguments(
        posonlyargs=[], args=[ast.arg(one) for one in arguments], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    function = ast.FunctionDef(name=name, args=given, body=body, decorator_list=[])
    return ast.unparse(ast.fix_missing_locations(ast.Module(body=[function], type_ignores=[])))


class _Plain(ast.NodeTransformer):
    """Assertions as conditions."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """`assert x` as `if not x: raise AssertionError`."""
        raised = ast.Raise(ast.Name("AssertionError", ast.Load()), None)
        return ast.If(ast.UnaryOp(ast.Not(), node.test), [raised], [])


def names_used(tests: Iterable[SingleTest], names: Collection[str]) -> tuple[str, ...]:
    """Which of the program's names tests use, sorted."""
    used: set[str] = set()
    for test in tests:
        used |= _loaded(ast.parse(test.body)) & set(names)
    return tuple(sorted(used))


def definitions(source: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a program's own, by name; empty where it is no Python. The last of a name counts."""
    tree = parsed(source)
    nodes = tree.body if tree is not None else []
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def split_program(source: str) -> tuple[str, str]:
    """A file of code as (program, tests that stand in it): `test...` functions, `Test...` classes, assertions, the
    `if __name__ == "__main__":` block. ("", "") where it is no Python.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    tree = parsed(source)
    if tree is None:
        return "", ""
    lines = source.split("\n")
    tests, program = [], list(lines)
    for node in tree.body:
        if not (_is_test(node) or _is_test_class(node) or _is_main(node)):
            continue
        begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        end = node.end_lineno or node.lineno
        if not _is_main(node):
            tests.append("\n".join(lines[begin:end]))
        program[begin:end] = [""] * (end - begin)
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    kept = "\n".join(program).strip("\n")
    return kept + "\n" if kept else "", "\n".join([*imports, *tests]) + "\n" if tests else ""


def _test(
    statement: ast.stmt, rest: Sequence[ast.stmt], names: frozenset[str], own: frozenset[str]
) -> SingleTest | str:
    """A test made of a top-level statement and what it needs of the others, or why it is none."""
    if isinstance(statement, ast.FunctionDef):
        if statement.decorator_list or _needs_arguments(statement):
            return FIXTURE
        body = [node for node in statement.body if not _is_text(node)]
    else:
        body = [statement]
    needed = _needed(body, rest)
    if any(set(_bound(node)) & own for node in needed):
        return OWN
    whole = [node for node in (*needed, *body) if not _imports_program(node)]
    module = ast.Module(body=whole, type_ignores=[])
    if not _loaded(module) & names:
        return NO_CALL
    if not any(isinstance(node, ast.Assert) or _is_raises(node) for node in ast.walk(module)):
        return NO_ASSERTION
    if any(_is_beyond(node) for node in ast.walk(module)) or {n for s in whole for n in _bound(s)} & names:
        return NOT_PLAIN
    try:
        text = ast.unparse(module)
    except (RecursionError, ValueError):
        return NOT_PLAIN
    if len(text) > MAX_TEST_CHARS:
        return TOO_LONG
    return SingleTest(text, _key(module))


def _key(module: ast.Module) -> str:
    """The test without what does not change what it says: messages of assertions, where it stands."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assert):
            node.msg = None
    return ast.dump(module)


def _needed(body: Sequence[ast.stmt], rest: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The other statements that bind what a test uses, and what those use in turn; in their order."""
    binds = [frozenset(_bound(node)) for node in rest]
    waiting = {name for node in body for name in _loaded(node)}
    chosen: set[int] = set()
    while waiting:
        found = {i for i, bound in enumerate(binds) if bound & waiting and i not in chosen}
        chosen |= found
        waiting = {name for i in found for name in _loaded(rest[i])}
    return [rest[i] for i in sorted(chosen)]


def _bound(node: ast.AST) -> list[str]:
    """Names that a statement binds where it stands."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        return [] if module in MODULE_NAMES else [(a.asname or a.name).partition(".")[0] for a in node.names]
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name.startswith("test")
    if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef) or _is_main(node):
        return False
    return any(isinstance(inner, ast.Assert) for inner in ast.walk(node))


def _is_idle(node: ast.stmt) -> bool:
    """Whether a statement only runs or describes what is there."""
    return isinstance(node, ast.Expr) or _is_main(node)


def _is_test_class(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and (
        node.name.startswith("Test") or any("TestCase" in ast.unparse(base) for base in node.bases)
    )


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in _loaded(node.test)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _imports_program(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module in MODULE_NAMES and all(not a.asname for a in node.names)


def _is_raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "raises"


def _needs_arguments(function: ast.FunctionDef) -> bool:
    arguments = function.args
    n_positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return n_positional > 0 or any(default is None for default in arguments.kw_defaults)


def _is_beyond(node: ast.AST) -> bool:
    """Whether a test does what plain tests have no need of."""
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] not in MODULES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").partition(".")[0] not in MODULES
    if isinstance(node, ast.Name):
        return node.id in _BANNED or "__" in node.id
    if isinstance(node, ast.Attribute):
        return "__" in node.attr or node.attr == "main"
    return isinstance(node, ast.Global | ast.Nonlocal | ast.AsyncFunctionDef | ast.Await | ast.Yield | ast.YieldFrom)
