"""Programs that try to pass without being right. Each succeeds where program and tests share a process, which is shown;
here none is correct, and an honest program that is run next is unharmed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from teachable.records import Prompt, Verdict
from teachable.verify.programs import Bounds, Code

BOUNDS = Bounds(cpu_s=3.0, wall_s=4.0)
MARKER = "ALL-TESTS-PASSED"

BARE = "assert f(3) == 9\nassert f(4) == 16"
CHECK = "def check(candidate):\n    assert candidate(3) == 9\n    assert candidate(4) == 16\ncheck(f)"
CLOSE = "assert abs(f(3) - 1.5) < 1e-6\nassert abs(f(4) - 2.0) < 1e-6"
LISTS = "assert f(3) == [1, 2, 3]\nassert f(0) == []"
TEXT = "assert f('a') == 'A'\nassert f('b') == 'B'"
CASES = "cases = [(3, 9), (4, 16)]\nfor x, y in cases:\n    assert f(x) == y"
UNITTEST = (
    "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(f(3), 9)\n"
    "        self.assertEqual(f(4), 16)\nunittest.main(exit=False)"
)
SOLVES = {BARE: "x * x", CHECK: "x * x", CASES: "x * x", UNITTEST: "x * x", CLOSE: "x / 2", TEXT: "x.upper()"}
SOLVES[LISTS] = "list(range(1, x + 1))"

EQUAL = "def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = None"
TINY = """
class Tiny:
    def __sub__(self, other): return Tiny()
    __rsub__ = __add__ = __radd__ = __sub__
    def __abs__(self): return self
    def __lt__(self, other): return True
    def __le__(self, other): return True
