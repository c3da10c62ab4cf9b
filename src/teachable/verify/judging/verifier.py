"""The verifier `judge`: a language model decides by a rubric whether an attempt is right, or which of two is better.

Each question goes to the engine `votes` times, and a verdict takes more than half of all votes that were asked for. A
vote counts when the reply holds a sealed JSON verdict that keeps to its schema (`replies.py`); one that can't be
read, is cut off, refuses, or never came because the engine failed, is no vote, never a pass, and the reason says how
many there were. So a tie, or too few readable votes, is None.

Two answers are compared in both orders, since judges favour a place (Zheng et al. 2023, "Judging
LLM-as-a-Judge with MT-Bench and Chatbot Arena", sections 3.3 and 3.4). A vote is then a pair of replies, one an order,
and it counts only where both name the same answer, or both a tie. Where they differ the judge can't tell, which is
None here (Zheng et al. count it as a tie); `position_bias` says how far the judge leans to the first place.

An answer is also scored from 1 to 10 for accuracy, style and detail, the three respects of the judge in section 4.3 of
the Phi-4 Technical Report (Abdin et al. 2024); the rubric, the seal and the averaging (`scoring.py`) are ours.

What is shown is fenced (`fence.py`): a candidate can't write the end of its fence, special tokens, or a verdict that
would be taken for the judge's. What no fence can give is a model that never obeys what it reads inside: how often
yours does, and how often it errs without being asked to, is what `calibrate` measures. Put attempts that plead for
themselves among your labelled ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from teachable.records import Prompt, Verdict
from teachable.verify.extract import extract_answer, spoken
from teachable.verify.judging.panel import NO_ANSWER_FOUND, Panel, question_of
from teachable.verify.judging.replies import PairReply, PointReply, ScoreReply
from teachable.verify.judging.scoring import NO_ANSWER, Scoring, scoring_of
from teachable.verify.judging.votes import Comparison, comparison_of, verdict_of


@dataclass(frozen=True)
class Judge(Panel):
    """A verifier that asks a language model.

    Args:
        engine, votes, max_tokens, temperature, seed, max_chars: see `Panel`.
        rubric: how to judge, as text; "" for the packaged one, which asks for a right and complete final result.
        reference: show the judge the prompt's reference answer where it has one.

    Raises:
        TeachableError: a value is out of its range.
    """

    reference: bool = True
    name = "judge"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Is this attempt right? Its thoughts are not shown; without an answer outside them it is wrong.

        Raises:
            TeachableError: there is no engine, or the engine raised one.
        """
        engine = self._engine()
        candidate = spoken(attempt).strip()
        if not candidate:
            return Verdict(False, None, NO_ANSWER_FOUND)
        answer = extract_answer(attempt)
        fault = self._unfit(prompt, candidate)
        if fault:
            return Verdict(None, answer, fault)
        shown = self._shown(self._told(prompt) | {"candidate's answer": candidate}, "pointwise", PointReply)
        reads = await self._ask(engine, shown, prompt, "pointwise")
        return verdict_of(reads, answer)

    async def score(self, attempt: str, prompt: Prompt) -> Scoring:
        """How good is this attempt? Its thoughts are not shown; without an answer outside them it has no score.

        Raises:
            TeachableError: there is no engine, or the engine raised one.
        """
        engine = self._engine()
        candidate = spoken(attempt).strip()
        fault = self._unfit(prompt, candidate) if candidate else NO_ANSWER
        if fault:
            return Scoring(reason=fault)
        shown = self._shown(self._told(prompt) | {"candidate's answer": candidate}, "scores", ScoreReply)
        return scoring_of(await self._ask(engine, shown, prompt, "scores"))

    async def compare(self, first: str, second: str, prompt: Prompt) -> Comparison:
        """Which attempt is better? Both orders are asked; two attempts of the same text are a tie without asking.

        Raises:
            TeachableError: there is no engine, or the engine raised one.
        """
        engine = self._engine()
        texts = spoken(first).strip(), spoken(second).strip()
        if texts[0] == texts[1]:
            return Comparison("tie", "both answers are the same text")
        fault = self._unfit(prompt, *texts)
        if fault:
            return Comparison(None, fault)
        told = self._told(prompt)
        forward = self._shown(told | {"answer A": texts[0], "answer B": texts[1]}, "pairwise", PairReply)
        backward = self._shown(told | {"answer A": texts[1], "answer B": texts[0]}, "pairwise", PairReply)
        try:
            async with asyncio.TaskGroup() as group:
                one = group.create_task(self._ask(engine, forward, prompt, "forward"))
                other = group.create_task(self._ask(engine, backward, prompt, "backward"))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return comparison_of(one.result(), other.result())

    def _unfit(self, prompt: Prompt, *candidates: str) -> str:
        """Why this is not put to the judge; empty if it is."""
        fault = self._too_long(*candidates)
        if not fault and not self._told(prompt):
            return "there is neither a question nor a reference answer to judge by"
        return fault

    def _told(self, prompt: Prompt) -> dict[str, str]:
        """What the judge is shown beside the answers; empty where the prompt has neither question nor reference."""
        told = {"task": question_of(prompt), "reference answer": (prompt.answer or "") if self.reference else ""}
        return {label: text for label, text in told.items() if text}
