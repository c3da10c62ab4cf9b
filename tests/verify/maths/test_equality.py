"""What counts as equal: each row is one convention, decided without math-verify unless it says so."""

from __future__ import annotations

import pytest

from teachable.verify.maths.equality import decide

EQUAL = [
    # numbers
    ("1/2", "0.5"), ("1/2", r"\frac12"), ("1/2", r"\dfrac{1}{2}"), ("1/2", r"\tfrac{2}{4}"), ("1/2", "½"), ("3/2", "1 1/2"),
    ("3/2", r"1\frac{1}{2}"), ("3/2", "1½"), ("-3/2", r"-1\frac12"), ("1000", "1,000"), ("1000", "1 000"),
    ("1000", "1{,}000"), ("1000", r"1\,000"), ("1000", "1_000"), ("1234567.5", "1,234,567.50"), ("5", "+5"), ("5", "005"),
    ("-5", "−5"), ("1500", "1.5e3"), ("1500", r"1.5 \times 10^3"), ("1500", "1.5×10³"), ("1500", "1.5E+3"),
    ("0.0015", r"1.5\cdot10^{-3}"), ("1/3", r"0.\overline{3}"), ("1/3", "0.333333"), ("2/3", "0.666667"),
    ("2/3", "0.666666"), (r"\pi", "3.14159265"), (r"\sqrt{2}", "1.41421"), (r"\frac{\pi}{4}", "0.785398"), ("3/4", "⁳/₄".replace("⁳", "³")),
    ("-1/2", r"\frac{-1}{2}"), ("-1/2", r"-\frac{1}{2}"), ("1/2", r"\frac{-1}{-2}"), ("6", "six"), ("25", "twenty-five"),
    ("106", "one hundred and six"), ("1000000", "10^6"), ("120", "5!"), ("15", "5!!"), ("10", r"\binom{5}{2}"), ("42", "$42$"),
    ("42", r"\(42\)"), ("42", r"\[42\]"), ("42", "42."), ("42", "**42**"), ("5", "(5)"), ("5", "[5]"), ("3", "3.0"),
    ("1/2", ".5"), ("2^{100}", "1267650600228229401496703205376"), ("9", "3^2"), ("9", "3²"), ("9", "3**2"),
    # surds and constants
    (r"2\sqrt{2}", r"\sqrt{8}"), (r"\frac{\sqrt2}{2}", r"\frac{1}{\sqrt{2}}"), ("2√2", r"\sqrt 8"), ("√(2)/2", "1/√2"),
    (r"\sqrt{2}-1", r"\frac{1}{1+\sqrt2}"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"), (r"\sqrt[3]{16}", r"2\sqrt[3]{2}"),
    ("2^{1/3}", r"\sqrt[3]{2}"), (r"2\pi", "2π"), (r"\frac{\pi}{2}", "π/2"), ("1+2i", "2i+1"), ("i", r"\sqrt{-1}"),
    ("-1", "e^{i\\pi}"), (r"\frac{1}{2}", r"\sin 30^\circ"), (r"\frac12", r"\cos\frac{\pi}{3}"), ("3", r"\log_2 8"),
    (r"\ln 8", r"3\ln 2"), (r"-\ln 2", r"\ln\frac12"), ("2", r"\sqrt{4}"), ("sqrt(12)", r"2\sqrt3"), ("sqrt3/3", r"\frac{\sqrt{3}}{3}"),
    (r"\frac{1+i}{2}", r"\frac{1}{1-i}"), ("16", "4^2"), (r"3\sqrt{5}", r"\sqrt{45}"), (r"\sqrt{2}\sqrt{3}", r"\sqrt{6}"),
    # percent, units, money
    ("50%", "0.5"), ("50%", r"50\%"), ("50%", "1/2"), ("50", "50%"), ("50%", "50"), ("50%", "50 percent"), ("5 cm", "5"),
    ("5", "5 cm"), ("5", r"5\text{ cm}"), (r"5\,\mathrm{cm}", "5 cm"), ("5 m", "500 cm"), ("5 m", r"500\text{ cm}"), ("$5", "5"),
    ("$5", "5 dollars"), ("5", r"\$5"), ("1,234.50", "$1,234.50 dollars"), ("90", r"90^\circ"), ("90°", "90"), ("90 degrees", "90°"),
    ("72 km/h", "20 m/s"), ("5 apples", "5"), ("12", "12 students"), ("3 cm^2", "3 square centimeters"), ("3 cm²", r"3\text{ cm}^2"),
    ("50 cents", "$0.50"), ("2 hours", "120 minutes"), ("9.8 m/s^2", r"9.8\ \mathrm{m/s^2}"), ("1 foot", "12 inches"), ("5 m", "5m"),
    ("€5", "5 euros"), ("5 kg", "5000 g"), ("$5 million", "5000000"), ("20°C", r"20^\circ\text{C}"), ("60 mph", "60 miles per hour"),
    # sets, tuples, intervals
    ("{1,2}", "{2,1}"), (r"\{1,2\}", "{1, 2}"), ("{1,2}", "1, 2"), ("(1,2)", "1, 2"), ("1, 2", "2, 1"), ("1,2", "1 and 2"),
    ("{1,2}", "x=1 or x=2"), ("1, 2", "x=1, x=2"), ("(1,2)", r"\left(1, 2\right)"), ("(1,2)", "1<x<2"), ("2<x<3", "(2,3)"),
    (r"x \in (2,3)", "2<x<3"), ("x>2", r"(2,\infty)"), ("x>2", "(2, ∞)"), (r"x\ge 2", r"[2,\infty)"), ("2x>4", "x>2"), ("-x<-2", "x>2"),
    ("2<x", "x>2"), (r"\varnothing", "∅"), (r"\emptyset", "{}"), (r"\emptyset", r"\{\}"), (r"\mathbb{R}", r"(-\infty,\infty)"),
    (r"(-\infty,1)\cup(1,\infty)", r"x\ne 1"), (r"(-\infty,1)\cup(1,\infty)", r"\mathbb{R}\setminus\{1\}"),
    (r"(-\infty,1)\cup(3,\infty)", "x<1 or x>3"), (r"(3,\infty)\cup(-\infty,1)", r"(-\infty,1)\cup(3,\infty)"), ("[1,3]", r"1\le x\le 3"),
    ("[1,3)", "1≤x<3"), (r"2\pm\sqrt3", r"\{2+\sqrt3, 2-\sqrt{3}\}"), (r"x=\pm 2", "2, -2"), ("±2", "{-2,2}"), ("[1,2]", r"\left[1,2\right]"),
    ("(0, 1/2)", "(0, 0.5)"), (r"\{x \mid x > 3\}", "(3, ∞)"), (r"\langle 1,2,3\rangle", "(1,2,3)"), (r"\emptyset", "no solution"),
    (r"[0,1]\cup[1,2]", "[0,2]"), (r"(1, 2, 3)", r"\begin{pmatrix}1\\2\\3\end{pmatrix}"), ("(x, y) = (1, 2)", "x=1, y=2"),
    ("{1,2,3}", r"1, 2, \text{ and } 3"),
    # equations, names
    ("x = 5", "5"), ("5", "x=5"), ("y=2x+1", "2x+1"), ("y=2x+1", "y-2x=1"), ("2x+1", "f(x)=2x+1"), ("x^2+y^2=25", "25 = y^2+x^2"),
    ("y=2x+1", "2y=4x+2"), (r"\angle ABC = 40", "40°"), ("12", "Area = 12"), ("5", "x = 2+3 = 5"), ("5", r"\frac{10}{2} = 5"),
    # matrices
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1 & 2 \\ 3 & 4\end{bmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1,2],[3,4]]"), (r"\begin{pmatrix}1/2\\0\end{pmatrix}", r"\begin{pmatrix}0.5\\0\end{pmatrix}"),
    # symbolic
    ("x^2+2x+1", "(x+1)^2"), ("(x+1)(x-1)", "x^2-1"), ("2x", "x+x"), (r"\frac{x^2-1}{x-1}", "x+1"), ("2^{n+1}", r"2\cdot 2^n"), ("4^n", "2^{2n}"),
    (r"\sin^2 x+\cos^2 x", "1"), (r"\sin 2x", r"2\sin x\cos x"), ("e^{2x}", "(e^x)^2"), (r"\frac{1}{x}+\frac1y", r"\frac{x+y}{xy}"),
    (r"\ln(x) + C", r"\ln x"), ("x^2/2 + C", r"\frac{x^2}{2}+C"), ("x^2+C", "x^2+K"), (r"\log(xy)", r"\log x+\log y"), ("x^{1/2}", r"\sqrt{x}"),
    (r"\tan x", r"\frac{\sin x}{\cos x}"), ("a-b", "-(b-a)"), (r"\frac{n(n+1)}{2}", r"\frac12 n^2+\frac12 n"), ("xyz", "zyx"), ("x_1", "x_{1}"),
    (r"\frac{-x}{2}", r"-\frac{x}{2}"), ("|x-1|", "|1-x|"), (r"\theta", "θ"), (r"\sqrt{x^2}", "|x|"), ("n!", "n(n-1)!"),
    # text
    ("yes", "Yes."), ("no solution", "No solution"), ("Monday", r"\text{Monday}"), (r"\text{even}", "even"), ("DNE", "does not exist"),
    (r"\infty", "infinity"), (r"-\infty", "-∞"), ("the cat", "cat"), ("3:30", "3:30"), ("3:30", "3:30 PM"), ("2:3", "2 : 3"), ("101_2", "101_{2}"),
    # letters of multiple choice
    ("B", "(B)"), ("B", "B."), ("B", "B)"), ("B", "option b"), ("B", "choice B"), ("B", "**B**"), ("B", "(B) 42"), (r"\text{B}", "(B)"), ("(B)", "B"),
    ("B", r"\textbf{(B)}"), ("(B) 42", "42"), ("(B) 42", "B"),
]  # fmt: skip

