"""The work of the stage `evaluate`: many models asked the same questions, each through the run's ledger and limits.

Models behind servers (and scripted ones) are asked all at once, in one event loop: a server's time is not ours. Models
that compute here are asked one after the other, small ones side by side in worker processes. Every completion, of a
model or of the judge, is in the ledger before anybody sees it; so whoever kills the process loses what was in flight,
and what is begun again pays for nothing twice and ends with the same scores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Ledgered, Spending, request_key
from teachable.engines.limits import Limits
from teachable.engines.make import require
from teachable.errors import Stopped, TeachableError
from teachable.evaluate import EvaluateConfig, Scores, score_model
from teachable.evaluate.score import task_of
from teachable.recipe.sampling import Paced, Place, asking, finish, paced
from teachable.recipe.workers import side_by_side
from teachable.records import Completion, Engine, OnProgress, Progress, Prompt, Request, Verifier
from teachable.rollouts import MAX_IN_FLIGHT
from teachable.store.digest import model_files
from teachable.store.files import read_records
from teachable.train.config import SMALL_PARAMS
from teachable.verify import get
from teachable.verify.judging.panel import Panel

NAME = "evaluate"
BYTES_PER_PARAMETER = 4  # the most that a weight takes
OnInterrupt = Callable[[int], None]


@dataclass(frozen=True)
class ScoreJob:
    """One model to ask. `path` is its folder where the settings name no model."""

    model: str
    arm: str
    seed: int
    engine: EngineConfig
    path: str
    questions: Path
    config: EvaluateConfig
    request_seed: int
    place: Place


@dataclass(frozen=True)
class Reply:
    """What one request to the judge brought and took."""

    completions: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Judging:
    """A judge's replies by the key of their request, since many answers say the same and are judged once.

    `failed` counts requests that it could not answer in full, `tokens_spent` the tokens that were sampled this time.
    """

    replies: Mapping[str, Reply] = field(default_factory=dict)
    failed: int = 0
    tokens_spent: int = 0


@dataclass(frozen=True)
class Scored:
    """A model's scores, the engine's name in the ledger, what was spent on the model, and the judge's part.

    Models that were asked together share a judge, whose part stands with the first of them.
    """

    scores: Scores
    engine: str
    spent: Spending
    judging: Judging = field(default_factory=Judging)


class Remembering(Paced):
    """A judge, at its server's pace; it remembers what its replies took, by the key of their request."""

    def __init__(self, engine: Engine, settings: EngineConfig) -> None:
        super().__init__(engine, settings.concurrency if settings.kind == "openai" else MAX_IN_FLIGHT)
        self.replies: dict[str, Reply] = {}

    async def sample(self, request: Request) -> list[Completion]:
        """The engine's completions, once there is room."""
        found = await super().sample(request)
        tokens_in, tokens_out = sum(one.n_prompt_tokens for one in found), sum(one.n_tokens for one in found)
        self.replies[request_key(self.name, request)] = Reply(len(found), tokens_in, tokens_out)
        return found


def judged_tasks(prompts: Iterable[Prompt]) -> dict[str, str]:
    """The tasks that a judge decides, and the verifier of each that asks it."""
    return {task_of(prompt): prompt.verifier for prompt in prompts if isinstance(get(prompt.verifier), Panel)}


def refuse_unjudged(prompts: Iterable[Prompt], config: EvaluateConfig) -> None:
    """Raise before anything is asked where a judge is needed and none is named.

    Raises:
        TeachableError: with the first such task.
    """
    for task, verifier in judged_tasks(prompts).items():
        if config.judge is None:
            raise TeachableError(
                f"the task {task!r} is decided by a judge (verifier {verifier!r}), and no judge is named",
                where=NAME,
                mend="Name one with --judge ENGINE, or in evaluate.judge",
            )


def verifiers_with(prompts: Iterable[Prompt], config: EvaluateConfig, judge: Engine, seed: int) -> dict[str, Verifier]:
    """The verifiers that ask a judge, by the name that the prompts use, asking this one."""
    found: dict[str, Verifier] = {}
    for name in judged_tasks(prompts).values():
        verifier = get(name)
        if isinstance(verifier, Panel):
            found[name] = replace(
                verifier,
                engine=judge,
                votes=config.votes,
                temperature=config.judge_temperature,
                max_tokens=config.judge_max_tokens,
                seed=seed,
            )
    return found


def most_parameters(folder: Path) -> int:
    """How many numbers a model folder's weights hold at most, by the size of its files; many for a model of the hub."""
    if not folder.is_absolute():
        return SMALL_PARAMS
    sizes = [path.stat().st_size for path in model_files(folder) if path.suffix == ".safetensors"]
    return sum(sizes) // BYTES_PER_PARAMETER


def score_all(jobs: Sequence[ScoreJob], *, on_progress: OnProgress, on_interrupt: OnInterrupt) -> list[Scored]:
    """Every job's scores, in the order of the jobs.

    Raises:
        Stopped: a limit was reached or the user interrupted; everything that was paid for is in the ledger.
        TeachableError: what an engine says, once the other engines' requests in flight are answered and written.
    """
    for settings in {job.engine.kind: job.engine for job in jobs}.values():
        require(settings)
    served = [job for job in jobs if not job.engine.is_local]
    local = [job for job in jobs if job.engine.is_local]
    found: dict[str, Scored] = {}
    if served:
        found |= dict(zip((job.model for job in served), _score_served(served, on_progress, on_interrupt), strict=True))
    small = [job for job in local if job.place.n_at_once > 1 and not _judged_here(job)]
    large = [job for job in local if job not in small]
    found |= _score_local(small, small[0].place.n_at_once if small else 1, on_progress, on_interrupt)
    found |= _score_local(large, 1, on_progress, on_interrupt)
    return [found[job.model] for job in jobs]


