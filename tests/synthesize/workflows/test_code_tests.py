"""Single tests out of suites; programs and the tests that stand in one file with them."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.synthesize.workflows.code_tests import (
    FIXTURE,
    NO_ASSERTION,
    NO_CALL,
    NOT_PLAIN,
    OWN,
    SingleTest,
    as_function,
    merged,
    names_used,
    single_tests,
    source_of,
    split_program,
)


def bodies(source: str, *names: str) -> list[str]:
    suite = single_tests(source, names or ("f",))
    assert suite is not None
    return [test.body for test in suite.tests]


def left_out(source: str) -> dict[str, int]:
    suite = single_tests(source, ["f"])
    assert suite is not None and not suite.tests
    return dict(suite.left_out)


def test_each_test_brings_what_it_needs_and_no_more() -> None:
    source = (
        "import math\nimport string\nfrom solution import f\nTWO = 2\nFOUR = TWO * 2\ndef near(a, b):\n"
        "    return math.isclose(a, b)\ndef test_a():\n    '''A text.'''\n    assert near(f(FOUR), 1)\n"
        "assert f(1) == 1\ntest_a()\nif __name__ == '__main__':\n    test_a()\n"
    )
    near = "def near(a, b):\n    return math.isclose(a, b)"
    first = f"import math\nTWO = 2\nFOUR = TWO * 2\n\n{near}\nassert near(f(FOUR), 1)"
    assert bodies(source) == [first, "assert f(1) == 1"]


def test_one_test_twice_is_one() -> None:
    assert bodies("assert f(1) == 1\ndef test_x():\n    assert f(1)==1, 'why'\nassert f(2) == 1") == [
        "assert f(1) == 1",
        "assert f(2) == 1",
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def test_a():\n    assert 1 == 1", NO_CALL),
        ("def test_a():\n    f(1)", NO_ASSERTION),
        ("def test_a(tmp_path):\n    assert f(tmp_path)", FIXTURE),
        ("@mark\ndef test_a():\n    assert f(1)", FIXTURE),
        ("import os\nassert f(os.getcwd())", NOT_PLAIN),
        ("from .x import y\nassert f(y)", NOT_PLAIN),
        ("def test_a():\n    import random\n    assert f(random.random())", NOT_PLAIN),
        ("assert f(exec('1'))", NOT_PLAIN),
        ("assert f(1).__class__ == int", NOT_PLAIN),
        ("assert f(__file__)", NOT_PLAIN),
        ("def test_a():\n    global x\n    assert f(1)", NOT_PLAIN),
        ("def f(x):\n    return 1\nassert f(1) == 1", OWN),
        ("f = lambda x: 1\nassert f(1) == 1", OWN),
        ("def test_a():\n    f = lambda x: 1\n    assert f(1)", NOT_PLAIN),
        ("import solution\nassert solution.f(1)", NO_CALL),
        ("def test_a():\n    assert f('" + "x" * 5000 + "')", "too long"),
    ],
)
def test_what_is_left_out_says_why(source: str, reason: str) -> None:
    assert left_out(source) == {reason: 1}


def test_what_is_no_python_is_no_suite() -> None:
    assert single_tests("Here are tests: assert f(1)", ["f"]) is None and bodies("x = 1") == []


def test_suites_are_merged_with_the_numbers_of_who_wrote_what() -> None:
    sources = ("assert f(1)\nassert f(2)\nassert f(3)", "assert f(2)\nassert f(9)")
    suites = [single_tests(source, ["f"]) for source in sources]
    example = single_tests("assert f(9)", ["f"])
    assert example is not None
    found = merged([suite for suite in suites if suite is not None], 2, example.tests)
    assert [(test.body[-2], set(test.suites), test.is_example) for test in found] == [
        ("9", set(), True),
        ("1", {0}, False),
        ("2", {0, 1}, False),
    ]


def test_tests_are_put_together_as_functions() -> None:
    tests = [SingleTest("assert f(1) == 'a\\nb'", "1"), SingleTest("for i in range(2):\n    assert g(i)", "2")]
    text = source_of(tests)
    assert [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)] == ["test_0", "test_1"]
    assert bodies(text, "f", "g") == [test.body for test in tests] and names_used(tests, "fgh") == ("f", "g")
    plain = as_function(SingleTest("assert f(1), 'm'", ""), "case", ["f"], plain=True)
    assert plain == "def case(f):\n    if not f(1):\n        raise AssertionError"


def test_texts_of_several_lines_keep_their_lines() -> None:
    body = bodies("def test_a():\n    assert f(f'''{1}\nz''') == '1\\nz'")[0]
    space: dict[str, Any] = {"f": str}
    exec(source_of([SingleTest(body, "")]), space)
    space["test_0"]()


def test_a_file_is_split_into_program_and_tests() -> None:
    source = (
        "import math\n\n# a comment that stays\ndef f(x):\n    return math.floor(x)\n\n\n@mark\ndef test_f():\n"
        "    assert f(1.5) == 1\n\nassert f(2) == 2\n\nclass TestF:\n    pass\n\nif __name__ == '__main__':\n    f(1)\n"
    )
    program, tests = split_program(source)
    assert program == "import math\n\n# a comment that stays\ndef f(x):\n    return math.floor(x)\n"
    assert tests.startswith("import math\n@mark\ndef test_f():") and "class TestF" in tests and "__main__" not in tests
    assert split_program("def f(): pass\n") == ("def f(): pass\n", "") and split_program("def f(") == ("", "")


@given(st.text("def testf():=1 \nasr[]'\"", max_size=60))
def test_nothing_raises(source: str) -> None:
    suite = single_tests(source, ["f"])
    split_program(source)
    if suite is not None and suite.tests:
        ast.parse(source_of(suite.tests))
