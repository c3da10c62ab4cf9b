"""Do answers agree, in the sense of the verifier that decides their prompt? For votes over answers already extracted.

A verifier that has no vote of its own (`gym`, `code`, `judge`, or one of the user's) votes as `exact` does: by
normalised text.
"""

from __future__ import annotations

from collections.abc import Sequence

from teachable.verify import maths
from teachable.verify.strings import canonical
from teachable.verify.voting import VERIFIERS, Plurality, plurality


def vote(answers: Sequence[str | None], verifier: str) -> Plurality:
    """The plurality of answers to a prompt with that verifier; None is an attempt that gave no answer."""
    return plurality(answers, verifier=verifier if verifier in VERIFIERS else "exact", extract=False)


def same_answer(first: str, second: str, verifier: str) -> bool:
    """Whether two answers would vote together; what could not be told is no agreement."""
    if first == second or canonical(first) == canonical(second):
        return True
    return verifier == "math" and maths.equal(first, second)[0] is True
