"""Programs that try to pass without being right. Each succeeds where program and tests share a process, which is shown;
here none is correct, and an honest program that is run next is unharmed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.verify.programs.running import needs_sandbox, table, verdict

pytestmark = needs_sandbox

MARKER = "ALL-TESTS-PASSED"

ATTACKS = table("attacks.txt")
# What an honest `f(x)` returns, for the tests that several attacks have in common.
HONEST = {
    "assert f(3) == 9\nassert f(4) == 16": "x * x",
    "assert abs(f(3) - 1.5) < 1e-6\nassert abs(f(4) - 2.0) < 1e-6": "x / 2",
    "assert f('a') == 'A'\nassert f('b') == 'B'": "x.upper()",
    "assert f(3) == [1, 2, 3]\nassert f(0) == []": "list(range(1, x + 1))",
}


def succeeds_in_one_process(program: str, tests: str, folder: Path) -> bool:
    """What a harness sees that runs the program and then the tests: success, or the marker."""
    file = folder / "both.py"
    file.write_text(f"{program}\n{tests}\nprint('{MARKER}')\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", file.name], cwd=folder, capture_output=True, timeout=20, check=False)
    return done.returncode == 0 or MARKER.encode() in done.stdout


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name: str, tmp_path: Path) -> None:
    tests, program = ATTACKS[name]["tests"], ATTACKS[name]["program"]
    assert succeeds_in_one_process(program, tests, tmp_path), "the attack would not have worked anyway"
    found = verdict(program, tests)
    assert found.correct is not True, found.reason
    assert found.frac_passed != 1.0 or found.correct is None
    solved = HONEST.get(tests)
    if solved is not None:
        honest = verdict(f"def f(x): return {solved}", tests)
        assert honest.correct is True, honest.reason
