"""Who is at fault, what counts as a program, standard input and output, and other languages."""

from __future__ import annotations

import asyncio
import json
import shutil
import time

import pytest
from tests.verify.programs.running import needs_sandbox, verdict

from teachable.records import Prompt, Verdict
from teachable.verify.programs import Bounds, Code
from teachable.verify.programs.cases import same_output
from teachable.verify.programs.program import program_in

pytestmark = needs_sandbox

SQUARE = "def f(x): return x * x"
TESTS = "assert f(3) == 9\nassert f(4) == 16"


@pytest.mark.parametrize(
    "tests",
    [
        "assert True",
        "pass\nassert 1 + 1 == 2",
        "try:\n    assert f(3) == 9\nexcept Exception:\n    pass",
        "def test_it():\n    pass",
    ],
)
def test_tests_that_cannot_fail_are_worthless(tests: str) -> None:
    found = verdict(SQUARE, tests)
    assert found.correct is None and "cannot fail" in found.reason and "an empty solution" in found.reason


def test_tests_that_any_function_passes_are_worthless() -> None:
    found = verdict("def f(x): pass", "assert f(3) is None")
    assert found.correct is None and "all return None" in found.reason


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("assert f(3) ==", "do not compile"),
        ("import a_module_that_is_not_there\nassert f(3) == 9", "at fault"),
        ("from math import no_such_name\nassert f(3) == 9", "at fault"),
        ("x = f(3)", "no assertion"),
        ("def check(c):\n    assert c(3) == 9\ndef g(): return h() + k()", "no entry_point"),
        ("import pytest\n@pytest.fixture\ndef x(): return 3\ndef test_it(x): assert f(x) == 9", "pytest"),
        ("def test_it(tmp_path): assert f(3) == 9", "fixture"),
        ("class G(F): pass\nassert F().x == 9", "derive a class"),
        ("", "no tests"),
    ],
)
def test_a_fault_of_the_tests_is_not_held_against_the_program(tests: str, reason: str) -> None:
    found = verdict(f"{SQUARE}\nclass F: x = 9", tests)
    assert found.correct is None and reason in found.reason


@pytest.mark.parametrize(
    ("program", "reason", "share"),
    [
        ("def f(x): return x *", "does not compile", 0.0),
        ("raise ValueError('no')", "fails before the tests: ValueError: no", 0.0),
        ("def g(x): return x * x", "'f' is not defined", 0.0),
        ("def f(x): return 9", "1 of 2 tests pass; line 2: the assertion does not hold", 0.5),
        ("def f(x): return 9 if x == 3 else 1 / 0", "line 2: ZeroDivisionError", 0.5),
        ("def f(x):\n    while x > 3: pass\n    return 9", "1 of 2 tests pass; it runs out of", 0.5),
    ],
)
def test_a_fault_of_the_program_says_what(program: str, reason: str, share: float) -> None:
    found = verdict(program, TESTS, Bounds(cpu_s=1.0, wall_s=2.0))
    assert (found.correct, found.frac_passed) == (False, share) and reason in found.reason, found


def test_changes_of_arguments_that_tests_may_be_about() -> None:
    """Tests that compare with a literal may be about the argument itself; those that compare with it can't be told."""
    program = "def f(xs):\n    xs.clear()\n    return 0"
    assert verdict(program, "xs = [1]\nassert f(xs) == 0\nassert xs == []").correct is True
    found = verdict("def f(xs):\n    xs.clear()\n    return []", "xs = [1]\nwant = xs\nassert f(xs) == want")
    assert found.correct is None and "changes its arguments" in found.reason


@pytest.mark.parametrize(
    ("attempt", "program"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("x = 1", "x = 1"),
        ("Two:\n```py\ndef f(): pass\n```\nUse:\n```python\nf()\n```", "def f(): pass\n"),
        (
            "```python\ndef f(): pass\n```\nBetter:\n```python\ndef f(): return 1\n```\nOutput:\n```\n1\n```",
            "def f(): return 1\n",
        ),
        ("```\nx = 1\n```\n```bash\nls\n```", "x = 1\n"),
        ("<think>```python\nx = 2\n```</think>\n```python\nx = 1\n```", "x = 1\n"),
        ("<think>```python\nx = 2\n```</think>", None),
        ("<think>```python\nx = 2\n```", None),
        ("```python\nx = 1\n", "x = 1\n"),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("1. So:\n   ```python\n   x = 1\n   ```", "x = 1\n"),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("```python\n```", None),
        ("", None),
        ("  \n ", None),
    ],
)
def test_the_program_of_a_response(attempt: str, program: str | None) -> None:
    assert program_in(attempt) == program


