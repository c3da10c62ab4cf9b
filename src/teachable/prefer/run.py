"""Have every prompt answered by several engines, the answers judged, and pairs made of them.

After section 4.3 of the Phi-4 Technical Report (Abdin et al. 2024): responses from several models, and a language model
that judges them by accuracy, style and detail. Ours are the fence and the seal around what is judged, the votes, the
comparison in both orders, the verifier's veto, and that everything left out is counted with its reason.

A prompt is carried through from its responses to its pairs before too many others are begun, so that a run that is
stopped has finished pairs to show. Responses that are alike are judged once. Where fewer than two of a prompt's
responses can be told apart, the judge is not asked at all.

What this does not give: a judge that is right. How far yours agrees with people, or with a verifier, is what
`teachable verify --calibrate` measures. Judges favour a place (which pairwise mode finds out and leaves out), but also
length and their own style, which nothing here corrects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeVar

from teachable import verify
from teachable.errors import Stopped, TeachableError
from teachable.prefer.config import JudgePairsConfig
from teachable.prefer.found import (
    CUT_OFF,
    EMPTY,
    TOO_LONG,
    Compared,
    Judged,
    JudgedPairs,
    PromptResult,
    Response,
    response_of,
)
from teachable.prefer.pairs import pairs_of
from teachable.records import Attempt, Engine, OnProgress, Progress, Prompt, Verdict, Verifier
from teachable.rollouts import Ask, Sampling, answer, refuse_shared_ids, request_seed
from teachable.verify.judging import Comparison, Judge

# Prompts between their first request and their last verdict. Enough for an engine to batch, few enough for a run that
# is stopped to have finished prompts.
MAX_IN_FLIGHT = 256
UNCHECKED = "not verified"
ALONE = "not judged: there is no other response to compare it with"

R = TypeVar("R")


@dataclass(frozen=True)
class _Unchecked:
    """The verifier of prompts that are not to be verified: it can't tell, and costs nothing."""

    name = "unchecked"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        return Verdict(None, None, UNCHECKED)


_UNCHECKED = _Unchecked()


