"""Tests in every shape that data sets have, against honest programs, right and wrong: each shape can pass and fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from teachable.records import Prompt, Verdict
from teachable.verify.programs import Bounds, Code

BOUNDS = Bounds(cpu_s=4.0, wall_s=6.0)


def verdict(program: str, tests: str | Sequence[Any], **meta: Any) -> Verdict:
    """The verdict on a program in a fenced block."""
    prompt = Prompt(id="", domain="", messages=(), verifier="code", meta={**meta, "tests": tests})
    return Code(bounds=BOUNDS).verdict(f"Here it is:\n```python\n{program}\n```\n", prompt)


SQUARE = "def f(x):\n    return x * x"
CUBE = "def f(x):\n    return x ** 3 if x != 1 else 1"

SHAPES = {
    "bare": "assert f(1) == 1\nassert f(3) == 9, 'three'",
    "loop": "for x, y in [(1, 1), (3, 9)]:\n    assert f(x) == y",
    "check, called": "def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(3) == 9\n\ncheck(f)",
    "check, not called": "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1) == 1\n    assert candidate(3) == 9",
    "test functions": "def test_one():\n    assert f(1) == 1\n\ndef test_three():\n    assert f(3) == 9",
    "test functions, called": "def test():\n    assert f(1) == 1\n    assert f(3) == 9\n\nif __name__ == '__main__':\n    test()",
    "async": "async def test_it():\n    assert f(1) == 1\n    assert f(3) == 9",
    "parametrised": (
        "import pytest\n@pytest.mark.parametrize('x, y', [(1, 1), (3, 9)])\ndef test_it(x, y):\n    assert f(x) == y"
    ),
    "approx": "import pytest\nassert f(1) == pytest.approx(1.0)\nassert f(3) == pytest.approx(9.0000001)",
    "test class": "class TestF:\n    def test_1(self):\n        assert f(1) == 1\n    def test_3(self):\n        assert f(3) == 9",
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test_1(self):\n        self.assertEqual(f(1), 1)\n"
        "    def test_3(self):\n        self.assertEqual(f(3), 9)\nif __name__ == '__main__':\n    unittest.main()"
    ),
    "from solution": "from solution import f as g\nassert g(1) == 1\nassert g(3) == 9",
    "import main": "import main\nassert main.f(1) == 1\nassert main.f(3) == 9",
    "star": "from solution import *\nassert f(1) == 1\nassert f(3) == 9",
    "own module": "from area import f\nassert f(1) == 1\nassert f(3) == 9",
    "future": "from __future__ import annotations\nassert f(1) == 1\ndef g(x: Nothing) -> int: return f(x)\nassert g(3) == 9",
    "map": "assert list(map(f, [1])) == [1]\nassert [f(x) for x in (3,)] == [9]",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    """A right program passes, one that is right half of the time gets half."""
    meta = {"entry_point": "f", "module": "area"}
    right = verdict(SQUARE, SHAPES[shape], **meta)
    assert (right.correct, right.frac_passed) == (True, 1.0), right.reason
    wrong = verdict(CUBE, SHAPES[shape], **meta)
    assert (wrong.correct, wrong.frac_passed) == (False, 0.5), wrong.reason


STACK = """
class Empty(IndexError):
    def __init__(self, size):
        super().__init__(f"size {size}")
        self.size = size

class Stack:
    limit = 3
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, x):
        self.items.append(x)
        return self
    def pop(self):
        if not self.items:
            raise Empty(0)
        return self.items.pop()
    @property
    def top(self):
        return self.items[-1]
    @classmethod
    def of(cls, *xs):
        return cls(xs)
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __contains__(self, x):
        return x in self.items
    def __getitem__(self, i):
        return self.items[i]
    def __eq__(self, other):
        return isinstance(other, Stack) and self.items == other.items
    def __add__(self, other):
        return Stack(self.items + other.items)
    def __mul__(self, n):
        return Stack(self.items * n)
    def __repr__(self):
        return f"Stack({self.items})"
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.items.clear()
    def __call__(self, x):
        return x + len(self.items)