"""

ATTACKS: dict[str, tuple[str, str]] = {
    # ending before the tests can say anything
    "sys.exit": (BARE, "import sys\nsys.exit(0)"),
    "os._exit": (BARE, "import os\nos._exit(0)"),
    "SystemExit": (BARE, "raise SystemExit"),
    "os._exit in the call": (BARE, "import os\ndef f(x): os._exit(0)"),
    "SystemExit in the call": (BARE, "def f(x): raise SystemExit(0)"),
    "SystemExit in a callback of exit": (BARE, "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef f(x): return 0"),
    "atexit": (BARE, "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 0"),
    "the parent goes": (BARE, "import os\nif os.fork(): os._exit(0)\ndef f(x): return 0"),
    "another program": (BARE, "import os\ndef f(x): os.execv('/bin/true', ['true'])"),
    "a thread that ends it": (
        BARE,
        "import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.1), os._exit(0))).start()\n"
        "def f(x): time.sleep(1)",
    ),
    "a stopped iteration": ("assert all(map(lambda c: f(c[0]) == c[1], [(3, 9), (4, 16)]))", "def f(x): raise StopIteration"),
    "skipping": (UNITTEST, "import unittest\ndef f(x): raise unittest.SkipTest"),
    # saying that all is well
    "the marker": (BARE, f"import os\nprint('{MARKER}', flush=True)\nos._exit(0)"),
    "the marker everywhere": (
        BARE,
        f"import os\nfor fd in range(64):\n    try: os.write(fd, b'{MARKER}\\n')\n    except OSError: pass\nos._exit(0)",
    ),
    # results that agree with everything
    "equal to all": (BARE, f"class E:\n    {EQUAL}\ndef f(x): return E()"),
    "an int equal to all": (BARE, f"class E(int):\n    {EQUAL}\ndef f(x): return E()"),
    "a float equal to all": (BARE, f"class E(float):\n    {EQUAL}\ndef f(x): return E()"),
    "a string equal to all": (TEXT, f"class E(str):\n    {EQUAL}\ndef f(x): return E()"),
    "a list equal to all": (LISTS, f"class E(list):\n    {EQUAL}\ndef f(x): return E()"),
    "equal to all, in a list": ("assert f(3) == [9]\nassert f(4) == [16]", f"class E:\n    {EQUAL}\ndef f(x): return [E()]"),
    "equal to all ints": (BARE, "class E:\n    def __eq__(self, other): return type(other) is int\ndef f(x): return E()"),
    "a function that is a class": (BARE, f"class f:\n    def __init__(self, x): pass\n    {EQUAL}"),
    "a named class equal to all": ("assert Square(3) == 9", f"class Square:\n    def __init__(self, x): pass\n    {EQUAL}"),
    "a lying class": (
        "r = f(3)\nassert isinstance(r, int) and r == 9",
        f"class E:\n    @property\n    def __class__(self): return int\n    {EQUAL}\ndef f(x): return E()",
    ),
    "a metaclass equal to all": (
        BARE,
        "class M(type):\n    def __eq__(self, other): return True\n    __hash__ = None\nclass E(metaclass=M): pass\ndef f(x): return E",
    ),
    "mock.ANY": (BARE, "from unittest import mock\ndef f(x): return mock.ANY"),
    "never different": ("assert not f(3) != 9", "class E:\n    def __ne__(self, other): return False\ndef f(x): return E()"),
    "near to all": (CLOSE, TINY + "def f(x): return Tiny()"),
    "a named class near to all": (
        "assert abs(Half(3) - 1.5) < 1e-6",
        TINY.replace("Tiny", "Half").replace("Half()", "self") + "    def __init__(self, x): pass",
    ),
    "a named class minus all": (
        "assert abs(Half(3) - 1.5) < 1e-6",
        "class Half:\n    def __init__(self, x): pass\n    def __sub__(self, other): return 0.0",
    ),
    "rounds to all": (
        "assert round(f(3) - 1.5, 6) == 0",
        "class E:\n    def __sub__(self, o): return self\n    def __round__(self, n): return 0\ndef f(x): return E()",
    ),
    "contains all": ("assert 9 in f(3)", "class E:\n    def __contains__(self, x): return True\ndef f(x): return E()"),
    "a named class contains all": (
        "assert 9 in Squares(3)",
        "class Squares:\n    def __init__(self, x): pass\n    def __contains__(self, x): return True",
    ),
    "in every set": (
        "assert f(3) in {9}",
        "class E:\n    def __hash__(self): return 9\n    def __eq__(self, o): return True\ndef f(x): return E()",
    ),
    "equal to what it never saw": (
        "assert Box(3) == Box(3)\nassert Box(3) == f(3)",
        f"class Box:\n    def __init__(self, x): pass\n    {EQUAL}\nf = Box",
    ),
    "swallows failures": (
        "with timed() as t:\n    assert f(3) == 9",
        "class timed:\n    def __enter__(self): return self\n    def __exit__(self, *e): return True\ndef f(x): return 0",
    ),
    # changing what the tests stand on
    "builtin abs": (CLOSE, "import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return 0"),
    "builtin all": ("assert all([f(3) == 9])", "import builtins\nbuiltins.all = lambda x: True\ndef f(x): return 0"),
    "builtin len": ("assert len(f(3)) == 3", "import builtins\nbuiltins.len = lambda x: 3\ndef f(x): return []"),
    "builtin isinstance": (
        "assert isinstance(f(3), int)",
        "import builtins\nbuiltins.isinstance = lambda *a: True\ndef f(x): return ''",
    ),
    "own abs": (CLOSE, "def abs(x): return 0\ndef f(x): return 0"),
    "own abs in other letters": (CLOSE, "def \uff41bs(x): return 0\ndef f(x): return 0"),
    "own sorted and set": (
        "assert sorted(f(3)) == [1, 2]",
        "class E:\n    def __eq__(self, o): return True\ndef sorted(x): return E()\ndef f(x): return []",
    ),
    "build_class": (
        "class T:\n    def check(self):\n        assert f(3) == 9\nT().check()",
        "import builtins\nclass No:\n    def check(self): pass\nbuiltins.__build_class__ = lambda *a, **k: No\ndef f(x): return 0",
    ),
    "import": (
        "import math\nassert math.isclose(f(3), 1.5)",
        "import builtins\nclass No:\n    isclose = staticmethod(lambda *a: True)\nbuiltins.__import__ = lambda *a, **k: No\ndef f(x): return 0",
    ),
    "math.isclose": ("import math\nassert math.isclose(f(3), 1.5)", "import math\nmath.isclose = lambda *a, **k: True\ndef f(x): return 0"),
    "sys.modules": (
        "import pytest\nassert f(3) == pytest.approx(1.5)",
        "import sys, types\nm = types.ModuleType('pytest')\nclass E:\n    def __init__(self, x): pass\n"
        "    def __eq__(self, o): return True\nm.approx = E\nsys.modules['pytest'] = m\ndef f(x): return 0",
    ),
    "assertEqual": (UNITTEST, "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\ndef f(x): return 0"),
    "unittest.main": (UNITTEST, "import unittest\nunittest.main = lambda *a, **k: None\ndef f(x): return 0"),
    "tracing": (
        CHECK,
        "import sys\ndef f(x): return 0\ndef trace(frame, event, arg):\n    if frame.f_code.co_name == 'check':\n"
        "        frame.f_trace_lines = True\n        if event == 'line':\n            last = max(l for *_, l in frame.f_code.co_lines() if l)\n"
        "            import os; os._exit(0)\n    return trace\nsys.settrace(trace)",
    ),
    "profiling": (
        CHECK,
        "import sys, os\ndef f(x): return 0\ndef p(frame, event, arg):\n    if frame.f_code.co_name == 'check': os._exit(0)\nsys.setprofile(p)",
    ),
    "the tests' names": (
        "want = {3: 9}\nassert f(3) == want[3]",
        "import sys\nclass Any:\n    def __eq__(self, o): return True\ndef f(x):\n    sys._getframe(1).f_globals['want'][x] = 0\n    return 0",
    ),
    "changed arguments": ("xs = [1, 2]\nwant = xs\nassert f(xs) == want", "def f(xs):\n    xs.clear()\n    return []"),
    "changed arguments, in a loop": (
        "for xs, want in [([1, 2], None)]:\n    want = want or xs\n    r = f(xs)\n    assert r == want",
        "def f(xs):\n    xs[:] = [0]\n    return [0]",
    ),
    # looking for what is expected
    "frames": (
        CHECK,
        "import sys\ndef f(x):\n    code = sys._getframe(1).f_code.co_consts\n    return code[code.index(x) + 1]",
    ),
    "frames' names": (CASES, "import sys\ndef f(x): return sys._getframe(1).f_globals['y']"),
    "the collector": (
        CASES,
        "import gc\ndef f(x):\n    for o in gc.get_objects():\n        if type(o) is list and len(o) == 2 and type(o[0]) is tuple:\n"
        "            for pair in o:\n                if len(pair) == 2 and pair[0] is x: return pair[1]",
    ),
    "the tests' file": (
        BARE,
        "import sys, re, glob\ntext = ''\nfor p in [*glob.glob('*'), *glob.glob('/proc/*/cmdline'), *sys.argv[:1]]:\n"
        "    try: text += open(p, encoding='latin-1').read()\n    except OSError: pass\n"
        "def f(x): return int(re.search(r'assert f\\(%d\\) == (\\d+)' % x, text)[1])",
    ),
    "a callback's globals": (
        "want = [9]\ndef g(): return 3\nassert f(g) == want[0]",
        "def f(g): return g.__globals__['want'][0]",
    ),
    "a callback's frame": (
        "want = [9]\ndef g():\n    yield 3\nassert f(g()) == want[0]",
        "def f(g): return g.gi_frame.f_globals['want'][0]",
    ),
}  # fmt: skip


def verdict(program: str, tests: str) -> Verdict:
    prompt = Prompt(id="", domain="", messages=(), answer=tests, verifier="code")
    return Code(bounds=BOUNDS).verdict(f"```python\n{program}\n```", prompt)


def succeeds_in_one_process(program: str, tests: str, folder: Path) -> bool:
    """What a harness sees that runs the program and then the tests: success, or the marker."""
    file = folder / "both.py"
    file.write_text(f"{program}\n{tests}\nprint('{MARKER}')\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", file.name], cwd=folder, capture_output=True, timeout=20, check=False)
    return done.returncode == 0 or MARKER.encode() in done.stdout


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name: str, tmp_path: Path) -> None:
    tests, program = ATTACKS[name]
    assert succeeds_in_one_process(program, tests, tmp_path), "the attack would not have worked anyway"
    found = verdict(program, tests)
    assert found.correct is not True, found.reason
    assert found.frac_passed != 1.0 or found.correct is None
    if tests in SOLVES:
        honest = verdict(f"def f(x): return {SOLVES[tests]}", tests)
        assert honest.correct is True, honest.reason
