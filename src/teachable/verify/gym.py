"""The verifier `gym`: reasoning-gym's own scorer decides, family by family.

Many of its tasks have more than one right answer (any valid path, any legal plan), which no comparison with a
single reference can tell. A prompt carries what the scorer needs in `meta`:
`{"family": name, "entry": {"question": ..., "answer": ..., "metadata": {...}}}`.
An attempt is correct if and only if its score is 1.0; the scorers' partial credit is no success.

What it does not protect against: a scorer that is lenient by its author's choice. What it does protect
against: some scorers run the answer as Python (`eval`, or sympy's parser, which evaluates). Text that a model
wrote is never run here, so those families are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict
from teachable.verify.extract import NO_ANSWER, extract_answer

RUNS_THE_ANSWER = frozenset(
    {
        "binary_matrix",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
    }
)

# Far longer than any answer asked for: keeps a degenerate response from costing more than a glance.
MAX_ANSWER_CHARS = 4096

Scorer = Callable[[str, Mapping[str, Any]], float]


@lru_cache(maxsize=256)
def scorer(family: str) -> Scorer:
    """The scoring function of a reasoning-gym family: (answer, entry) -> score in [0, 1]. Cached.

    Raises:
        TeachableError: reasoning-gym is not installed, has no such family, or would run the answer as code.
    """
    if family in RUNS_THE_ANSWER:
        raise TeachableError(
            f"the scorer of reasoning-gym's '{family}' runs the answer as code, and text from a model is never run",
            mend="Take another family, or another verifier for these prompts",
        )
    try:
        from reasoning_gym.factory import get_score_answer_fn
    except ImportError as error:
        raise TeachableError(
            "the verifier 'gym' needs reasoning-gym, which is not installed", mend="Install teachable[tasks]"
        ) from error
    try:
        found: Scorer = get_score_answer_fn(family)
    except ValueError as error:
        raise TeachableError(f"reasoning-gym has no family called '{family}'", mend="Correct the name") from error
    return found


class Gym:
    """Right when reasoning-gym's own scorer of the prompt's family gives the final answer a score of 1.0."""

    name = "gym"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Score the final answer of `attempt`; a prompt without a family or an entry can't be told.

        Raises:
            TeachableError: the family can't be scored at all, see `scorer`.
        """
        family, entry = prompt.meta.get("family"), prompt.meta.get("entry")
        if not isinstance(family, str) or not isinstance(entry, Mapping):
            return Verdict(None, extract_answer(attempt), "the prompt's meta has no reasoning-gym family and entry")
        score_of = scorer(family)
        n_lines = str(entry.get("answer") or "").strip().count("\n") + 1
        answer = extract_answer(attempt, n_lines)
        if answer is None:
            return Verdict(False, None, NO_ANSWER)
        if len(answer) > MAX_ANSWER_CHARS:
            return Verdict(False, None, f"the answer is longer than {MAX_ANSWER_CHARS} characters")
        score = float(score_of(answer, entry))
        return Verdict(score == 1.0, answer, f"reasoning-gym's scorer gives {score:g} of 1")
