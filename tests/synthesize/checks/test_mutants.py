"""Mutants differ from their program in one place; stubs do nothing."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.synthesize.checks.mutants import MAX_CHARS, mutants, parsed, stubs

CLAMP = '''
def clamp(x: int, low: int, high: int = 10) -> int:
    """Between low and high."""
    if x < low:
        return low
    total = 0
    total += 3
    names = [word.upper() for word in ("a", "b") if word and low]
    return min(x + total - 3, high)
'''


def defined(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(source, space)
    return space


def test_each_mutant_differs_in_one_place() -> None:
    lines = ast.unparse(ast.parse(CLAMP)).splitlines()
    found = mutants(CLAMP, limit=100)
    kinds = {mutant.what.partition(": ")[2] for mutant in found}
    assert {"Lt to LtE", "the condition turned round", "0 to 1", "upper to lower", "or turned round"} <= kinds
    assert {"min to max", "Add to Sub", "Sub to Add", "the result left out", "a text made longer"} <= kinds
    for mutant in found:
        others = mutant.source.splitlines()
        differing = [(a, b) for a, b in zip(lines, others, strict=True) if a != b]
        assert len(differing) == 1, mutant.what
        assert differing[0][0].strip() and not differing[0][0].lstrip().startswith(("def", '"""'))
    assert len({mutant.source for mutant in found}) == len(found)


def test_mutants_behave_differently() -> None:
    function = "def double(x):\n    return x * 2\n"
    results = {defined(mutant.source)["double"](5) for mutant in mutants(function)}
    assert results == {7, 15, None}


def test_a_limit_spreads_them_and_is_the_same_each_time() -> None:
    body = "".join(f"    x = x + {i}\n" for i in range(50))
    source = f"def f(x):\n{body}    return x\n"
    found = mutants(source, limit=5)
    assert len(found) == 5 and found == mutants(source, limit=5)
    lines = [int(mutant.what.split(":")[0].removeprefix("line ")) for mutant in found]
    assert min(lines) < 8 and max(lines) > 35


def test_methods_and_inner_functions_count_annotations_and_the_module_do_not() -> None:
    source = "LIMIT = 3\nclass A:\n    top = 4\n    def m(self, x: 'a'):\n        y: 'b' = 7\n        return y\n"
    assert [mutant.what for mutant in mutants(source)] == ["line 5: 7 to 8", "line 6: the result left out"]
    inner = "def f():\n    def g():\n        return 1 + 1\n    return g()\n"
    assert "line 3: Add to Sub" in [mutant.what for mutant in mutants(inner)]


@pytest.mark.parametrize(
    "source", ["", "x = 1", "def f(: pass", "def f():\n    pass\n", "(" * 5000, "x\0", "-" * 9999 + "1"]
)
def test_what_gives_no_mutants(source: str) -> None:
    assert mutants(source) == ()


def test_large_programs_are_not_parsed() -> None:
    assert parsed("x = 1\n" * MAX_CHARS) is None and parsed("x = 1") is not None
    assert parsed("x = " + "-" * 300 + "1") is None and parsed("x = " + "+".join("1" * 300)) is None
    elifs = "".join(f"    elif x == {i}:\n        return {i}\n" for i in range(40))
    assert mutants(f"def f(x):\n    if x:\n        return 7\n{elifs}")


def test_stubs_do_nothing_in_four_ways() -> None:
    found = stubs(["f", "Stack"], ["Stack"])
    assert len(found) == 4
    assert defined(found["functions that return None"])["f"](1, b=2) is None
    assert defined(found["functions that return their first argument"])["f"](1) == 1
    assert defined(found["functions that return None"])["Stack"](3).push(4) is None
    assert defined(found["functions that return their first argument"])["Stack"]().push(4) == 4
    with pytest.raises(NotImplementedError):
        defined(found["functions that raise NotImplementedError"])["f"]()
    with pytest.raises(NameError):
        defined(found["an empty program"])["Stack"]()


@given(st.text("def f(x):\n\treturn 1+-*%<>= []{}'\"#", max_size=60))
def test_nothing_raises(source: str) -> None:
    for mutant in mutants(source):
        ast.parse(mutant.source)
