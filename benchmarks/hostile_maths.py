"""Families of hostile answers that are mathematics, or pretend to be. None is worth 17.

`towers`, `factorials`, `binomials`: numbers too large to write. `digits`, `decimals`: numbers too long to read.
`deep`: recursion. `calculus`, `polynomials`, `matrices`: work without end for a computer algebra system. `sets`,
`units`: the readers of more than numbers. `short`: all of it, within bounds on length and nesting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator


def nested(left: str, right: str, depth: int, core: str = "3") -> str:
    """The core in so many brackets."""
    return left * depth + core + right * depth


def _towers() -> Iterator[str]:
    yield from ("9^{9^9}", "9^{9^{9}}", "9^{9^{9^{9}}}", "9^(9^9)", "9**9**9", "9^9^9", "2^{2^{2^{2^{2^{2}}}}}", "⁹9")
    yield from (
        r"-9^{9^9}",
        r"\frac{1}{9^{9^9}}",
        r"9^{9^9} + 1",
        r"9^{9^9}x",
        r"x^{9^{9^9}}",
        r"(9^9)^{9^9}",
        "(9^{9^9})!",
    )
    yield from (
        r"e^{e^{e^{e^{9}}}}",
        r"\pi^{\pi^{\pi^{\pi^\pi}}}",
        r"10^{10^{10^{100}}}",
        r"2^{-9^{9^9}}",
        r"i^{i^{i^{9^{9^9}}}}",
    )
    yield from (
        r"9^{9^{9}} \bmod 7",
        r"\sqrt[9^{9^9}]{2}",
        r"\log_{2}(9^{9^9})",
        r"(1+10^{-9})^{10^{99}}",
        r"0.5^{9^{9^9}}",
    )
    yield "^".join("9" * 400)
    yield "9^{" * 300 + "9" + "}" * 300
    yield "9**" * 900 + "9"
    yield "9" + "⁹" * 900


def _factorials() -> Iterator[str]:
    yield from (
        "99999999!",
        "((3!)!)!",
        "(((9!)!)!)!",
        "9!!!!!!!!!!",
        "10^{10}!",
        "(10^{9})!",
        r"\frac{(10^7)!}{(10^7-1)!}",
        "(9!)^{9!}",
    )
    yield from (
        r"\Gamma(10^{12})",
        r"(10^8)! \bmod 10^9",
        "((2^{64})!)!",
        r"\frac{99999999!}{99999998!}",
        r"1000000! + 1",
        "x!!!!!!",
    )
    yield "3" + "!" * 2000
    yield nested("(", ")!", 200)
    yield "factorial(" * 100 + "9" + ")" * 100


def _binomials() -> Iterator[str]:
    for top, bottom in (
        ("10^9", r"5 \cdot 10^8"),
        ("10^{100}", "10^{50}"),
        ("999999999", "499999999"),
        ("9!!", "9!"),
        ("x^{99}", "9^{9}"),
    ):
        yield rf"\binom{{{top}}}{{{bottom}}}"
    yield r"\binom{2\cdot10^7}{10^7} - \binom{2\cdot10^7}{10^7+1}"
    yield r"{10^9 \choose 10^8}"
    yield r"\binom{" * 60 + "9" + r"}{2}" * 60
    yield r"\sum_{k=0}^{10^8} \binom{10^8}{k}"
    yield r"C(10^9, 10^8)"


def _digits() -> Iterator[str]:
    chance = random.Random(1)
    for length in (5_000, 10_000, 100_000):
        yield "".join(chance.choice("123456789") for _ in range(length))
        yield "0." + "".join(chance.choice("123456789") for _ in range(length))
        yield "-" + "7" * length
    yield "9" * 9_999 + "." + "9" * 9_999
    yield ",".join(["111"] * 3_000)
    yield r"\frac{" + "7" * 6_000 + "}{" + "3" * 6_000 + "}"
    yield "7" * 4_301  # one over what Python converts
    yield r"\sqrt{" + "7" * 9_000 + "}"
    yield "0" * 50_000 + "18"
    yield " ".join(["123"] * 3_000)
    yield "1" + r"{,}000" * 3_000
    yield "٣" * 5_000
    yield "1_0" * 4_000
    yield "0x" + "f" * 9_000


def _deep() -> Iterator[str]:
    sides = [
        ("(", ")"),
        ("[", "]"),
        (r"\{", r"\}"),
        ("{", "}"),
        (r"\left(", r"\right)"),
        (r"\left|", r"\right|"),
        ("|", "|"),
    ]
    sides += [
        (r"\frac{1}{", "}"),
        (r"\frac{", "}{2}"),
        (r"\dfrac12{", "}"),
        (r"\sqrt{", "}"),
        (r"\sqrt[3]{", "}"),
        ("x^{", "}"),
    ]
    sides += [
        ("2^{", "}"),
        ("x_{", "}"),
        (r"\text{", "}"),
        (r"\boxed{", "}"),
        (r"\sin(", ")"),
        (r"\ln ", ""),
        ("-", ""),
        ("+-", ""),
    ]
    sides += [
        ("(1+", ")"),
        ("1/(1+", ")"),
        (r"\lfloor ", r"\rfloor "),
        (r"\{1,", r"\}"),
        ("(0,", "]"),
        (r"\overline{", "}"),
    ]
    sides += [
        (r"\begin{pmatrix}", r"\end{pmatrix}"),
        (r"\log_{", "}"),
        ("f(", ")"),
        ("$", "$"),
        (r"\mathrm{", "}"),
        ("√", ""),
    ]
    for left, right in sides:
        yield nested(left, right, 1_000)
    yield nested("(", "", 5_000)
    yield nested("", "}", 5_000)
    yield nested(r"\frac{(", ")}{[2]}", 500)


def _calculus() -> Iterator[str]:
    yield from (
        r"\int_0^1 \frac{\sin(x^{x})}{\cos(x^9+1)} dx",
        r"\int e^{e^{e^x}} dx",
        r"\int_0^\infty \frac{\sin(x^{x^x})}{x} dx",
    )
    yield from (
        r"\int_0^1\int_0^1\int_0^1 \frac{dx dy dz}{1-xyz}",
        r"\int \frac{dx}{x^{99}+x^{13}+1}",
        r"\int x^{999} \sin^{99} x \ln^{9} x dx",
    )
    yield from (
        r"\sum_{k=1}^{10^9} \frac{1}{k^2+k+x}",
        r"\sum_{k=1}^{99999999} \frac{1}{k}",
        r"\sum_{n=1}^{\infty} \frac{\sin(n^n)}{n^3}",
    )
    yield from (
        r"\sum_{i=1}^{999}\sum_{j=1}^{999}\sum_{k=1}^{999} \frac{1}{i+j+k}",
        r"\prod_{k=1}^{99999999} k",
        r"\prod_{p=2}^{\infty} \frac{1}{1-p^{-2}}",
    )
    yield from (
        r"\prod_{k=1}^{10^6} (x + k)",
        r"\lim_{x\to 0}\frac{\sin(\sin(\sin x))-x^{x^x}}{x^{55}}",
        r"\lim_{n\to\infty} (n!)^{1/n^{n}}",
    )
    yield from (
        r"\lim_{x \to \infty} \frac{x^{x^x}}{(x!)^x}",
        r"\frac{d^{99}}{dx^{99}} \tan(\tan(\tan x))",
        r"\frac{d}{dx} x^{x^{x^{x^{x}}}}",
    )
    yield from (
        r"\sum_{k=1}^{10^{100}} k^{k}",
        r"\int_{-\infty}^{\infty} e^{-x^{100}} \cos(x^{99}) dx",
        r"\sum_{d|10^{50}+7} d",
        r"\oint_C \frac{e^{z^{9}}}{z^{99}-1}dz",
    )


def _matrices() -> Iterator[str]:
    def matrix(n_rows: int, n_columns: int, entry: Callable[[int, int], str], kind: str = "pmatrix") -> str:
        rows = r" \\ ".join(" & ".join(entry(i, j) for j in range(n_columns)) for i in range(n_rows))
        return rf"\begin{{{kind}}} {rows} \end{{{kind}}}"

    yield matrix(60, 60, lambda i, j: str(i * j))
    yield matrix(100, 100, lambda i, j: "0")
    yield matrix(14, 14, lambda i, j: f"x_{{{14 * i + j}}}", "vmatrix")
    yield matrix(9, 9, lambda i, j: f"x^{{{i}}}+{j}", "vmatrix")
    yield matrix(1, 3_000, lambda i, j: "1")
    yield matrix(3_000, 1, lambda i, j: "1")
    yield matrix(30, 30, lambda i, j: r"\sqrt{x}") + "^{-1}"
    yield matrix(8, 8, lambda i, j: f"a_{{{i}{j}}}") + "^{99}"
    yield matrix(3, 3, lambda i, j: "9^{9^9}")
    yield r"\begin{pmatrix}" + "&" * 10_000 + r"\end{pmatrix}"
    yield r"\begin{pmatrix}" + r"\\" * 10_000 + r"\end{pmatrix}"
    yield r"\begin{pmatrix}" * 1_000
    yield "[[1," * 2_000
    yield "[" + ",".join("[" + ",".join("1" for _ in range(60)) + "]" for _ in range(60)) + "]"
    yield r"\operatorname{zeros}(99999,99999)"
    yield r"\operatorname{eye}(10^9)"
    yield r"\operatorname{diag}(9^{9^9}, 1)"
    yield r"\det " + matrix(12, 12, lambda i, j: f"x^{{{i + j}}}")


def _polynomials() -> Iterator[str]:
    yield "(x+1)^{5000}"
    yield "(a+b+c+d+e+f+g)^{60}"
    yield "(x^2+y^2+z^2)^{300} - (x+y+z)^{600}"
    yield "x^{10^{10}} - 1 = 0"
    yield "x^{300} - x^7 = 1"
    yield r"\frac{x^{999}-1}{x-1} = \frac{y^{998}-1}{y-1}"
    yield "+".join(f"x^{{{i}}}" for i in range(1_000))
    yield "".join(f"(x-{i})" for i in range(300))
    yield "((((x^2+1)^2+1)^2+1)^2+1)^{99}"
    yield "x^2+1" + "^2+1" * 500
    yield r"\sqrt{x+" * 40 + "1" + "}" * 40
    yield r"\frac{1}{x+" * 60 + "1" + "}" * 60
    yield r"\sin(" * 40 + "x" + ")" * 40
    yield " + ".join(rf"\sin({i}x)\cos({i + 1}x)" for i in range(120))
    yield r"\sqrt{2}" + "".join(rf"+\sqrt{{{n}}}" for n in range(3, 150))
    yield " + ".join(rf"\frac{{1}}{{x_{{{i}}}+y_{{{i}}}}}" for i in range(60))
    yield r"x^{x^{x^{x^{x^{x}}}}}"
    yield r"\gcd(9^{9^9}, 6^{6^6})"
    yield r"\operatorname{lcm}(" + ",".join(str(n) for n in range(1, 3_000)) + ")"
    yield r"\max(" + ",".join(f"x_{{{n}}}" for n in range(60)) + ")"
    yield "|" + "|".join(f"x-{i}" for i in range(200)) + "|"
    yield r"\lfloor 10^{99} \pi \rfloor"
    yield r"\lfloor e^{10^{6}} \rfloor \bmod 10"


def _sets() -> Iterator[str]:
    yield nested(r"\{", r"\}", 300)
    yield r"\{" + ",".join(map(str, range(5_000))) + r"\}"
    yield r"\{" + ",".join(f"x_{{{i}}}" for i in range(500)) + r"\}"
    yield r" \cup ".join(f"({i}, {i + 1}]" for i in range(1_500))
    yield r" \cap ".join(f"(-{i}, {i}x)" for i in range(1, 200))
    yield r"\mathbb{R} \setminus \{" + ",".join(map(str, range(2_000))) + r"\}"
    yield "(" * 500 + "1,2" + "]" * 500
    yield "(-" + r"\infty" * 2_000 + ", 1)"
    yield "(9^{9^9}, 9^{9^{9^9}})"
    yield r"[0, 10^{10^{10}}) \cup (1, 2)"
    yield r"\{x : x^{999} - x - 1 < 0\}"
    yield ",".join(["1"] * 9_000)
    yield "(" + ",".join(map(str, range(5_000))) + ")"
    yield " < ".join(f"x_{{{i}}}" for i in range(400))
    yield r"x \in \{" + ",".join(rf"\frac{{{i}\pi}}{{999}}" for i in range(900)) + r"\}"
    yield " or ".join(f"x={i}" for i in range(1_500))
    yield r"2^{2^{\{1,2,3\}}}"
    yield r"\{1, 2\} \times " * 300 + r"\{1, 2\}"
    yield r"\mathcal{P}(" * 200 + r"\emptyset" + ")" * 200


def _decimals() -> Iterator[str]:
    yield "0." + "3" * 100_000
    yield "16." + "9" * 50_000
    yield "17." + "0" * 20_000 + "1"
    yield "0." + "0" * 100_000 + "1"
    yield "1e999999999"
    yield "1e-999999999"
    yield "-1.5E+99999999999999999999"
    yield "1e" + "9" * 9_000
    yield r"1.5 \times 10^{999999999}"
    yield r"1.5 × 10^{-999999999}"
    yield r"9 \cdot 10^{9^{9^9}}"
    yield r"1e999999999\%"
    yield "9" * 9_000 + "%"
    yield "5" + "%" * 3_000
    yield r"9^{9^9}\%"
    yield "0.1e1e1e1e1"
    yield "1e1_000_000"
    yield "nan"
    yield "inf"
    yield "-inf"
    yield "0x1p999999"
    yield r"0.\overline{" + "142857" * 1_500 + "}"
    yield r"3.\dot{" * 500
    yield r"\sqrt{2}^{\sqrt{2}^{\sqrt{2}^{9999999}}}"
    yield "1/0"
    yield r"\frac{1}{0}"
    yield "0^0/0"
    yield "1/" * 2_000 + "3"
    yield r"\frac{1}{1-1}^{9^{9^9}}"
    yield r"\tan(\frac{\pi}{2})^{9^9}"
    yield r"e^{\pi\sqrt{163}}"
    yield r"\sin(10^{10^{10}})"
    yield r"\pi \cdot 10^{99999}"


def _units() -> Iterator[str]:
    yield "5 km" + "^{9}" * 300
    yield "9^{9^9} cm"
    yield "1e999999999 km"
    yield "5 " + "kilo" * 2_000 + "metres"
    yield "5 " + r"\text{ cm}" * 2_000
    yield "5 m" + "/s" * 3_000
    yield r"5 \mathrm{km}^{999999999}"
    yield "$" + "9" * 9_000
    yield "$" * 500 + "17.01"
    yield "5°" * 2_000
    yield "5 ft " * 1_500
    yield r"10^{10^{10}}^\circ"
    yield "5 dollars and " * 800 + "1 cent"
    yield r"999999999999999999999 \text{ light years}^{99999}"
    yield "€£¥" * 2_000 + "5"
    yield ":".join(["10"] * 3_000)
    yield "twenty " * 2_000
    yield "one hundred million billion trillion " * 300
    yield "1010_{2_{2_{2}}}" * 300


def _short() -> Iterator[str]:
    """What stays below the usual bounds on length and nesting: expressions of random growth."""
    chance = random.Random(4)
    shells = ["({})^{{{}}}", r"\frac{{{}}}{{{}}}", "({} + {})", r"{} \cdot {}", r"\sqrt[{}]{{{}}}", r"\log_{{{}}}({})"]
    shells += [
        r"\binom{{{}}}{{{}}}",
        "({})!^{{{}}}",
        r"\sin({})^{{{}}}",
        r"\int_{{0}}^{{{}}} {} dx",
        r"\lfloor {} {} \rfloor",
    ]
    shells += [
        r"\sum_{{k=1}}^{{{}}} ({})",
        r"\prod_{{k=1}}^{{{}}} ({})",
        "|{} - {}|",
        r"\lim_{{x \to {}}} ({})",
        "{}^{{-{}}}",
    ]
    for depth in (2, 3, 4, 5) * 15:
        texts = [
            chance.choice(("x", "y", "9", "99999", "k", "10^{9}", r"\pi", "e", "0.1", "-1")) for _ in range(2**depth)
        ]
        while len(texts) > 1:
            pairs = zip(texts[::2], texts[1::2], strict=True)
            texts = [chance.choice(shells).format(one, other) for one, other in pairs]
        yield texts[0][:1_900]


HOSTILE_MATHS: dict[str, Callable[[], Iterator[str]]] = {
    "towers": _towers,
    "factorials": _factorials,
    "binomials": _binomials,
    "digits": _digits,
    "deep": _deep,
    "calculus": _calculus,
    "matrices": _matrices,
    "polynomials": _polynomials,
    "sets": _sets,
    "decimals": _decimals,
    "units": _units,
    "short": _short,
}
