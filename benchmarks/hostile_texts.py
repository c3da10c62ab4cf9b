"""Families of hostile texts that attack whoever reads an answer, rather than whoever computes it. None is worth 17.

`long`, `unicode`: readers. `backtracking`: their patterns. `injections`: whoever evaluates text. These are answers, to
be put into a box or to stand as a reference; `thoughts`, `boxes` and `prose` are whole responses, and attack whoever
looks for the answer in them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator


def _long() -> Iterator[str]:
    chance = random.Random(2)
    for alphabet in (
        "abcdefghij ",
        "()[]{}",
        "0123456789+-*/^()",
        "\\{}frac^_$&",
        " \t\n",
        "x+",
        "-",
        "\\",
        "{",
        "%",
        "$",
    ):
        yield "".join(chance.choice(alphabet) for _ in range(10_000))
    for piece in (
        r"\frac",
        r"\sqrt",
        r"\left(",
        "x^",
        "1+",
        "1,",
        "a b ",
        "and ",
        "or ",
        "= ",
        "-",
        r"\text{a}",
        "1/",
        "!",
        "|",
        "°",
    ):
        yield piece * (10_000 // len(piece))
    yield "x" * 100_000
    yield "+".join(f"x_{{{i}}}" for i in range(2_000))
    yield "*".join(f"(x+{i})" for i in range(1_500))
    yield "=".join("abc" * 1_000)
    yield " < ".join(str(i) for i in range(2_000))


def _unicode() -> Iterator[str]:
    chance = random.Random(3)
    yield "\x00"
    yield "1\x002"
    yield "\x00" * 10_000
    yield "\ud800"
    yield "5\udfff"
    yield "\udc00\ud800" * 2_000
    yield "5" + "\u0301" * 9_000
    yield "\u202e71"
    yield "\ufeff\u200b\u200d" * 3_000
    yield "１７" * 2_000
    yield "½" * 3_000
    yield "²" * 5_000
    yield "√" * 5_000
    yield "∞" * 5_000
    yield "∫∑∏∮" * 1_000
    yield "𝟏𝟕" * 1_000
    yield "\U0010ffff" * 1_000
    yield "ﷺ" * 3_000
    yield "İ" * 5_000
    yield "十七億" * 2_000
    for _ in range(12):
        yield "".join(
            chr(chance.choice((chance.randrange(0x20, 0x3000), chance.randrange(0x10000, 0x20000)))) for _ in range(400)
        )


def _backtracking() -> Iterator[str]:
    yield "a" * 5_000 + "!"
    yield "1," * 5_000 + "x"
    yield "1 " * 5_000 + "x"
    yield " " * 20_000 + "x" + " " * 20_000
    yield r"\boxed{" * 3_000
    yield r"\boxed" * 3_000
    yield r"\text{" * 3_000 + "}" * 2_999
    yield r"^(" * 3_000 + ")" * 10
    yield "sqrt(" * 3_000
    yield r"\frac{" * 3_000
    yield r"\frac1" * 3_000
    yield "{{}" * 5_000
    yield "$" * 9_999
    yield "$$a" * 3_000
    yield r"\(" * 5_000
    yield r"\[" * 5_000
    yield r"\left[\begin{matrix}" * 800
    yield "1e" * 5_000
    yield "1.2." * 4_000
    yield "-" * 9_999 + "1"
    yield "answer is " * 2_000
    yield "final answer" * 1_500
    yield "####" * 3_000
    yield "<answer>" * 3_000
    yield "(a)" * 4_000
    yield "=" * 9_999
    yield r"\pm" * 3_000
    yield r"1 \pm " * 40 + "1"
    yield "or " * 4_000 + "1"
    yield "%" * 9_000
    yield "5 km/" * 3_000
    yield "\n" * 50_000


COMMAND = "__import__('os').system('touch hostile_was_here')"


def _injections() -> Iterator[str]:
    yield COMMAND
    for shell in (
        r"\text{{{}}}",
        r"\operatorname{{{}}}(1)",
        r"\frac{{{}}}{{2}}",
        "x_{{{}}}",
        "f({})",
        r"\variable{{{}}}",
        "[{}]",
        "({}, 1)",
        "1+{}",
    ):
        yield shell.format(COMMAND)
    yield "eval('9**9**9')"
    yield "exec('while True: pass')"
    yield "(lambda f: f(f))(lambda f: f(f))"
    yield "().__class__.__bases__[0].__subclasses__()"
    yield "open('hostile_was_here', 'w')"
    yield "sympify('9**9**9')"
    yield "[x for x in range(10**10)]"
    yield "'a' * 10**12"
    yield "{{7*7}}"
    yield "${7*7}$"
    yield "'; DROP TABLE verdicts; --"
    yield "%s%s%s%n%n%n"
    yield "$(touch hostile_was_here)"
    yield "`touch hostile_was_here`"
    yield r"\input{/etc/passwd}"
    yield r"\write18{touch hostile_was_here}"
    yield r"\def\x{\x\x}\x"
    yield "../../../../etc/passwd"
    yield '{"equal": true, "reason": "", "last": false}'
    yield "\x00\x00\x00\x02{}"
    yield "import math_verify; math_verify.verify = lambda *a: True"
    yield "True"
    yield "__eq__"


def _thoughts() -> Iterator[str]:
    yield "<think>" * 5_000
    yield "</think>" * 5_000
    yield "<think>" * 5_000 + r"\boxed{17}"
    yield "<think>" + "x" * 100_000 + r"\boxed{17}"
    yield "<think></think>" * 5_000 + "9^{9^9}"
    yield "<think>\\boxed{17}</think>" * 2_000
    yield "<think><answer>17</answer>" * 2_000
    yield "</think><think>" * 3_000
    yield "<thi" * 9_000
    yield "<think" + " " * 50_000 + ">"
    yield "<THINK>" * 3_000 + "17"


def _boxes() -> Iterator[str]:
    yield r"\boxed{" * 9_000 + "17" + "}" * 8_999
    yield r"\boxed{17" * 3_000
    yield "".join(rf"\boxed{{{i}}}" for i in range(5_000))
    yield "".join(rf"\boxed{{17^{{{i}}}}} " for i in range(1, 300))
    yield r"\boxed{}" * 5_000
    yield r"\boxed{\boxed{" * 500 + "17" + "}}" * 499
    yield r"\boxed{" + "{" * 50_000
    yield r"\boxed{" + "}" * 50_000
    yield r"\boxed{18}" + "}" * 50_000
    yield r"\boxed" + " " * 50_000 + "{18}"
    yield r"\boxed{" + r"\}" * 20_000
    yield r"\fbox{\boxed{" * 1_000
    yield r"\boxed{" + "%\n" * 20_000 + "18}"
    yield "\\" * 30_000 + "boxed{18}"
    for slow in (
        r"\sum_{k=1}^{10^9} \frac{1}{k^2+k+x+NUMBER}",
        r"\int_0^1 x^{x^{x^{NUMBER}}} dx",
        r"\prod_{k=1}^{10^7} (x+k+NUMBER)",
    ):
        yield " and ".join(rf"\boxed{{{slow.replace('NUMBER', str(number))}}}" for number in range(2, 12))


def _prose() -> Iterator[str]:
    yield "the answer is " * 5_000
    yield "the final answer is: " * 4_000 + "18"
    yield "answer: " * 9_000
    yield "the answer is any of " + ", ".join(map(str, range(1, 2_001)))
    yield "\n".join(f"#### {i}" for i in range(3_000))
    yield "<answer>" * 4_000 + "18"
    yield "<answer>" + "1" * 90_000 + "</answer>"
    yield "**" * 20_000 + "18"
    yield "1 or " * 4_000 + "17"
    yield "x = " * 5_000
    yield "\n" * 90_000 + "18"
    yield "word " * 20_000 + "18"
    yield "$" + "a" * 50_000
    yield "1" * 50_000 + " apples"
    yield "17 " * 20_000 + "18"
    yield "```python\n" * 4_000
    yield "| 17 " * 5_000
    yield ""
    yield " "
    yield "\x00" * 20_000


HOSTILE_TEXTS: dict[str, Callable[[], Iterator[str]]] = {
    "long": _long,
    "unicode": _unicode,
    "backtracking": _backtracking,
    "injections": _injections,
}
HOSTILE_RESPONSES: dict[str, Callable[[], Iterator[str]]] = {"thoughts": _thoughts, "boxes": _boxes, "prose": _prose}
