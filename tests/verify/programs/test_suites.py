"""Tests in every shape that data sets have, against honest programs, right and wrong: each shape can pass and fail."""

from __future__ import annotations

import pytest
from tests.verify.programs.running import needs_sandbox, table, verdict

pytestmark = needs_sandbox

SQUARE = "def f(x):\n    return x * x"
CUBE = "def f(x):\n    return x ** 3"
SHAPES = table("shapes.txt")
HONEST = table("honest.txt")


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    """A right program passes, one that is right half of the time gets half."""
    meta = {"entry_point": "f", "module": "area"}
    right = verdict(SQUARE, SHAPES[shape]["tests"], **meta)
    assert (right.correct, right.frac_passed) == (True, 1.0), right.reason
    wrong = verdict(CUBE, SHAPES[shape]["tests"], **meta)
    assert (wrong.correct, wrong.frac_passed) == (False, 0.5), wrong.reason


@pytest.mark.parametrize("what", HONEST)
def test_honest_programs_pass(what: str) -> None:
    found = verdict(HONEST[what]["program"], HONEST[what]["tests"])
    assert (found.correct, found.frac_passed) == (True, 1.0), found.reason
