"""What the workers decide about pairs of answers: where math-verify is right, and where it is put right."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from teachable.verify.maths.workers import compare

EQUAL = [
    ("x^2 + 2x + 1", "(x+1)^2"),
    ("a/b", r"\frac{a}{b}"),
    (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
    (r"\sqrt{2} + \sqrt{3}", r"\sqrt{5 + 2\sqrt{6}}"),
    (r"\sin^2 x + \cos^2 x", "1"),
    (r"\sin(2x)", r"2 \sin x \cos x"),
    ("|x|", r"\sqrt{x^2}"),
    (r"\ln(x^2)", r"2\ln x"),
    (r"\sqrt[3]{x^3}", "x"),
    (r"\log_2 8", "3"),
    (r"e^{i\pi}", "-1"),
    ("(1+i)^2", "2i"),
    ("n!", "n(n-1)!"),
    (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
    ("2^{n+1} - 2", "2(2^n - 1)"),
    (r"\int_0^1 x dx", r"\frac{1}{2}"),
    (r"\int_0^1 \sqrt{1-x^2} dx", r"\frac{\pi}{4}"),
    (r"\sum_{k=1}^{\infty} \frac{1}{k^2}", r"\frac{\pi^2}{6}"),
    (r"\lim_{x \to 0} \frac{\sin x}{x}", "1"),
    (r"\frac{d}{dx} x^3", "3x^2"),
    ("0.5x", r"\frac{x}{2}"),
    ("1.50x", "1.5x"),
    (r"\sqrt{2}", "1.41421"),
    (r"\sqrt{2}", "1.414213"),
    ("1.41421356", r"\sqrt{2}"),
    (r"\frac{1}{3}", "0.333333"),
    ("0.00042", r"4.2 \times 10^{-4}"),
    ("10^{-4}", "0.0001"),
    ("2.25", "1.5^2"),
    (r"\frac{1}{3} + \frac{1}{6}", "0.5"),
    (r"\tan 30^\circ", r"\frac{\sqrt{3}}{3}"),
    ("90^\\circ", "90"),
    (r"\emptyset", r"\varnothing"),
    ("xy", "yx"),
    ("y = 2x + 1", "2x + 1"),
    ("y = 2x + 1", "y - 2x = 1"),
    ("y = 2x + 1", "2y = 4x + 2"),
    ("5", "x = 5"),
    ("x = 5", "5"),
    ("f(x) = x + 3", "x + 3"),
    ("x > 2", "3x > 6"),
    ("x > 2", "-x < -2"),
    ("x > a", "a < x"),
    ("(1, 2)", "1 < x < 2"),
    ("1 < x < 2", "(1, 2)"),
    ("x > 2", r"(2, \infty)"),
    (r"(-\infty, 1) \cup (2, \infty)", r"(2, \infty) \cup (-\infty, 1)"),
    (r"\{1, 2\}", "2, 1"),
    (r"\{a, b+1\}", r"\{1+b, a\}"),
    ("x = 1, x = 2", "1, 2"),
    (r"2 \pm \sqrt{3}", r"\{2 + \sqrt{3}, 2 - \sqrt{3}\}"),
    (r"\begin{pmatrix} 1 & x \\ 2 & 3 \end{pmatrix}", r"\begin{bmatrix} 1 & \frac{2x}{2} \\ 2 & 3 \end{bmatrix}"),
]
UNEQUAL = [
    ("x^2 + 2x + 1", "(x+2)^2"),
    ("x", "X"),
    ("XY", "xy"),
    ("x + 1", "y + 1"),
    ("f(x)", "f(y)"),
    (r"\sqrt{x^2}", "x"),
    (r"\ln x", r"\log_{10} x"),
    (r"\sqrt{2} + 10^{-20}", r"\sqrt{2}"),
    (r"\sqrt{289 + 10^{-60}}", "17"),
    (r"17 + 10^{-10^{10}}", "17"),
    (r"e^{\pi\sqrt{163}}", "262537412640768744"),
    ("9^{9^9}", "9^{9^9} + 1"),
    ("x^{200}", "x^{200} + 1"),
    ("10^{-9}", "0.0000000011"),
    (r"\int_0^1 \sqrt{1-x^2} dx", r"\frac{\pi}{5}"),
    ("10^{-9}x", "0"),
    ("0.1x", "0.10000001x"),
    (r"\sqrt{2}", "1.4142"),
    (r"\sqrt{2}", "1.414215"),
    (r"\frac{1}{3}", "0.33333"),
    (r"0.1 + 10^{-8}", "0.1000000"),
    (r"\frac{1}{8}", "0.124999"),
    ("2(a+b)", "2a + b"),
    ("5", r"\{5\}"),
    (r"\{5\}", "5"),
    ("(1, 2)", r"\{1, 2\}"),
    ("(a, b)", "(b, a)"),
    ("[1, x)", "(1, x)"),
    ("5", "2x + z = 5"),
    ("x^2 + 1 = 0", "x^2 + 2 = 0"),
    ("y = 2x + 1", "y = 2x + 3"),
    ("y = 2x + 1", "2x + 3"),
    ("x = 5", "y = 5"),
    ("x < 2", "x > 2"),
    ("x < 2", r"x \leq 2"),
    ("x = 2", "x > 2"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}"),
    (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 3 \end{pmatrix}"),
]
UNREADABLE = [("1 000", "100 000"), ("2:3", "4:6"), ("x + 1", r"\frac{x"), ("", "x"), ("x", "}{"), ("x", "\ud800")]
PAIRS = (
    [(*pair, True) for pair in EQUAL] + [(*pair, False) for pair in UNEQUAL] + [(*pair, None) for pair in UNREADABLE]
)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_verdicts() -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda pair: compare(pair[0], pair[1], limit_s=20), PAIRS))
    wrong = [(pair, reply) for pair, reply in zip(PAIRS, replies, strict=True) if reply.equal is not pair[2]]
    assert wrong == []
    assert all(reply.reason for reply in replies)