async def judge_pairs(
    prompts: Sequence[Prompt],
    *,
    engines: Sequence[Engine],
    judge: Engine,
    config: JudgePairsConfig,
    given: Mapping[str, Sequence[Response]] | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> JudgedPairs:
    """Responses, scores and pairs of every prompt.

    Args:
        prompts: what is answered; ids must differ.
        engines: who answers, each `config.n_responses` times. Their names must differ.
        judge: who judges; it may be one of the engines.
        config: see there; its own `engines`, `own` and `judge` are settings, and are not looked at.
        given: responses that are there already, by prompt id; they are verified and judged with the others.
        seed: with a prompt's id it fixes what is asked of engines and judge.
        on_progress: called after every prompt, in prompts.

    Returns:
        Every prompt that was finished. `stopped` says why there are fewer than all.

    Raises:
        TeachableError: two prompts share an id, two engines a name, a verifier lacks what it needs, or an engine
            raised one.
    """
    refuse_shared_ids(prompts)
    _refuse_shared_names(engines)
    for prompt in prompts:
        verifier = _verifier_of(prompt, config)
        if isinstance(verifier, verify.Prepared):
            verifier.ready()
    asking = Judge(
        engine=judge,
        rubric=config.rubric,
        votes=config.votes,
        reference=config.reference,
        max_tokens=config.judge_max_tokens,
        temperature=config.judge_temperature,
        seed=seed,
        max_chars=config.max_chars,
    )
    work = _Work(tuple(prompts), tuple(engines), asking, config, given or {}, seed, on_progress)
    return await work.all()


def _refuse_shared_names(engines: Sequence[Engine]) -> None:
    names = [engine.name for engine in engines]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TeachableError(
            f"the engine {twice} is named twice, and would give the same responses twice",
            mend="Name it once, and raise n_responses for more of its responses",
        )


def _verifier_of(prompt: Prompt, config: JudgePairsConfig) -> Verifier:
    """Who verifies the responses to a prompt. Where a judge would have to, the judging does."""
    if not config.verify or prompt.answer is None or prompt.verifier == "judge":
        return _UNCHECKED
    return verify.get(prompt.verifier)


@dataclass
class _Work:
    """All prompts, and the results of those that are finished."""

    prompts: tuple[Prompt, ...]
    engines: tuple[Engine, ...]
    judge: Judge
    config: JudgePairsConfig
    given: Mapping[str, Sequence[Response]]
    seed: int
    on_progress: OnProgress | None
    stopped: Stopped | None = None
    n_done: int = 0
    n_pairs: int = 0

    async def all(self) -> JudgedPairs:
        """Take the prompts in their order, some at a time, until all are finished or the work is to end."""
        results: list[PromptResult | None] = [None] * len(self.prompts)
        pending = iter(enumerate(self.prompts))
        workers = min(MAX_IN_FLIGHT, len(self.prompts))
        await _all(*(self._serve(pending, results) for _ in range(workers)))
        return JudgedPairs(tuple(one for one in results if one is not None), len(self.prompts), self.stopped)

    async def _serve(self, pending: Iterator[tuple[int, Prompt]], results: list[PromptResult | None]) -> None:
        """Finish prompts one after the other. Each worker ends by itself, so that none loses what another gets."""
        for index, prompt in pending:
            try:
                results[index] = await self._prompt(prompt)
            except Stopped as error:
                self.stopped = self.stopped or error
            if self.stopped is not None:
                return
            self._tell(results[index])

    def _tell(self, result: PromptResult | None) -> None:
        self.n_done += 1
        self.n_pairs += len(result.pairs) if result is not None else 0
        if self.on_progress is not None:
            self.on_progress(Progress(self.n_done, len(self.prompts), "prompts", note=f"{self.n_pairs:,} pairs"))

    async def _prompt(self, prompt: Prompt) -> PromptResult:
        """One prompt, from its responses to its pairs."""
        verifier = _verifier_of(prompt, self.config)
        known = [await _checked(one, verifier, prompt) for one in self.given.get(prompt.id, ())]
        sampled = await _all(*(self._answers(prompt, engine, verifier) for engine in self.engines))
        responses = [*known, *(response_of(attempt) for attempts in sampled for attempt in attempts)]
        judged = _matched([replace(one, fault=one.fault or self._fault(one)) for one in responses])
        asked = [one.response for one in judged if not one.response.fault and not one.like]
        compared: list[Compared] = []
        if len(asked) < 2:
            judged = [one if one.response.fault or one.like else replace(one, reason=ALONE) for one in judged]
        elif self.config.mode == "pointwise":
            judged = await self._scored(prompt, judged)
        else:
            compared = await self._compared(prompt, asked)
            judged = [_standing(one, compared) for one in judged]
        judged = _inherited(judged)
        pairs, left_out = pairs_of(prompt, judged, compared, self.config)
        return PromptResult(prompt, tuple(judged), tuple(pairs), tuple(compared), left_out)

    async def _answers(self, prompt: Prompt, engine: Engine, verifier: Verifier) -> list[Attempt]:
        """What one engine answers, verified; its failures are attempts without a verdict."""
        config = self.config
        found: list[Attempt] = []
        await answer(
            [Ask(replace(prompt, verifier=verifier.name), config.n_responses)],
            engine=engine,
            verifiers={verifier.name: verifier},
            sampling=Sampling(
                max_tokens=config.max_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                top_k=config.top_k,
                min_p=config.min_p,
                stop=config.stop,
            ),
            # Engines that draw alike from one seed (two checkpoints of a model) would give the same responses.
            seed=request_seed(self.seed, engine.name),
            on_answer=lambda _, attempts: found.extend(attempts),
        )
        return found

    def _fault(self, response: Response) -> str:
        """Why a response takes no part in pairs; empty where it does."""
        said = verify.spoken(response.text).strip()
        if response.finish_reason == "length" and not self.config.unfinished:
            return CUT_OFF
        if not said:
            return EMPTY
        return TOO_LONG if len(said) > self.config.max_chars else ""

    async def _scored(self, prompt: Prompt, judged: Sequence[Judged]) -> list[Judged]:
        """Every response that stands for itself with its scores."""

        async def one(judged: Judged) -> Judged:
            if judged.response.fault or judged.like:
                return judged
            scoring = await self.judge.score(judged.response.text, prompt)
            score = scoring.weighted(self.config.weights)
            return replace(judged, score=score, scoring=scoring, reason=scoring.reason)

        return await _all(*(one(response) for response in judged))

    async def _compared(self, prompt: Prompt, responses: Sequence[Response]) -> list[Compared]:
        """Every two responses, in both orders."""

        async def one(first: Response, second: Response) -> Compared:
            comparison = await self.judge.compare(first.text, second.text, prompt)
            return Compared(prompt.id, first.id, second.id, comparison)

        return await _all(*(one(first, second) for first, second in combinations(responses, 2)))


async def _checked(response: Response, verifier: Verifier, prompt: Prompt) -> Response:
    """A response that was given, with its verdict."""
    verdict = await verify.verdict_of(verifier, response.text, prompt)
    return replace(response, correct=verdict.correct, answer=verdict.answer, checked=verdict.reason)


def _matched(responses: Sequence[Response]) -> list[Judged]:
    """Responses, of which each that is like an earlier one names it."""
    first: dict[tuple[str, bool | None], str] = {}
    found = []
    for response in responses:
        like = ""
        if not response.fault:
            like = first.setdefault(response.likeness, response.id)
            like = "" if like == response.id else like
        found.append(Judged(response, reason=response.fault, like=like))
    return found


def _standing(judged: Judged, compared: Sequence[Compared]) -> Judged:
    """A response with its share of the comparisons that were decided; ties count half."""
    if judged.response.fault or judged.like:
        return judged
    place = judged.response.id
    outcomes: list[str] = []
    for one in compared:
        if place in (one.first, one.second):
            outcomes.append(_outcome(one.comparison, first=place == one.first))
    won, tied, lost = (outcomes.count(name) for name in ("won", "tied", "lost"))
    n_decided = won + tied + lost
    n_open = len(outcomes) - n_decided
    said = [f"{n} {name}" for n, name in ((won, "won"), (tied, "tied"), (lost, "lost"), (n_open, "undecided")) if n]
    score = (won + tied / 2) / n_decided if n_decided else None
    return replace(judged, score=score, n_won=won, n_tied=tied, n_lost=lost, reason=", ".join(said))


def _outcome(comparison: Comparison, *, first: bool) -> str:
    if comparison.winner is None:
        return "undecided"
    if comparison.winner == "tie":
        return "tied"
    return "won" if (comparison.winner == "first") == first else "lost"


def _inherited(judged: Sequence[Judged]) -> list[Judged]:
    """Each response that is like another with what the judge said of that."""
    by_id = {one.response.id: one for one in judged if not one.like}
    return [replace(by_id[one.like], response=one.response, like=one.like) if one.like else one for one in judged]


async def _all(*work: Coroutine[Any, Any, R]) -> list[R]:
    """The results of all, in order; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
