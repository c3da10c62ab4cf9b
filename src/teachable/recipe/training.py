"""One training job, whatever stage asked for it: examples in, a model and its record out.

A job is plain data, so that a worker process, or the processes that `accelerate launch` starts, can be handed it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.evaluate.config import EvaluateConfig
from teachable.recipe.launching import is_main_process, launched
from teachable.recipe.live import question_scores, score_live
from teachable.recipe.sampling import Place
from teachable.recipe.slots import Slot
from teachable.recipe.spec import StageContext
from teachable.recipe.workers import side_by_side
from teachable.records import Example, Progress, Prompt, to_row
from teachable.stats import mean_interval
from teachable.store.digest import digest
from teachable.store.files import read_records, write_json
from teachable.train.loop import CurvePoint
from teachable.train.plateau import Evaluation, Standing, standing
from teachable.train.tune import TuneResult, tune
from teachable.train.tune_config import SteeredConfig, TrainingConfig

VERSION = 1  # raised by hand when the same job makes another model than before
PROGRESS = "progress.json"  # in a slot's work folder, while its model is trained
TELL_EVERY_S = 0.5

# What of a config does not decide what a model becomes: what else is trained, and which rows are refused.
_NOT_OF_A_MODEL = frozenset({"domains", "seeds", "mix", "n_tokens", "evidence", "dev_frac", "allow_overlap"})


@dataclass(frozen=True)
class TrainJob:
    """One model to train.

    Attributes:
        arm, seed: what the model is called in tables: a domain, "data-2", a trial's name; and its seed.
        base: the folder (or hub id) that training starts from.
        examples: a JSONL file of `Example`s.
        config: the settings. Where it is a `SteeredConfig` with `dev`, training ends at the plateau; else at max_steps.
        dev: a Parquet file of the questions that steer, or None.
        judged: how these questions are asked.
        slot: where the model and its record are kept.
        request_seed: of sampled answers to the questions that steer.
    """

    arm: str
    seed: int
    base: str
    examples: Path
    config: TrainingConfig | SteeredConfig
    dev: Path | None
    judged: EvaluateConfig
    slot: Slot
    place: Place
    request_seed: int = 0

    @property
    def label(self) -> str:
        """The model's name in messages."""
        return f"{self.arm}-{self.seed}"

    @property
    def path(self) -> str:
        """The model's folder, from the run folder."""
        return self.slot.model.relative_to(self.slot.run).as_posix()


def training_key(
    base_digest: str,
    examples_hash: str,
    config: TrainingConfig,
    *,
    seed: int,
    dev: Sequence[Prompt] = (),
    judged: EvaluateConfig | None = None,
    request_seed: int = 0,
) -> str:
    """The key of a slot: the digest of all that a trained model is made from, and of nothing else.

    Args:
        base_digest: of the model that training starts from.
        examples_hash: of the examples in any order, which must be that of the job's file (see `frozen.set_hash`).
        dev, judged, request_seed: the questions that steer and how they are asked; none where nothing steers.
    """
    settings = {name: value for name, value in config.model_dump(mode="json").items() if name not in _NOT_OF_A_MODEL}
    steering = {
        "questions": [digest(to_row(prompt)) for prompt in dev],
        "judged": judged.model_dump(mode="json") if judged is not None else None,
        "request_seed": request_seed,
    }
    return digest(
        {
            "version": VERSION,
            "base": base_digest,
            "examples": examples_hash,
            "settings": settings,
            "seed": seed,
            "steering": steering if dev else None,
        }
    )


def train_job(job: TrainJob) -> dict[str, Any]:
    """Train one model into its slot, or take what is kept there, and give its record.

    Runs in this process, in a worker, or in each of the processes of a launched training, of which the main one writes.

    Returns:
        `run`, a row of runs.parquet; `curve` and `evaluations`, rows of curves.parquet and evaluations.parquet without
        `arm` and `seed`; `sentence`, why training ended.

    Raises:
        TeachableError: what `tune` says the user must mend.
    """
    if (kept := job.slot.kept()) is not None:
        return kept
    torch.set_num_threads(job.place.n_threads)
    writes = is_main_process()
    if writes:
        job.slot.begin()
    notes = _Notes(job.slot.work / PROGRESS, writes)
    result = tune(
        job.base,
        read_records(job.examples, Example),
        job.config,
        seed=job.seed,
        out=job.slot.model,
        device=job.place.resources.device,
        work=job.slot.work / "checkpoints",
        judge=_judge(job) if job.dev is not None else None,
        on_step=notes.stepped,
        on_evaluation=notes.evaluated,
    )
    record = _record(job, result)
    if writes:
        job.slot.keep(record)
    return record


def _judge(job: TrainJob) -> Callable[[Any, Any, int], list[float]]:
    """Asks the model in training the questions that steer."""
    assert job.dev is not None
    questions = read_records(job.dev, Prompt)

    def judge(model: Any, tokenizer: Any, step: int) -> list[float]:
        rows = score_live(
            model,
            tokenizer,
            questions,
            job.judged,
            batch_rows=job.place.resources.batch_rows,
            request_seed=job.request_seed,
            arm=job.arm,
            seed=job.seed,
        )
        return question_scores(rows, greedy=job.judged.greedy)

    return judge


