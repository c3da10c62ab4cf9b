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
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Generic

from teachable.errors import TeachableError
from teachable.records import Completion, Engine, Message, Prompt, Request, Verdict
from teachable.verify.extract import extract_answer, spoken
from teachable.verify.judging.fence import fenced, neutral, seal_of
from teachable.verify.judging.replies import PairReply, PointReply, Read, Reply, ScoreReply, read_reply
from teachable.verify.judging.scoring import NO_ANSWER, Scoring, scoring_of
from teachable.verify.judging.votes import Comparison, comparison_of, one_line, verdict_of

_NO_ENGINE = "the judge has no engine to ask"
_NAME_ONE = "Give it one, as in Judge(engine=make_engine(...)), or name a model with --engine on the command line"


@dataclass(frozen=True)
class _Shown(Generic[Reply]):
    """A question as it is put to the judge, the seal that its verdict has to bear, and the shape of that."""

    text: str
    seal: str
    schema: type[Reply]


@dataclass(frozen=True)
class Judge:
    """A verifier that asks a language model.

    Args:
        engine: who judges; it is asked with messages (one user turn). None: `verify` and `compare` raise.
        rubric: how to judge, as text; "" for the packaged one, which asks for a right and complete final result.
        votes: replies to a question (to each order of a comparison), at least 1.
        reference: show the judge the prompt's reference answer where it has one.
        max_tokens: of a reply, in tokens; one that reaches it is no vote.
        temperature: of the replies; 0 is greedy, which makes all votes the same and so takes `votes` 1.
        seed: with the prompt's id, fixes the replies as far as the engine honours seeds.
        max_chars: the longest answer that is shown, in characters; a longer one is not cut but undecided.

    Raises:
        TeachableError: a value is out of its range.
    """

    engine: Engine | None = None
    rubric: str = ""
    votes: int = 3
    reference: bool = True
    max_tokens: int = 2048
    temperature: float = 0.7
    seed: int = 0
    max_chars: int = 20_000
    name = "judge"
    answer_is_gold = False

    def __post_init__(self) -> None:
        for field, least in (("votes", 1), ("max_tokens", 1), ("temperature", 0), ("max_chars", 1)):
            if not getattr(self, field) >= least:
                found = getattr(self, field)
                raise TeachableError(f"{field} is {found}", where="judge", mend=f"Choose {least} or more")
        if self.temperature == 0 and self.votes > 1:
            raise TeachableError(
                f"at temperature 0 all {self.votes} votes would be the same reply",
                where="judge",
                mend="Set votes to 1, or the temperature above 0",
            )

    def ready(self) -> None:
        """Nothing to do.

        Raises:
            TeachableError: there is no engine.
        """
        self._engine()

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Is this attempt right? Its thoughts are not shown; without an answer outside them it is wrong.

        Raises:
            TeachableError: there is no engine, or the engine raised one.
        """
        engine = self._engine()
        candidate = spoken(attempt).strip()
        if not candidate:
            return Verdict(False, None, "no answer found")
        answer = extract_answer(attempt)
        fault = self._unfit(prompt, candidate)
        if fault:
            return Verdict(None, answer, fault)
        shown = self._shown(prompt, {"candidate's answer": candidate}, "pointwise", PointReply)
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
        shown = self._shown(prompt, {"candidate's answer": candidate}, "scores", ScoreReply)
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
        forward = self._shown(prompt, {"answer A": texts[0], "answer B": texts[1]}, "pairwise", PairReply)
        backward = self._shown(prompt, {"answer A": texts[1], "answer B": texts[0]}, "pairwise", PairReply)
        try:
            async with asyncio.TaskGroup() as group:
                one = group.create_task(self._ask(engine, forward, prompt, "forward"))
                other = group.create_task(self._ask(engine, backward, prompt, "backward"))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return comparison_of(one.result(), other.result())

    def _engine(self) -> Engine:
        if self.engine is None:
            raise TeachableError(_NO_ENGINE, mend=_NAME_ONE)
        return self.engine

    def _unfit(self, prompt: Prompt, *candidates: str) -> str:
        """Why this is not put to the judge; empty if it is."""
        longest = max(map(len, candidates))
        if longest > self.max_chars:
            return f"an answer of {longest} characters is longer than the {self.max_chars} that the judge reads"
        if not _question(prompt) and not (self.reference and prompt.answer):
            return "there is neither a question nor a reference answer to judge by"
        return ""

    def _shown(self, prompt: Prompt, candidates: Mapping[str, str], kind: str, schema: type[Reply]) -> _Shown[Reply]:
        """The message to the judge, with everything that it is shown behind one seal."""
        rubric = self.rubric.strip() or _template(f"{kind}_rubric.txt").strip()
        told = {"task": _question(prompt), "reference answer": (prompt.answer or "") if self.reference else ""}
        named = [*((label, text) for label, text in told.items() if text), *candidates.items()]
        parts = [(label, neutral(text)) for label, text in named]
        seal = seal_of([*(part for _, part in parts), rubric])
        blocks = "\n\n".join(fenced(label, part, seal) for label, part in parts)
        whole = Template(_template(f"{kind}.txt")).substitute(seal=seal, blocks=blocks, rubric=rubric)
        return _Shown(whole.strip(), seal, schema)

    async def _ask(self, engine: Engine, shown: _Shown[Reply], prompt: Prompt, order: str) -> list[Read[Reply]]:
        """`votes` readings of the judge's replies, whatever became of them.

        Raises:
            TeachableError: the engine's own, which is a mistake that the user must mend.
        """
        request = Request(
            prompt=(Message(role="user", content=shown.text),),
            n=self.votes,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=_seed(self.seed, prompt.id, order),
        )
        fault = "missing from what the engine returned"
        completions: list[Completion] = []
        try:
            completions = list(await engine.sample(request))[: self.votes]
        except TeachableError:
            raise
        except Exception as error:  # an engine that fails says nothing about the attempt
            completions = list(getattr(error, "completions", ()))[: self.votes]  # what it brought before
            fault = f"lost to the engine's failure ({type(error).__name__}: {one_line(str(error))})"
        reads = [read_reply(completion, shown.seal, shown.schema) for completion in completions]
        return reads + [Read(None, fault)] * (self.votes - len(reads))


def _question(prompt: Prompt) -> str:
    """What was asked: the one user message, or the whole chat with its roles; empty where the prompt has none."""
    if [message["role"] for message in prompt.messages] == ["user"]:
        return prompt.messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt.messages)


def _seed(seed: int, prompt_id: str, order: str) -> int:
    """The seed of a request to the judge, 63 bits, the same on every machine."""
    named = f"{seed}\x1f{prompt_id}\x1f{order}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(named).digest()[:8], "big") >> 1


@cache
def _template(name: str) -> str:
    return resources.files("teachable.verify.judging").joinpath("templates", name).read_text(encoding="utf-8")