UNEQUAL = [
    ("0.1", "0.10000001"), ("1/3", "0.33"), ("1/3", "0.3333"), ("1/4", "0.250001"), (r"\sqrt2", "1.414"), (r"\pi", "3.14"), (r"\pi", "22/7"),
    ("5 cm", "5 m"), ("$5", "€5"), ("5 kg", "5 m"), ("5 apples", "5 oranges"), ("12 hours", "12 minutes"), ("20°C", "20°F"), ("50%", "5000"), ("50%", "0.005"),
    ("5", "{5}"), ("{5}", "5"), ("x", "X"), ("2x", "2X"), ("(1,2)", "(2,1)"), ("(1,2)", "{1,2}"), ("[1,2]", "(1,2)"), ("[1,2)", "(1,2]"), ("1,2", "1,2,3"),
    ("x>2", "x<2"), ("x>2", r"x\ge 2"), ("x>2", "y>2"), ("x=5", "y=5"), ("5", "x=6"), ("y=2x+1", "2x-1"), ("y=2x+1", "y=2x+2"), ("{1,2}", "{1,3}"),
    (r"\emptyset", "0"), (r"\emptyset", "{0}"), (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"), ("(x+1)^2", "x^2+1"), (r"\ln x", r"\log_{10} x"), (r"\sin x", r"\cos x"),
    ("x^2+C", "x^3+C"), (r"\sqrt{x^2}", "x"), ("true", "yes"), ("yes", "no"), ("2:3", "4:6"), ("2:3", "2/3"), ("101_2", "5"), ("5", "fifth"), ("5", "5 or 6"),
    ("4", "3 and 4"), ("10", "10 - x"), ("5", "1, 2, 3, 4, 5"), ("B", "A"), ("B", "B or C"), ("B", "(A) 42"), ("B", "(A) or (B)"), ("1000", "1.000"),
    ("5", "-5"), ("1/2", "2"), ("5", "50"), ("2^{10}", "1023"), ("3:30 AM", "3:30 PM"), ("Monday", "Tuesday"), ("even", "odd"), ("5", "yes"), ("5", r"\infty"),
    (r"\infty", r"-\infty"), ("1+2i", "1-2i"), ("2i", "2"), ("x", "5"), ("x_1", "x_2"), ("12", "1,2"), (r"\frac{1}{2}", r"\frac{2}{1}"), ("3", r"\sqrt{3}"),
    ("5", "the answer is any number"), ("(1,2)", "(1,2,3)"), ("f(x)", "g(x)"), ("2", "2x"), ("2x+1", "2x+1=0"), (r"(2,\infty)", r"[2,\infty)"), ("1e3", "100"),
    (r"\pm 2", "2"), ("2", r"\pm 2"), ("5 m", "5 x"), ("6", "sixty"), ("0.999999", "1"), ("1", "0.9999999"), ("100", "1e2+0.0001"), ("ab", "AB"),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "attempt"), EQUAL)
def test_equal(reference: str, attempt: str) -> None:
    assert decide(reference, attempt).equal is True


@pytest.mark.parametrize(("reference", "attempt"), UNEQUAL)
def test_unequal(reference: str, attempt: str) -> None:
    assert decide(reference, attempt).equal is False
