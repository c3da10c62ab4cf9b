"""The verifiers by name."""

from __future__ import annotations

import difflib

from teachable.errors import TeachableError
from teachable.records import Verifier
from teachable.verify.choices import Choice
from teachable.verify.gym import Gym
from teachable.verify.harness import LmEval
from teachable.verify.judging import Duel, Graded, Judge
from teachable.verify.maths import Math
from teachable.verify.programs import Code
from teachable.verify.strings import Exact

MAX_NAME_CHARS = 40  # of a verifier that there is not, in the sentence about it

math = Math()
choice = Choice()
exact = Exact()
code = Code()
judge = Judge()
graded = Graded()
duel = Duel()
gym = Gym()
lm_eval = LmEval()

_VERIFIERS: dict[str, Verifier] = {
    verifier.name: verifier for verifier in (math, choice, exact, code, judge, graded, duel, gym, lm_eval)
}


def names() -> tuple[str, ...]:
    """The names that `get` knows, in alphabetical order."""
    return tuple(sorted(_VERIFIERS))


def get(name: str, where: str = "") -> Verifier:
    """The verifier of that name, with its flags as they are by default.

    Args:
        name: as in a prompt's `verifier`.
        where: the place that names it, for the sentence.

    Raises:
        TeachableError: no verifier has that name; the message gives the nearest one.
    """
    if name in _VERIFIERS:
        return _VERIFIERS[name]
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
    shown = name if len(name) <= MAX_NAME_CHARS else f"{name[: MAX_NAME_CHARS - 3]}..."
    raise TeachableError(
        f"there is no verifier called {shown!r}",
        where=where,
        mend=f"The nearest name is '{near[0]}'; all names: {', '.join(names())}" if near else "",
    )