"""

HONEST = {
    "methods": (STACK, "s = Stack()\ns.push(1).push(2)\nassert s.pop() == 2\nassert s.top == 1\nassert len(s) == 1"),
    "iteration": (STACK, "assert list(Stack([1, 2])) == [1, 2]\nassert sum(Stack([1, 2])) == 3\nassert 2 in Stack([2])"),
    "not in": (STACK, "assert 3 not in Stack([1, 2])\nassert Stack([1, 2])[1] == 2\nassert Stack([1, 2])[0:1] == [1]"),
    "equality": (STACK, "assert Stack([1]) == Stack([1])\nassert Stack([1]) != Stack([2])\nassert Stack([1]) != [1]"),
    "operators": (STACK, "assert Stack([1]) + Stack([2]) == Stack([1, 2])\nassert (Stack([1]) * 2).items == [1, 1]"),
    "repr": (STACK, "assert repr(Stack([1])) == 'Stack([1])'\nassert f'{Stack()}' == 'Stack([])'"),
    "isinstance": (STACK, "s = Stack.of(1)\nassert isinstance(s, Stack)\nassert type(s) is Stack\nassert Stack.limit == 3"),
    "hasattr": (STACK, "s = Stack()\nassert hasattr(s, 'push') and not hasattr(s, 'peek')\nassert callable(s.push)"),
    "setattr": (STACK, "s = Stack()\ns.items = [4]\nassert s.pop() == 4\nassert s(1) == 1"),
    "context": (STACK, "with Stack([1]) as s:\n    assert len(s) == 1\nassert len(s) == 0"),
    "truth": (STACK, "assert Stack([1])\nassert not Stack()"),
    "own exception": (STACK, "try:\n    Stack().pop()\n    assert False\nexcept Empty as e:\n    assert e.size == 0"),
    "base of it": (STACK, "try:\n    Stack().pop()\n    assert False\nexcept IndexError as e:\n    assert str(e) == 'size 0'"),
    "raises": (STACK, "import pytest\nwith pytest.raises(Empty, match='size'):\n    Stack().pop()"),
    "assertRaises": (
        STACK,
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        with self.assertRaises(Empty) as c:\n"
        "            Stack().pop()\n        self.assertEqual(c.exception.size, 0)\n        self.assertIsInstance(Stack(), Stack)",
    ),
    "in place": ("def f(xs):\n    xs.sort()", "a = [3, 1]\nf(a)\nassert a == [1, 3]"),
    "nested in place": ("def f(m):\n    m[0][0] = m[1]", "m = [[1], [2]]\nr = m[0]\nf(m)\nassert r[0] == [2] and r[0] is m[1]"),
    "in place, size": (
        "def f(xs):\n    xs[:] = sorted(set(xs))\n    return len(xs)",
        "a = [1, 1, 2]\nk = f(a)\nassert k == 2\nassert a[:k] == [1, 2]",
    ),
    "dictionary": ("def f(d):\n    d['b'] = d.pop('a')", "d = {'a': 1}\nf(d)\nassert d == {'b': 1}"),
    "callback": ("def f(g, xs):\n    return [g(x) for x in xs]", "assert f(lambda x: x + 1, [1, 2]) == [2, 3]"),
    "append": ("def f(n, visit):\n    for i in range(n):\n        visit(i)", "seen = []\nf(3, seen.append)\nassert seen == [0, 1, 2]"),
    "decorator": (
        "def twice(g):\n    def inner(*a):\n        return 2 * g(*a)\n    return inner",
        "@twice\ndef g(x):\n    return x\nassert g(4) == 8",
    ),
    "closure": ("def adder(n):\n    return lambda x: x + n", "assert adder(2)(3) == 5"),
    "callback raises": (
        "def f(g):\n    try:\n        g()\n    except KeyError:\n        return 'caught'",
        "class Mine(Exception): pass\ndef g(): raise KeyError('x')\nassert f(g) == 'caught'\n"
        "def h(): raise Mine('y')\ntry:\n    f(h)\n    assert False\nexcept Mine as e:\n    assert str(e) == 'y'",
    ),
    "generator": ("def f(n):\n    yield from range(n)", "g = f(3)\nassert next(g) == 0\nassert list(g) == [1, 2]"),
    "endless generator": ("def f():\n    n = 0\n    while True:\n        yield n\n        n += 1", "import itertools\nassert list(itertools.islice(f(), 3)) == [0, 1, 2]"),
    "generator argument": ("def f(xs):\n    return sum(xs)", "assert f(x for x in (1, 2)) == 3\nassert f(iter([4])) == 4"),
    "printed": (
        "def f():\n    print('hello')",
        "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    f()\nassert out.getvalue() == 'hello\\n'",
    ),
    "capsys": ("def f():\n    print('hello')", "def test_it(capsys):\n    f()\n    assert capsys.readouterr().out == 'hello\\n'"),
    "input": (
        "def f():\n    return int(input()) + int(input('n? '))",
        "from unittest.mock import patch\nwith patch('builtins.input', side_effect=['1', '2']):\n    assert f() == 3",
    ),
    "stdin": ("import sys\ndef f():\n    return sys.stdin.read().split()", "import sys, io\nsys.stdin = io.StringIO('a b')\nassert f() == ['a', 'b']"),
    "async": ("async def f(x):\n    return x + 1", "import asyncio\nassert asyncio.run(f(1)) == 2"),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n    x: int\n    y: int = 0",
        "assert P(1) == P(1, 0)\nassert P(1) < P(2)\nassert P(1, 2).y == 2\nassert sorted([P(2), P(1)])[0].x == 1",
    ),
    "named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f():\n    return P(1, 2)",
        "assert f() == (1, 2)\nassert f().x == 1\na, b = f()\nassert b == 2\nassert isinstance(f(), tuple)",
    ),
    "enum": (
        "from enum import Enum, IntEnum\nclass C(Enum):\n    RED = 1\nclass N(IntEnum):\n    ONE = 1\ndef f():\n    return N.ONE",
        "assert C.RED is C['RED'] and C(1) == C.RED\nassert C.RED.name == 'RED'\nassert len(C) == 1\nassert f() == 1\nassert f() + 1 == 2",
    ),
    "types": (
        "from collections import Counter, OrderedDict, deque\nfrom fractions import Fraction\nfrom decimal import Decimal\nimport datetime\n"
        "def f():\n    return [Counter('aab'), OrderedDict(a=1), deque([1], 3), Fraction(1, 2), Decimal('1.50'), {1, 2}, "
        "frozenset([1]), b'x', 1j, None, True, datetime.date(2020, 1, 2), float('inf'), 10**30, range(3), {}.keys()]",
        "from collections import Counter\nfrom fractions import Fraction\nfrom decimal import Decimal\nimport datetime\nr = f()\n"
        "assert r[0] == {'a': 2, 'b': 1} and isinstance(r[0], Counter)\nassert r[1] == {'a': 1}\nassert list(r[2]) == [1] and r[2].maxlen == 3\n"
        "assert r[3] == Fraction(1, 2) and r[4] == Decimal('1.5')\nassert r[5] == {1, 2} and r[6] == {1}\nassert r[7] == b'x' and r[8] == 1j\n"
        "assert r[9] is None and r[10] is True\nassert r[11] == datetime.date(2020, 1, 2)\nassert r[12] > 1e308 and r[13] == 10**30\n"
        "assert r[14] == range(3) and list(r[15]) == []",
    ),
    "tests' class": (
        "def total(node):\n    s = 0\n    while node:\n        s += node.val\n        node.seen = True\n        node = node.next\n    return s",
        "class Node:\n    def __init__(self, val, next=None):\n        self.val, self.next = val, next\n"
        "n = Node(1, Node(2))\nassert total(n) == 3\nassert n.next.seen",
    ),
    "returned as it was": ("def f(node):\n    return node", "class Node: pass\nn = Node()\nassert f(n) is n"),
    "modules of the program": ("import math\nfrom typing import List\ndef f(x):\n    return x", "def g(x: List[int]): return x\nassert f(math.pi) == math.pi"),
    "global value": ("count = 0\ndef f():\n    global count\n    count += 1", "f()\nassert count == 1\nf()\nassert count == 2"),
    "patched": (
        "def rate():\n    return 1\ndef f():\n    return rate() * 2",
        "from unittest.mock import patch\nimport solution\nassert solution.f() == 2\nwith patch('solution.rate', return_value=5):\n    assert solution.f() == 10\nassert f() == 2",
    ),
    "named like a builtin": ("def sum(a, b):\n    return a + b", "assert sum(10, 15) == 25\nassert sum(1, 2) == 3"),
    "unicode name": ("def größe(x):\n    return x", "assert größe(1) == 1"),
    "match object": ("import re\ndef f(s):\n    return re.match('a', s)", "assert f('ab')\nassert not f('b')"),
    "abstract": (
        "from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def g(self): ...\nclass B(A):\n    def g(self):\n        return 1",
        "assert issubclass(B, A) and isinstance(B(), A)\nassert B().g() == 1\ntry:\n    A()\n    assert False\nexcept TypeError:\n    pass",
    ),
    "list subclass": ("class L(list):\n    def total(self):\n        return sum(self)\ndef f():\n    return L([1, 2])", "assert f() == [1, 2]\nassert f().total() == 3\nassert len(f()) == 2"),
    "float subclass": ("class M(float):\n    def __add__(self, other):\n        return M(float(self) + other)\ndef f():\n    return M(2)", "assert f() == 2.0\nassert f() < 3"),
    "copy": (STACK, "import copy\ns = Stack([1])\nt = copy.deepcopy(s)\nt.push(2)\nassert len(s) == 1 and len(t) == 2"),
    "recursion": ("def f(n):\n    return n if n == 0 else 1 + f(n - 1)", "assert f(900) == 900"),
    "long list": ("def f(n):\n    return list(range(n))", "assert f(100000) == list(range(100000))"),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_honest_programs_pass(what: str) -> None:
    program, tests = HONEST[what]
    found = verdict(program, tests)
    assert (found.correct, found.frac_passed) == (True, 1.0), found.reason
