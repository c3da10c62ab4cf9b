"""Instruction reversal of code: what is reversed, the tests that decide, and the first lines that a reader is given."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from teachable.records import Prompt, content_id
from teachable.synthesize.again import drawn
from teachable.synthesize.asking import StepContext, together
from teachable.synthesize.checks.mutants import MAX_CHARS, parsed
from teachable.synthesize.items import Drop, Seed, user
from teachable.synthesize.workflows.code_asking import suite_of
from teachable.synthesize.workflows.code_choice import Choice, weeded
from teachable.synthesize.workflows.code_tests import (
    SingleTest,
    definitions,
    merged,
    names_used,
    source_of,
    split_program,
)
from teachable.synthesize.workflows.programs_run import passed_by
from teachable.synthesize.workflows.reverse_options import ReverseOptions

PYTHON = frozenset(("python", "py", "python3"))
NOT_PYTHON, NOTHING, OWN_FAIL, FEW_TESTS, WEAK = (
    "not Python",
    "defines nothing to call",
    "its own tests fail on it",
    "too few tests",
    "weak tests",
)


@dataclass(frozen=True)
class Tested:
    """Code with tests that it passes.

    Attributes:
        program: the code without its tests.
        answer: the tests, as source.
        names: what of the code the tests use.
        interface: the first lines of those.
        meta: what the verifier needs beyond the tests.
        own: the tests came with the code.
    """

    program: str
    answer: str
    names: tuple[str, ...]
    interface: str
    meta: dict[str, Any]
    own: bool

    @property
    def response(self) -> str:
        """The code as an answer."""
        return fenced(self.program)

    def prompt(self, text: str) -> Prompt:
        """An instruction as a prompt that the tests verify."""
        return Prompt(
            id=content_id(user(text), self.answer),
            domain="code",
            messages=user(text),
            answer=self.answer,
            verifier="code",
            meta=self.meta,
        )


def fenced(program: str) -> str:
    """A program as a Markdown code block."""
    return f"```python\n{program.strip()}\n```"


async def tested(seed: Seed, ctx: StepContext) -> Tested:
    """The code with tests: those that came with it, or generated ones that it passes and stubs and mutants fail.

    Raises:
        Drop: it is no Python, defines nothing, fails its own tests, or too few tests are left.
    """
    if seed.language.lower() not in PYTHON or parsed(seed.text) is None or len(seed.text) > MAX_CHARS:
        raise Drop(NOT_PYTHON, f"only Python can be run here, and this is {seed.language or 'unknown'}", seed.text)
    program, inside = split_program(seed.text)
    if not definitions(program):
        raise Drop(NOTHING, "it has no function and no class of its own", seed.text)
    for tests in (str(seed.meta.get("tests") or ""), inside):
        found = await _by_own_tests(seed, program, tests, ctx) if tests.strip() else None
        if found is not None:
            return found
    return await _by_new_tests(program, ctx)


async def _by_own_tests(seed: Seed, program: str, tests: str, ctx: StepContext) -> Tested | None:
    """The code with the tests that came with it; None where those can't tell.

    Raises:
        Drop: it fails them.
    """
    names = _used(tests, program)
    meta = {name: seed.meta[name] for name in ("entry_point", "module") if seed.meta.get(name)}
    found = Tested(program, tests, names, interface_of(program, names), meta, own=True)
    verdict = await ctx.verify(found.response, found.prompt("its own"))
    if verdict.correct is False:
        raise Drop(OWN_FAIL, verdict.reason, tests)
    return found if verdict.correct and names else None


async def _by_new_tests(program: str, ctx: StepContext) -> Tested:
    options: ReverseOptions = ctx.options
    names = sorted(name for name in definitions(program) if not name.startswith("_"))
    if not names:
        raise Drop(NOTHING, "all that it defines is private", program)
    rendered = ctx.render("tests", {"program": program, "names": names})
    suites = await drawn(
        ctx, rendered, options.k_suites, lambda text: suite_of(text, names), role="tester", tag="tests"
    )
    left = await _validated(program, merged(suites, options.suite_tests), names, options)
    used = names_used(left, names)
    found = Tested(program, source_of(left), used, interface_of(program, used), {}, own=False)
    verdict = await ctx.verify(found.response, found.prompt("generated"))
    if verdict.correct is not True:
        raise Drop(FEW_TESTS, f"the tests do not verify the code: {verdict.reason}", found.answer)
    return found


async def _validated(
    program: str, tests: Sequence[SingleTest], names: Sequence[str], options: ReverseOptions
) -> list[SingleTest]:
    """Tests that the code passes, that no stub does, and of which each refutes a mutant.

    Raises:
        Drop: there are too few, or they refute too few mutants.
    """
    classes = [name for name, node in definitions(program).items() if isinstance(node, ast.ClassDef)]
    (able, idle), ran = await together([_weeded(tests, names, classes), _passed(program, tests, names)])
    right = [test for place, test in enumerate(tests) if place in ran and test in able]
    what = f"of {len(tests)} tests {len(idle)} pass on a stub and {len(tests) - len(ran)} fail on the code"
    if len(right) < options.min_tests:
        raise Drop(FEW_TESTS, what, program)
    choice = Choice(program, tuple(right), 1, 0, 1.0)
    await choice.try_mutants(names, options.mutants)
    left = choice.best(options.max_tests)
    if len(left) < options.min_tests:
        raise Drop(FEW_TESTS, f"{what}; {choice.n_blind} pass on every mutant", program)
    if choice.frac_killed < options.min_killed:
        raise Drop(WEAK, f"they refute {choice.frac_killed:.0%} of {choice.n_mutants} mutants", program)
    return left


async def _weeded(tests: Sequence[SingleTest], names: Sequence[str], classes: Sequence[str]) -> Any:
    return await weeded(tests, names, classes)


async def _passed(program: str, tests: Sequence[SingleTest], names: Sequence[str]) -> Any:
    return (await passed_by(program, tests, names)).passed


def interface_of(program: str, names: Sequence[str]) -> str:
    """The first lines of functions and classes, with `...` for what they do; public methods of classes too."""
    found = definitions(program)
    return "\n\n".join(_first_lines(found[name]) for name in names if name in found)


def _first_lines(node: ast.FunctionDef | ast.ClassDef) -> str:
    if isinstance(node, ast.FunctionDef):
        return ast.unparse(_emptied(node))
    methods = [
        _emptied(inner)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef) and (inner.name == "__init__" or not inner.name.startswith("_"))
    ]
    body: list[ast.stmt] = [*methods] or [ast.Expr(ast.Constant(...))]
    return ast.unparse(ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list))


def _emptied(node: ast.FunctionDef) -> ast.FunctionDef:
    return ast.FunctionDef(
        node.name, node.args, [ast.Expr(ast.Constant(...))], node.decorator_list, node.returns, lineno=1
    )


def _used(tests: str, program: str) -> tuple[str, ...]:
    """Which definitions of the program tests name."""
    tree = parsed(tests)
    nodes = list(ast.walk(tree)) if tree is not None else []
    named = {node.id for node in nodes if isinstance(node, ast.Name)}
    named |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return tuple(name for name in definitions(program) if name in named)
