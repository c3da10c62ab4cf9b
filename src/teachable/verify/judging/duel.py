"""The verifier `duel`: a language model says whether an attempt is better than a baseline's response to its prompt.

The baseline's response is the prompt's `answer`. That is the pairwise judging of Arena-Hard (Li et al. 2024, "From
Crowdsourced Data to High-Quality Benchmarks: Arena-Hard and BenchBuilder Pipeline"): open questions, no reference,
one fixed baseline, and two games that swap the places. It departs in three ways. The judge says better or
tie, not how much better. A vote is a pair of replies, one an order, and counts only where both name the same response
(`verifier.py`), where Arena-Hard counts the two games apart. And the win rate is a mean of wins, with ties as half a
win, not the strength of a Bradley-Terry model, which for a single baseline orders the models alike.

A verdict's `frac_passed` is 1 for a win, 0.5 for a tie and 0 for a loss, so its mean over questions is the win rate;
`correct` is True for a win alone. Where the judge can't tell, both are None. The `answer` is None: responses to an open
question do not vote.

Length sways judges, and nothing here takes that out: read the tokens per question beside the win rate.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from teachable.records import Prompt, Verdict
from teachable.verify.extract import spoken
from teachable.verify.judging.panel import NO_ANSWER_FOUND, Panel, question_of, template
from teachable.verify.judging.verifier import Judge
from teachable.verify.judging.votes import Winner

_WORTH: dict[Winner, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}
_WORDS: dict[Winner, str] = {"first": "win", "tie": "tie", "second": "loss"}


@dataclass(frozen=True)
class Duel(Panel):
    """A verifier that has a language model compare an attempt with a baseline's response, in both orders.

    Args:
        engine, votes, max_tokens, temperature, seed, max_chars: see `Panel`.
        rubric: how to compare, as text; "" for the packaged one, which is for open questions.

    Raises:
        TeachableError: a value is out of its range.
    """

    name = "duel"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Win, tie or loss? Thoughts are not shown; an attempt with nothing outside them has lost.

        In the reason "the first" is the attempt and "the second" the baseline.

        Raises:
            TeachableError: there is no engine, or the engine raised one.
        """
        self._engine()
        baseline = spoken(prompt.answer or "").strip()
        if not baseline:
            return Verdict(None, None, "the prompt's answer holds no baseline's response to compare with")
        if not question_of(prompt):
            return Verdict(None, None, "there is no question to compare two responses by")
        if not spoken(attempt).strip():
            return Verdict(False, None, f"loss: {NO_ANSWER_FOUND}", 0.0)
        found = await self._judge().compare(attempt, baseline, prompt)
        if found.winner is None:
            return Verdict(None, None, found.reason)
        reason = f"{_WORDS[found.winner]}, by {found.reason}" if found.votes else f"tie: {found.reason}"
        return Verdict(found.winner == "first", None, reason, _WORTH[found.winner])

    def _judge(self) -> Judge:
        """The judge that compares, who is not told that the baseline's response is the prompt's answer."""
        settings = {field.name: getattr(self, field.name) for field in fields(Panel)}
        settings["rubric"] = self.rubric.strip() or template("duel_rubric.txt")
        return Judge(**settings, reference=False)