def test_a_long_response_takes_no_time() -> None:
    start = time.process_time()
    program_in("```python\n" * 50_000 + "`" * 100_000)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(p): return open(p).read()", "open('a', 'w').write('x')\nassert f('a') == 'x'"),
        ("import os\ndef f(): return os.environ['A']", "import os\nos.environ['A'] = 'x'\nassert f() == 'x'"),
        (
            "import time\ndef f(): return time.time()",
            "from unittest.mock import patch\nwith patch('time.time', return_value=5):\n    assert f() == 5",
        ),
        ("import time\ndef f(): return time.time()", "import time\ntime.time = lambda: 5\nassert f() == 5"),
        (
            "def f(): print('a')",
            "from unittest import mock\nwith mock.patch('builtins.print') as p:\n    f()\n    assert p.called",
        ),
    ],
)  # fmt: skip
def test_tests_that_share_a_process_with_the_program_cannot_be_told(program: str, tests: str) -> None:
    found = verdict(program, tests)
    assert found.correct is None and "sharing" in found.reason, found


def test_no_program_is_wrong() -> None:
    found = asyncio.run(Code().verify("<think>def f(x): ...</think>", Prompt("", "", (), TESTS)))
    assert found == Verdict(False, None, "no program found", 0.0)


def test_the_tests_may_be_the_answer_or_in_meta() -> None:
    asked = Prompt("", "", (), TESTS)
    assert asyncio.run(Code().verify(SQUARE, asked)).correct is True
    assert asyncio.run(Code().verify(SQUARE, Prompt("", "", (), "9", meta={"tests": TESTS}))).correct is True
    assert asyncio.run(Code().verify(SQUARE, Prompt("", "", ()))).correct is None


CASES = [{"stdin": "3\n", "stdout": "9\n"}, {"stdin": "4", "stdout": "16"}]


@pytest.mark.parametrize(
    ("program", "correct", "share"),
    [
        ("print(int(input()) ** 2)", True, 1.0),
        ("import sys\nsys.stdout.write(str(int(sys.stdin.readline()) ** 2) + ' \\n\\n')", True, 1.0),
        ("print(9)", False, 0.5),
        ("print(float(input()) ** 2)", False, 0.0),
        ("print(int(input()) ** 2)\nraise SystemExit(1)", False, 0.0),
        ("print(int(input()) ** 2)\nimport sys\nsys.exit(0)", True, 1.0),
        ("print(", False, 0.0),
        ("import glob\nfor p in glob.glob('**', recursive=True): print(open(p, errors='ignore').read())", False, 0.0),
    ],
)
def test_standard_input_and_output(program: str, correct: bool, share: float) -> None:
    for tests in (CASES, json.dumps(CASES)):
        found = verdict(program, tests)
        assert (found.correct, found.frac_passed) == (correct, share), found


def test_cases_that_run_out_of_time_are_not_all_run() -> None:
    cases = [{"stdin": "3", "stdout": "9"}, *({"stdin": "0", "stdout": "0"} for _ in range(20))]
    start = time.perf_counter()
    found = verdict("n = int(input())\nwhile not n: pass\nprint(9)", cases, Bounds(cpu_s=0.5, wall_s=1.0))
    assert (found.correct, found.frac_passed) == (False, 1 / 21) and "out of" in found.reason
    assert time.perf_counter() - start < 15  # 21 of them would take 20 s and more


def test_cases_without_output_cannot_fail() -> None:
    assert verdict("pass", [{"stdin": "1", "stdout": ""}]).correct is None


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        (b"1 2\n", "1 2", True),
        (b"1 2 \r\n\n", "1 2\n", True),
        (b"1  2", "1 2", False),
        (b"\n1", "1", False),
        (b"1.0", "1", False),
        (b" 1", "1", False),
        (b"\xff", "1", False),
    ],
)
def test_output_is_compared_line_by_line(printed: bytes, expected: str, same: bool) -> None:
    assert same_output(printed, expected) is same


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_another_language() -> None:
    meta = {"file": "main.sh", "command": "sh main.sh"}
    assert verdict("read n\necho $((n * n))", CASES, **meta).correct is True
    assert verdict("read n\necho $n", CASES, **meta).frac_passed == 0.0


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_language_that_is_compiled_once() -> None:
    meta = {"file": "main.cpp", "compile": "g++ -O0 -o main main.cpp", "command": ["./main"]}
    program = '#include <cstdio>\nint main() { int n; scanf("%d", &n); printf("%d\\n", n * n); }'
    prompt = Prompt("", "", (), meta={**meta, "tests": CASES})
    code = Code(bounds=Bounds(memory_mib=1024))
    assert code.verdict(f"```cpp\n{program}\n```", prompt).correct is True
    assert "does not compile" in code.verdict("```cpp\nint main( {\n```", prompt).reason


def test_many_at_once_from_one_loop() -> None:
    """More verifications than threads, right and wrong ones mixed: each gets its own verdict."""

    async def all_of_them() -> list[Verdict]:
        code = Code()
        attempts = [SQUARE if i % 2 else "def f(x): return 9" for i in range(10)]
        return list(await asyncio.gather(*(code.verify(a, Prompt("", "", (), TESTS)) for a in attempts)))

    assert [found.correct for found in asyncio.run(all_of_them())] == [bool(i % 2) for i in range(10)]