def _judged_here(job: ScoreJob) -> bool:
    """Its judge computes here, of which there is room for one."""
    return job.config.judge is not None and job.config.judge.is_local


def _score_local(
    jobs: Sequence[ScoreJob], n_at_once: int, on_progress: OnProgress, on_interrupt: OnInterrupt
) -> dict[str, Scored]:
    """Models that compute here, by name."""
    done: dict[str, Scored] = {}

    def finished(job: ScoreJob, scored: Scored) -> None:
        done[job.model] = scored
        tokens = sum(one.spent.tokens_out for one in done.values())
        on_progress(Progress(len(done), len(jobs), "models", tokens, job.model))

    if n_at_once > 1 and len(jobs) > 1:
        on_progress(Progress(0, len(jobs), "models"))
        side_by_side(score_one, jobs, n_at_once, finished)
        return done
    for job in jobs:
        finished(job, score_one(job, on_progress, on_interrupt))
    return done


def score_one(
    job: ScoreJob, on_progress: OnProgress | None = None, on_interrupt: OnInterrupt = lambda n_in_flight: None
) -> Scored:
    """Ask one model every question; also in a worker process."""
    with _opened([job]) as opened:
        (scores,) = opened.finish([_scores(job, opened.engines[0], opened.judge, on_progress)], on_interrupt)
        return Scored(scores, opened.engines[0].name, opened.engines[0].spent, opened.judging())


def _score_served(jobs: Sequence[ScoreJob], on_progress: OnProgress, on_interrupt: OnInterrupt) -> list[Scored]:
    """Models behind servers, all at once, with one judge for all."""
    at: dict[str, Progress] = {}

    with _opened(jobs) as opened:

        def told(progress: Progress) -> None:
            at[progress.note] = progress
            dollars = sum(engine.spent.cost_usd for engine in opened.every)
            done, tokens = sum(one.done for one in at.values()), sum(one.tokens for one in at.values())
            note = f"${dollars:,.2f}" if dollars else ""
            on_progress(Progress(done, progress.total * len(jobs), "questions", tokens, note))

        works = [_scores(job, engine, opened.judge, told) for job, engine in zip(jobs, opened.engines, strict=True)]
        scores = opened.finish(works, on_interrupt)
        parts = [opened.judging(), *(Judging() for _ in jobs[1:])]
        return [
            Scored(one, engine.name, engine.spent, part)
            for one, engine, part in zip(scores, opened.engines, parts, strict=True)
        ]


@dataclass(frozen=True)
class _Opened:
    """The engines of some jobs and of their judge, behind one gate."""

    limits: Limits
    engines: Sequence[Ledgered]
    judging_engine: Ledgered | None
    judge: Remembering | None

    @property
    def every(self) -> list[Ledgered]:
        """All engines, the judge's last."""
        return [*self.engines, *([self.judging_engine] if self.judging_engine is not None else [])]

    def judging(self) -> Judging:
        """What the judge has done until now."""
        if self.judge is None or self.judging_engine is None:
            return Judging()
        spent = self.judging_engine.spent
        return Judging(self.judge.replies, spent.failed, spent.tokens_out - spent.reused_tokens_out)

    def finish(self, works: Sequence[Coroutine[Any, Any, Scores]], on_interrupt: OnInterrupt) -> list[Scores]:
        """All works' results, in an event loop that ctrl-C ends cleanly."""
        return finish(lambda: _all(works, self.limits), *self.every, limits=self.limits, on_interrupt=on_interrupt)


@contextmanager
def _opened(jobs: Sequence[ScoreJob]) -> Iterator[_Opened]:
    """The engines of the jobs, and the judge where one is named."""
    place, settings = jobs[0].place, jobs[0].config.judge
    limits = Limits(place.max_cost_usd, place.max_tokens)
    with ExitStack() as stack:
        engines = [stack.enter_context(asking(job.place, job.path, engine=job.engine, limits=limits)) for job in jobs]
        judge: Ledgered | None = None
        if settings is not None:
            its_own = replace(place, n_params=most_parameters(Path(settings.model)))
            judge = stack.enter_context(asking(its_own, engine=settings, limits=limits))
        yield _Opened(limits, engines, judge, Remembering(judge, settings) if judge is not None and settings else None)


async def _scores(job: ScoreJob, engine: Ledgered, judge: Remembering | None, on_progress: OnProgress | None) -> Scores:
    """A job's scores, through engines that are open."""
    questions = read_records(job.questions, Prompt)
    return await score_model(
        job.model,
        job.arm,
        job.seed,
        questions,
        engine=paced(engine, job.engine),
        config=job.config,
        request_seed=job.request_seed,
        verifiers=verifiers_with(questions, job.config, judge, job.request_seed) if judge is not None else {},
        prices=(job.engine.usd_per_million_in, job.engine.usd_per_million_out),
        on_progress=on_progress,
    )


async def _all(works: Sequence[Coroutine[Any, Any, Scores]], limits: Limits) -> list[Scores]:
    """All results. Where one fails, the others send nothing more, and what they have in flight is finished first."""

    async def guarded(work: Awaitable[Scores]) -> Scores:
        try:
            return await work
        except Exception:
            limits.interrupt()
            raise

    found = await asyncio.gather(*(guarded(work) for work in works), return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors:
        raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
    return [one for one in found if isinstance(one, Scores)]