class _Notes:
    """How far a training is, left where another process can read it."""

    def __init__(self, path: Path, writes: bool) -> None:
        self._path = path
        self._writes = writes
        self._told: dict[str, Any] = {"step": 0, "tokens": 0, "score": None}
        self._next = 0.0

    def stepped(self, point: CurvePoint) -> None:
        """A step is done; most of them are too quick to be told."""
        self._told |= {"step": point.step + 1, "tokens": point.tokens}
        if time.monotonic() >= self._next:
            self._write()

    def evaluated(self, evaluation: Evaluation, standing: Standing) -> None:
        """The questions that steer are answered."""
        self._told |= {"step": evaluation.step, "tokens": evaluation.tokens, "score": evaluation.mean}
        self._write()

    def _write(self) -> None:
        if self._writes:
            write_json(self._path, self._told)
        self._next = time.monotonic() + TELL_EVERY_S


def _record(job: TrainJob, result: TuneResult) -> dict[str, Any]:
    best = [one.mean for one in result.evaluations if one.step == result.best_step]
    run = {"arm": job.arm, "seed": job.seed, "path": job.path}
    run |= {
        name: getattr(result, name)
        for name in (
            "digest", "backend", "n_examples", "n_too_long", "n_steps", "best_step", "stopped", "n_tokens",
            "n_response_tokens", "n_params",
        )
    }  # fmt: skip
    run |= {
        "final_loss": result.curve[-1].loss,
        "seconds": round(result.seconds, 3),
        "dev_score": best[0] if best else None,
    }
    return {
        "run": run,
        "curve": [asdict(point) for point in result.curve],
        "evaluations": _evaluations(job, result),
        "sentence": result.sentence,
    }


def _evaluations(job: TrainJob, result: TuneResult) -> list[dict[str, Any]]:
    """A row an evaluation: the mean score with its 95% interval, and what it gained on the reference of its time."""
    config = job.config
    if not result.evaluations or not isinstance(config, SteeredConfig):
        return []
    rows = []
    for n, one in enumerate(result.evaluations, start=1):
        mean = mean_interval(one.scores)
        then = standing(
            result.evaluations[:n],
            patience=config.patience,
            min_gain=config.min_gain,
            confidence=config.gain_confidence,
        )
        rows.append(
            {
                "step": one.step,
                "tokens": one.tokens,
                "score": mean.mean,
                "low": mean.low,
                "high": mean.high,
                "gain": then.gain,
                "gain_low": then.low,
                "gain_high": then.high,
                "is_gain": then.is_gain,
                "is_best": one.step == result.best_step,
            }
        )
    return rows


def train_all(ctx: StageContext, jobs: Sequence[TrainJob]) -> list[dict[str, Any]]:
    """The records of all jobs in their order: small models side by side on a CPU, others one after the other.

    A record says in `kept` whether its model was there already, so that nothing was trained now.

    Args:
        jobs: each with a slot of its own.

    Raises:
        whatever one of the trainings raises, the first time that it does; what was finished is kept.
        TeachableError: a worker process was killed.
    """
    done: dict[str, dict[str, Any]] = {}
    for job in jobs:
        if (kept := job.slot.kept()) is not None:
            done[job.slot.name] = {**kept, "kept": True}
    waiting = [job for job in jobs if job.slot.name not in done]

    def finished(job: TrainJob, record: dict[str, Any]) -> None:
        done[job.slot.name] = {**record, "kept": False}
        ctx.on_progress(progress_of(jobs, done))

    with _telling(ctx, jobs, done):
        if waiting and waiting[0].place.resources.launches:
            for job in waiting:  # in several processes each, which accelerate launch starts
                finished(job, launched(job, say=ctx.say))
        elif waiting:
            side_by_side(train_job, waiting, min(len(jobs), waiting[0].place.n_at_once), finished)
    return [done[job.slot.name] for job in jobs]


@contextmanager
def _telling(ctx: StageContext, jobs: Sequence[TrainJob], done: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Tell in the block, now and then, how far the trainings are, wherever they run."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(TELL_EVERY_S):
            ctx.on_progress(progress_of(jobs, dict(done)))

    ctx.on_progress(progress_of(jobs, done))
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def progress_of(jobs: Sequence[TrainJob], done: Mapping[str, Mapping[str, Any]]) -> Progress:
    """Steps of all trainings; one that has ended counts as all the steps that it was allowed.

    Args:
        done: the records of the trainings that have ended, by the names of their slots.
    """
    n_steps = n_tokens = 0
    notes = []
    for job in jobs:
        if job.slot.name in done:
            n_steps += job.config.max_steps
            n_tokens += done[job.slot.name]["run"]["n_tokens"]
        elif (told := _noted(job)) is not None:
            n_steps += told["step"]
            n_tokens += told["tokens"]
            notes.append(f"{job.label} {told['score']:.0%}" if told["score"] is not None else job.label)
    return Progress(n_steps, sum(job.config.max_steps for job in jobs), "steps", n_tokens, ", ".join(notes))


def _noted(job: TrainJob) -> dict[str, Any] | None:
    """How far a training is; None of one that has not begun, or that has just ended."""
    try:
        told: dict[str, Any] = json.loads((job.slot.work / PROGRESS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return told
