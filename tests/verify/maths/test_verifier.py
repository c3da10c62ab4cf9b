"""The verifier `math` on whole responses, bare answers and answers that try to game it."""

from __future__ import annotations

import asyncio

import pytest

from teachable.records import Prompt
from teachable.verify.maths import Math

RIGHT = [
    ("So we get x = 42.", "42"), ("the total is $1,234.50 dollars.", "1234.5"), (r"Therefore \(\frac{3}{4}\).", "3/4"),
    ("First 2+2=4.\n\nThe answer is \\boxed{5}.", "5"), (r"\boxed{\frac{1}{2}}", "0.5"), ("<think>It is 7</think> So 5.", "5"),
    ("<answer>5</answer>", "5"), ("blah\n#### 1,234", "1234"), ("The final answer is 3/4.", "0.75"), ("5 cm", "5"), (r"\frac12", "0.5"),
    ("(B)", "B"), ("x=5", "5"), ("5 or 6", "{5,6}"), ("3 and 4", "{3,4}"), ("10 - x", "-x+10"), ("Answer: 5", "5"), ("Final Answer: $x = 5$", "5"),
    ("We have 3 boxes of 4, so 3 * 4 = 12 apples.", "12"), ("It costs $5.", "5"), ("Therefore, the area is 25 square meters.", "25 m^2"),
    ("Thus the value of $x$ is $\\frac{3}{5}$.", "3/5"), (r"\boxed{2} and \boxed{3}", "{2,3}"), (r"\boxed{5} ... so \boxed{5.0}", "5"),
    ("The answer is B.", "B"), ("Therefore, option C is correct.", "C"), ("I think it's (D).", "D"), (r"\boxed{\text{B}}", "B"), (r"\boxed{B}", "B"),
    ("It will be Monday.", "Monday"), ("There is no solution.", "no solution"), (r"\boxed{\text{no solution}}", "No solution"), ("yes", "yes"),
    ("So the answer is yes.", "Yes"), (r"\boxed{5}", r"The solution... so \boxed{5}"), ("5", "#### 5"), ("5", "$5$"), (r"\boxed{x>2}", r"(2,\infty)"),
    ("The answer is 50%.", "0.5"), ("x = 2 or x = 3", "x=2, x=3"), ("**5**", "5"), ("The solutions are $x=1$ and $x=2$.", "{1,2}"), ("= 7", "7"),
    (r"\[ x = \frac{-1 + \sqrt{5}}{2} \]", r"\frac{\sqrt5-1}{2}"), ("$$\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}$$", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ("He needs 12 more apples.", "12"), ("So there are 20 students in the class.", "20"), ("It takes 3 hours.", "3 hours"), (r"\boxed{42\text{ dollars}}", "42"),
    ("The answer is \\boxed{(1, 2)}.", "(1,2)"), ("so $y = 2x + 1$", "y-2x=1"), ("the probability is 1/6.", r"\frac16"), ("Hence $\\sqrt{8}$.", r"2\sqrt2"),
    ("The answer is 5 because 2+3=5.", "5"), ("Since 2+3=5, she has 5 dollars left.", "5"),
    ("Hence $2+3=5$, so the total is five.", "5"),
]  # fmt: skip

WRONG = [
    ("5 or 6", "5"), ("3 and 4", "4"), (r"\boxed{2} or \boxed{3}", "3"), (r"\boxed{2} ... \boxed{3}", "3"), (r"\boxed{}", "5"), ("<think>5</think>", "5"),
    ("any of 1..100", "5"), ("the answer is any of 1, 2, 3, 4, 5", "5"), ("1, 2, 3, 4, 5", "5"), ("", "5"), ("I don't know", "5"), ("The answer is 5 or 6.", "5"),
    ("Either 5 or 6.", "5"), (r"\boxed{5 \text{ or } 6}", "6"), ("10 - x", "x"), ("So we get x = 42.", "41"), ("The answer is B or C.", "B"), (r"\boxed{A, B}", "B"),
    ("It is not even.", "even"), ("<think>the answer is 5", "5"), ("5 cm", "5 m"), (r"\boxed{5", "5"), ("The answer is 3/4.", "3"), ("-5", "5"), ("2x", "2"),
    ("The answer is between 1 and 10", "5"), ("x = 5, y = 6", "5"), ("It is 4, 5, or 6", "5"), (r"\boxed{\{1,2,3,4,5\}}", "5"), ("5 < x < 6", "5"),
    ("The answer is 15.", "5"), ("x^5", "5"), ("f(5)", "5"), (r"\sqrt{5}", "5"), ("5%", "500"),
]  # fmt: skip


def verdict(attempt: str, answer: str | None) -> bool | None:
    prompt = Prompt(id="", domain="", messages=(), answer=answer, verifier="math")
    return asyncio.run(Math().verify(attempt, prompt)).correct


@pytest.mark.parametrize(("attempt", "answer"), RIGHT)
def test_right(attempt: str, answer: str) -> None:
    assert verdict(attempt, answer) is True


@pytest.mark.parametrize(("attempt", "answer"), WRONG)
def test_wrong(attempt: str, answer: str) -> None:
    assert verdict(attempt, answer) is False


def test_without_a_reference() -> None:
    assert verdict("5", None) is None
    assert verdict("5", "  ") is None
