"""The problem of the workflow `code`: what a model writes of it, what is checked before anything is run, its prompt."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from teachable.synthesize.checks.mutants import parsed
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.code_leaks import gives_away
from teachable.synthesize.workflows.code_tests import SingleTest, single_tests

SIGNATURE, EXAMPLES, STATEMENT, GIVEN_AWAY = "no signature", "wrong examples", "not self-contained", "holds a solution"
_LEANS = re.compile(
    r"\b(?:the|this|that) (?:passage|document|excerpt|material|text above"
    r"|(?:given|above|original) (?:code|text|program))\b",
    re.IGNORECASE,
)


class Example(BaseModel):
    """A call, and what it returns."""

    model_config = ConfigDict(frozen=True)

    call: str = Field(min_length=3, max_length=500, description="a call of the function, such as total([1, 2])")
    result: str = Field(min_length=1, max_length=500, description="what it returns, as a Python literal, such as 3")


class Interface(BaseModel):
    """How a problem's function is called."""

    model_config = ConfigDict(frozen=True)

    signature: str = Field(
        min_length=8,
        max_length=300,
        description="the function's first line, with types, such as def total(numbers: list[int]) -> int",
    )
    examples: tuple[Example, ...] = Field(max_length=6, description="calls with their results, right ones")


class Problem(Interface):
    """A problem that asks for one function."""

    statement: str = Field(
        min_length=40,
        max_length=4000,
        description="what the function has to do, complete by itself, with the edge cases; no code that solves it",
    )

    @property
    def whole(self) -> str:
        """All that the model wrote."""
        return "\n".join([self.statement, self.signature, *(f"{one.call} {one.result}" for one in self.examples)])


@dataclass(frozen=True)
class Task:
    """A problem as it is asked: its text with the signature, the function's name, and its examples as tests."""

    text: str
    name: str
    signature: str
    examples: tuple[SingleTest, ...]


def task_of(statement: str, interface: Interface) -> Task:
    """The task of a statement and of an interface in which `fault_of` finds nothing."""
    function = _function(interface.signature)
    assert function is not None
    signature = _printed(function)
    lines = [statement.strip(), "", "Write it in Python, as a function with this signature:", "", "```python"]
    lines += [signature, "```"]
    shown = [example for example in interface.examples if example.call not in statement]
    if shown:
        lines += ["", "For example:", *(f"- `{one.call.strip()}` returns `{one.result.strip()}`" for one in shown)]
    return Task("\n".join(lines), function.name, signature, _tests(interface.examples, function.name))


def fault_of(interface: Interface) -> Fault | None:
    """What is wrong with a problem, or None."""
    function = _function(interface.signature)
    if function is None:
        return Fault(SIGNATURE, f"The signature {interface.signature[:80]!r} is not the first line of one function.")
    for example in interface.examples:
        if len(_tests([example], function.name)) != 1:
            shown = f"{example.call[:60]} -> {example.result[:60]}"
            return Fault(
                EXAMPLES, f"The example {shown!r} is no call of {function.name} with a Python literal as its result."
            )
    if not isinstance(interface, Problem):
        return None
    given = gives_away(interface.statement)
    if given:
        return Fault(GIVEN_AWAY, f"The statement gives the solution away ({given}); say what is asked, not how.")
    leans = _LEANS.search(interface.statement)
    if leans is not None:
        return Fault(STATEMENT, f"The statement speaks of {leans.group()!r}, which its reader does not have.")
    return None


def _function(signature: str) -> ast.FunctionDef | None:
    """The one function that a signature is the first line of."""
    first = signature.strip().removeprefix("```python").strip("` \n").rstrip().rstrip(":")
    tree = parsed(f"{first}: pass")
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    function = tree.body[0]
    plain = not keyword.iskeyword(function.name) and not hasattr(builtins, function.name)
    good = plain and not function.name.startswith(("_", "test")) and not function.decorator_list
    return function if good and "\n" not in first and len(function.body) == 1 else None


def _printed(function: ast.FunctionDef) -> str:
    return ast.unparse(function).rpartition("\n")[0].rstrip()


def _tests(examples: Sequence[Example], name: str) -> tuple[SingleTest, ...]:
    """Examples as tests; none for one that is no call with a literal as its result."""
    found: list[SingleTest] = []
    for example in examples:
        call, result = parsed(f"({example.call}\n)"), parsed(f"({example.result}\n)")
        if call is None or result is None or not _calls(call, name):
            continue
        try:
            value = ast.literal_eval(example.result.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        text = f"{example.call.strip()} == {value!r}"
        if isinstance(value, float):
            text = f"abs({example.call.strip()} - ({value!r})) < 1e-6"
        suite = single_tests(f"assert {text}", [name])
        found += suite.tests if suite is not None else ()
    return tuple(found)


def _calls(tree: ast.Module, name: str) -> bool:
    node = tree.body[0] if len(tree.body) == 1 else None
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == name
