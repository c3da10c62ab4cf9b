"""The verifier `graded`: a language model grades a short factual answer as correct, incorrect or not attempted.

The three grades are those of SimpleQA (Wei et al. 2024, "Measuring short-form factuality in large language models",
section 2): correct is an answer that says all of the reference and contradicts none of it, incorrect one that
contradicts it, also where it hedges, and not attempted one that leaves the reference out without contradicting it.
The wording of the template, the seal and the votes are ours (`panel.py`): SimpleQA's grader is asked once, and a reply
that can't be read counts as not attempted; here that is no vote, and without a majority the verdict is None.

A verdict's `correct` is True for correct alone. What is not attempted is False, has no `answer`, and its reason begins
with "not attempted", so that who counts attempts, as SimpleQA's F-score does, can tell it from an error.

What this does not protect against is what no judge is proof against (`verifier.py`): measure yours with `calibrate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from teachable.records import Prompt, Verdict
from teachable.verify.extract import extract_answer, spoken
from teachable.verify.judging.panel import NO_ANSWER_FOUND, Panel, question_of
from teachable.verify.judging.replies import GradeReply
from teachable.verify.judging.votes import NOT_ATTEMPTED, grade_of


@dataclass(frozen=True)
class Graded(Panel):
    """A verifier that has a language model compare a short answer with the prompt's reference.

    Args:
        engine, votes, max_tokens, temperature, seed, max_chars: see `Panel`.
        rubric: how to grade, as text; "" for the packaged one.

    Raises:
        TeachableError: a value is out of its range.
    """

    name = "graded"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Correct, incorrect or not attempted? Thoughts are not shown; nothing outside them is no attempt.

        Raises:
            TeachableError: there is no engine, or the engine raised one.
        """
        engine = self._engine()
        candidate = spoken(attempt).strip()
        if not candidate:
            return Verdict(False, None, f"{NOT_ATTEMPTED}: {NO_ANSWER_FOUND}")
        answer = extract_answer(attempt)
        reference = (prompt.answer or "").strip()
        fault = self._too_long(candidate) if reference else "there is no reference answer to grade by"
        if fault:
            return Verdict(None, answer, fault)
        asked = question_of(prompt)
        texts = {"question": asked} if asked else {}
        texts |= {"reference answer": reference, "candidate's answer": candidate}
        shown = self._shown(texts, "graded", GradeReply)
        return grade_of(await self._ask(engine, shown, prompt, "graded"), answer)
