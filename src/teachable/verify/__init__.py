"""Is it right? The verifiers, and the few functions that every caller of a verifier needs.

A verifier says yes, no or "could not tell" (`Verdict.correct` is True, False or None). `verdict_of` is the one way to
call it: an exception that a verifier raises becomes "could not tell" there, never a wrong answer, so that a fault of
ours is never held against the model. `check` is the same for scripts and notebooks. `prove_on_gold` runs a verifier on
rows whose answer is known, before any compute is spent on it.

`math`, `choice`, `exact`, `code`, `judge`, `graded`, `duel` and `gym` are verifiers with their flags as they are by
default; their classes take other flags: `Exact(tolerance=0.01)`.
"""

from __future__ import annotations

from teachable.records import Verdict, Verifier
from teachable.verify.agreement import same_answer, vote
from teachable.verify.asking import (
    OWN_ANSWER,
    GoldFault,
    Prepared,
    check,
    gold_fault,
    near_miss,
    prove_on_gold,
    verdict_of,
)
from teachable.verify.choices import Choice
from teachable.verify.extract import Final, answer_line, extract_answer, final, spoken
from teachable.verify.gym import Gym
from teachable.verify.judging import Calibration, Comparison, Duel, Graded, Judge, calibrate
from teachable.verify.maths import Math
from teachable.verify.programs import Code
from teachable.verify.registry import choice, code, duel, exact, get, graded, gym, judge, math, names
from teachable.verify.strings import Exact, canonical
from teachable.verify.voting import Plurality, plurality

__all__ = [
    "OWN_ANSWER",
    "Calibration",
    "Choice",
    "Code",
    "Comparison",
    "Duel",
    "Exact",
    "Final",
    "GoldFault",
    "Graded",
    "Gym",
    "Judge",
    "Math",
    "Plurality",
    "Prepared",
    "Verdict",
    "Verifier",
    "answer_line",
    "calibrate",
    "canonical",
    "check",
    "choice",
    "code",
    "duel",
    "exact",
    "extract_answer",
    "final",
    "get",
    "gold_fault",
    "graded",
    "gym",
    "judge",
    "math",
    "names",
    "near_miss",
    "plurality",
    "prove_on_gold",
    "same_answer",
    "spoken",
    "verdict_of",
    "vote",
]
