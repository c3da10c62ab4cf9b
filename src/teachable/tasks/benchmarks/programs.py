"""Benchmarks that ask for a program: HumanEval, HumanEval+, MBPP. The verifier `code` runs it against the tests.

The reference answer is the published program, whole. The tests go where the verifier looks for them, in `meta`.
"""

from __future__ import annotations

import ast

from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.spec import Question

MBPP_TEST_IDS = range(11, 511)  # of the whole file of 974; the others are for prompts, validation and training
OTHER_SPLIT = "of another split (the test split has the task ids 11 to 510)"


def humaneval(cells: Cells) -> Question:
    """`prompt` (a function without its body), `canonical_solution` (the body), `test` (`check`), `entry_point`."""
    prompt, entry = cells.text("prompt"), cells.text("entry_point").strip()
    test = cells.text("test")
    if "def check(" not in test:
        cells.refuse("test", "defines no function `check(candidate)`")
    return Question(
        {"prompt": prompt.strip("\n").rstrip()},
        prompt.rstrip() + "\n" + cells.text("canonical_solution").rstrip() + "\n",
        needs={"tests": _helpers(prompt, entry) + test, "entry_point": entry},
    )


def _helpers(prompt: str, entry: str) -> str:
    """What of the prompt the tests may call beside the function asked for, and its imports; empty without any.

    A few tests count on it (`poly`, `encode_cyclic`). Theirs is the published one, whatever a response made of it.
    """
    try:
        body = ast.parse(prompt).body
    except SyntaxError:
        return ""
    others = [node for node in body if isinstance(node, ast.FunctionDef) and node.name != entry]
    if not others:
        return ""
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n\n".join(ast.unparse(node) for node in (*imports, *others)) + "\n\n"


def mbpp(cells: Cells) -> Question | str:
    """`task_id`, `text` (or `prompt`), `code`, `test_list`, and before it `test_setup_code`, `test_imports`."""
    if cells.has("task_id") and cells.whole("task_id") not in MBPP_TEST_IDS:
        return OTHER_SPLIT
    tests = [test.strip() for test in cells.texts("test_list")]
    before = [cells.optional("test_setup_code").strip()]
    before += cells.texts("test_imports") if cells.has("test_imports") else []
    listed = "\n".join(tests)
    return Question(
        {"question": cells.text("text", "prompt").strip(), "tests": listed},
        cells.text("code").replace("\r\n", "\n").rstrip() + "\n",
        needs={"tests": "\n".join([*filter(None, before), listed]) + "\n"},
    )
