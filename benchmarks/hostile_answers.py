"""Over eight hundred hostile pairs of attempt and reference, in named families, the same on every call.

A text is hostile that a naive checker of answers computes for ever, fills the memory with, recurses to death on,
backtracks on, or runs as code (`hostile_maths.py`, `hostile_texts.py`). `cases` puts each on the attempt's side, on the
reference's side, and some on both. None of them is worth `OTHER`, so a verifier may say "no" or "could not tell", and
never "yes"; where both sides are the same value (`same`), "yes" is right as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hostile_maths import HOSTILE_MATHS, nested
from hostile_texts import COMMAND, HOSTILE_RESPONSES, HOSTILE_TEXTS

OTHER = "17"  # the honest side


@dataclass(frozen=True)
class Case:
    """One call of a verifier: a whole response, a reference, and whether "yes" would be right."""

    family: str
    attempt: str
    answer: str
    same: bool = False


def cases() -> list[Case]:
    """All of them, in a fixed order, none twice."""
    found: list[Case] = []
    for name, make in (HOSTILE_MATHS | HOSTILE_TEXTS).items():
        for text in make():
            found += [Case(name, _boxed(text), OTHER), Case(name, rf"\boxed{{{OTHER}}}", text)]
    for name, both in PAIRS.items():
        found += [Case(name, _boxed(attempt), answer, same) for attempt, answer, same in both()]
    for name, make in HOSTILE_RESPONSES.items():
        found += [Case(name, text, OTHER) for text in make()]
    return list(dict.fromkeys(found))


def _boxed(text: str) -> str:
    return rf"So the answer is \boxed{{{text}}}."


def _both() -> Iterator[tuple[str, str, bool]]:
    expansion = " + ".join(rf"{{{n}}}x^{{{n}}}" for n in range(2, 200))
    yield "(x+1)^{5000}", "(x+2)^{5000}", False
    yield "(x+1)^{199}", expansion, False
    yield "9^{9^9}", "9^{9^9}", True
    yield "9^{9^9}", "9^{9^9} + 1", False
    yield "9^{9^9}", "9^{9^{9}}", True
    yield "9^{9^9}", "9^{387420489}", True
    yield "9^{9^9}", "3^{774840978}", True
    yield "9^{9^{9^9}}x", "9^{9^{9^9}}y", False
    yield "99999999!", "99999999 \\cdot 99999998!", True
    yield "99999999!", "99999998!", False
    yield "7" * 10_000, "7" * 10_000, True
    yield "7" * 10_000, "7" * 9_999 + "8", False
    yield "0." + "3" * 20_000, r"\frac{1}{3}", True
    yield "0." + "3" * 20_000, "0." + "3" * 19_999 + "4", False
    yield "1e999999999", "1e999999999", True
    yield "1e999999999", "1e999999998", False
    yield nested("(", ")", 1_000), nested("[", "]", 1_000), True
    yield nested("(", ")", 1_000, "17"), "17", True
    yield nested(r"\frac{1}{1+", "}", 1_000), nested(r"\frac{1}{1+", "}", 1_001), False
    yield nested(r"\sqrt{", "}", 1_000), nested(r"\sqrt{", "}", 999), False
    yield nested("x^{", "}", 200), nested("x^{", "}", 201), False
    yield (
        r"\{" + ",".join(map(str, range(3_000))) + r"\}",
        r"\{" + ",".join(map(str, range(2_999, -1, -1))) + r"\}",
        True,
    )
    yield (
        r"\{" + ",".join(f"x_{{{i}}}" for i in range(300)) + r"\}",
        r"\{" + ",".join(f"y_{{{i}}}" for i in range(300)) + r"\}",
        False,
    )
    yield r"\binom{10^9}{10^8}", r"\binom{10^9}{9 \cdot 10^8}", True
    yield r"\binom{10^9}{10^8}", r"\binom{10^9}{10^8 + 1}", False
    yield r"\int e^{e^{e^x}} dx", r"\int e^{e^{e^x}} dx + 1", True
    yield r"\int_0^1 e^{e^{e^x}} dx", r"\int_0^1 e^{e^{e^{2x}}} dx", False
    yield r"\sum_{k=1}^{10^9} \frac{1}{k}", r"\sum_{k=1}^{10^9} \frac{1}{k+1}", False
    yield r"\prod_{k=1}^{10^8} k", "(10^8)! + 1", False
    yield "x^{300} - x^7 = 1", "x^{300} - x^8 = 1", False
    yield "a" * 10_000, "a" * 10_000, True
    yield "a" * 10_000, "a" * 9_999 + "b", False
    yield "\x00", "\x00", True
    yield "\ud800", "\ud800", True
    yield "\ud800", "\ud801", False
    yield COMMAND, COMMAND, True
    yield "nan", "nan", True
    yield "1/0", "2/0", True
    yield "1e-999999999", "0", False
    yield "10^{-10^{10}}", "0", False
    yield "17 + 10^{-10^{10}}", "17", False
    yield "17.0000000000000000000000000000000000000000001", "17", False
    yield r"\sqrt{289 + 10^{-60}}", "17", False
    yield r"e^{\pi\sqrt{163}}", "262537412640768744", False
    yield r"\sin(10^{99999})", "0", False
    yield r"\lfloor 10^{5000} \pi \rfloor", r"\lfloor 10^{5000} \pi \rfloor + 1", False
    yield " or ".join(f"x={i}" for i in range(500)), "x=3", False
    yield ", ".join(map(str, range(100))), "17", False
    yield r"\begin{pmatrix} 9^{9^9} & 1 \end{pmatrix}", r"\begin{pmatrix} 9^{9^9} & 2 \end{pmatrix}", False
    yield "(9^{9^9}, 1)", "(9^{9^9}, 2)", False
    yield r"1e999999999\%", "1e999999997", True
    yield "9^{9^9} cm", "9^{9^9} m", False
    yield r"(x+y+z)^{60}", r"(x+y-z)^{60}", False
    yield "".join(f"(x-{i})" for i in range(60)), "".join(f"(x-{i})" for i in range(1, 61)), False
    yield r"\sin(" * 30 + "x" + ")" * 30, r"\sin(" * 29 + "x" + ")" * 29, False
    yield r"x^{x^{x^{x}}}", r"x^{x^{x^{x^{x}}}}", False
    yield r"\cos(" * 20 + "9^{9^9}" + ")" * 20, "0.7390851332", False


PAIRS: dict[str, Callable[[], Iterator[tuple[str, str, bool]]]] = {"both sides": _both}
