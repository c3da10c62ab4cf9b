"""The short trainings of a search: made side by side, asked their questions, and gone again.

A search trains far more models than anyone will keep, so a model is removed as soon as its answers are counted; what
stays is a record under `tuned/NAME/`, which holds as long as the model would be made, and asked, from the same. A
search that was killed, or is run again with more trials, trains only what has no record.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.explore.trial import Trial
from teachable.recipe.domains import Domain
from teachable.recipe.live import question_scores, score_models
from teachable.recipe.mixing import mixed
from teachable.recipe.sampling import place_of
from teachable.recipe.slots import TUNED, Slot
from teachable.recipe.spec import StageContext
from teachable.recipe.training import TrainJob, train_all, training_key
from teachable.stats import Floats
from teachable.store.digest import digest, file_digest
from teachable.store.files import read_json, write_json, write_records
from teachable.train.tune_config import TrainingConfig

BASE = "base"
MODELS_BYTES = 2 * 2**30  # of trained models that wait to be asked; at least one a worker
BYTES_PER_PARAMETER = 4
WARMUP_PART = 5  # of a short run's steps, one in so many warms up at most
VERSION = 1  # raised by hand when the same training would be asked or counted otherwise
_DIVERGED = re.compile(r"became (nan|-?inf) at step")


def short_run(training: TrainingConfig, n_steps: int) -> TrainingConfig:
    """Settings for so few steps: each row once, and a warm-up that leaves most steps to the rate itself.

    A search whose short runs are all warm-up would find a rate that is too high for a long one.
    """
    warmup = min(training.warmup_steps, n_steps // WARMUP_PART)
    return training.model_copy(update={"max_steps": n_steps, "max_epochs": 1, "warmup_steps": warmup})


@dataclass(frozen=True)
class Wanted:
    """One training: a trial's settings on so many tokens. `part` is the round's name, or the confirmation's."""

    trial: Trial
    part: str
    seed: int
    n_tokens: int

    @property
    def arm(self) -> str:
        """What the model is called in tables."""
        return f"trial{self.trial.number}-{self.part}"

    @property
    def label(self) -> str:
        """The model's name."""
        return f"{self.arm}-{self.seed}"


@dataclass(frozen=True)
class Measured:
    """What a training came to: its row of `runs.parquet` and its score rows; neither, where its training diverged.

    `n_epochs` is by domain, as mixed. `spent` are the tokens that were trained on only now.
    """

    wanted: Wanted
    run: dict[str, Any] | None
    rows: Sequence[dict[str, Any]]
    n_epochs: dict[str, float]
    failure: str = ""
    spent: int = 0


class Bench:
    """Where the trainings of a search are made and asked.

    Args:
        domains: what is mixed.
        judged: how questions are asked.
    """

    def __init__(self, ctx: StageContext, domains: Sequence[Domain], judged: EvaluateConfig) -> None:
        self.ctx = ctx
        self.domains = domains
        self.judged = judged
        self.base: dict[str, Any] = read_json(ctx.inputs["base"] / "stats.json")
        self.place = place_of(ctx, int(self.base["n_params"]))

    @property
    def base_model(self) -> Path:
        """The folder that every training starts from. A path that this run made is relative to its folder."""
        return self.ctx.run / str(self.base["path"])

    def base_rows(self, questions: Path) -> list[dict[str, Any]]:
        """The base model's score rows."""
        models = [(BASE, BASE, 0, self.base_model, int(self.base["n_params"]))]
        return score_models(self.ctx, models, questions, self.judged)

    def measure(self, wanted: Sequence[Wanted], questions: Path, *, keep: Wanted | None = None) -> list[Measured]:
        """Every training's outcome, in the order in which they are wanted.

        Args:
            questions: a Parquet file of the questions to ask.
            keep: whose model stays when it is asked.

        Raises:
            Stopped: a limit was reached or the user interrupted; what was trained and asked is kept.
            TeachableError: what training or the engine says the user must mend. A loss that is not finite is no such
                thing here: of the settings that a search tries, some may be too bold.
        """
        asked = file_digest(questions)
        prepared = [self._prepared(one, asked) for one in wanted]
        done = {one.label: found for one in prepared if (found := self._recorded(one, keep)) is not None}
        waiting = [one for one in prepared if one.label not in done]
        for chunk in self._chunks(waiting):
            for one, outcome in zip(chunk, self._trained_and_asked(chunk, questions), strict=True):
                done[one.label] = self._record(one, outcome)
                self._remove(one, keep)
        return [done[one.label] for one in wanted]

    def clear(self, keep: Wanted) -> None:
        """Remove models and checkpoints of trainings that nobody wants any more: those of a killed search."""
        kept = self._name(keep)
        for folder, start in ((self.ctx.run / "models", ""), (self.ctx.run / TUNED, ".")):
            for path in folder.glob(f"{start}{self.ctx.name}-trial*"):
                if path.is_dir() and path.name != kept:
                    shutil.rmtree(path)
        for path in (self.ctx.run / TUNED).glob(f"{self.ctx.name}-trial*.json"):
            if path.stem != kept:
                path.unlink()

    # ---- one training ----

    def _name(self, wanted: Wanted) -> str:
        return f"{self.ctx.name}-{wanted.label}"

    def _prepared(self, wanted: Wanted, asked: str) -> _Prepared:
        """The training's examples, written down, and the job that they make."""
        found = mixed(self.domains, wanted.trial.mix, wanted.n_tokens, f"{self.ctx.seed}\x1f{wanted.seed}")
        path = self.ctx.folder / ".examples" / f"{wanted.label}.jsonl"
        write_records(path, found.examples)
        n_steps = math.ceil(len(found.examples) / wanted.trial.training.batch_size)
        config = short_run(wanted.trial.training, n_steps)
        in_order = digest([example.id for example in found.examples])
        key = training_key(str(self.base["digest"]), in_order, config, seed=wanted.seed)
        job = TrainJob(
            arm=wanted.arm,
            seed=wanted.seed,
            base=str(self.base_model),
            examples=path,
            config=config,
            dev=None,
            judged=self.judged,
            slot=Slot(self.ctx.run, self._name(wanted), key),
            place=self.place,
        )
        how = {"training": key, "questions": asked, "judged": self.judged.model_dump(mode="json")}
        record = self.ctx.run / TUNED / self.ctx.name / f"{wanted.label}.json"
        key = digest({"version": VERSION, "request_seed": self.ctx.seed, **how})
        return _Prepared(wanted, job, dict(found.n_epochs), record, key)

    def _recorded(self, one: _Prepared, keep: Wanted | None) -> Measured | None:
        """What is known of a training from before. One whose model should have stayed and did not is made again."""
        if not one.record.is_file():
            return None
        told = read_json(one.record)
        if told["key"] != one.key:
            return None
        if keep == one.wanted and not told["failure"] and one.job.slot.kept() is None:
            return None
        self._remove(one, keep)  # the kill may have come between the record and the removal
        return one.measured(told["run"], told["rows"], told["failure"])

    def _record(self, one: _Prepared, found: _Found) -> Measured:
        write_json(one.record, {"key": one.key, "run": found.run, "rows": found.rows, "failure": found.failure})
        return one.measured(found.run, found.rows, found.failure, found.spent)

    def _remove(self, one: _Prepared, keep: Wanted | None) -> None:
        if keep == one.wanted:
            return
        one.job.slot.record.unlink(missing_ok=True)
        for folder in (one.job.slot.model, one.job.slot.work):
            shutil.rmtree(folder, ignore_errors=True)

    # ---- several ----

    def _chunks(self, waiting: Sequence[_Prepared]) -> Iterator[Sequence[_Prepared]]:
        """As many trainings at a time as may lie on the disk together; no result depends on how many these are."""
        size = max(self.place.n_at_once, MODELS_BYTES // (int(self.base["n_params"]) * BYTES_PER_PARAMETER), 1)
        for start in range(0, len(waiting), size):
            yield waiting[start : start + size]

    def _trained_and_asked(self, chunk: Sequence[_Prepared], questions: Path) -> list[_Found]:
        records = self._trained([one.job for one in chunk])
        trained = [record["run"] for record in records if isinstance(record, dict)]
        models = [
            (f"{run['arm']}-{run['seed']}", run["arm"], run["seed"], self.ctx.run / run["path"], int(run["n_params"]))
            for run in trained
        ]
        rows = score_models(self.ctx, models, questions, self.judged) if models else []
        found = []
        for one, record in zip(chunk, records, strict=True):
            if isinstance(record, str):
                found.append(_Found(None, [], record))
                continue
            mine = [row for row in rows if row["model"] == one.label]
            found.append(_Found(record["run"], mine, spent=0 if record["kept"] else int(record["run"]["n_tokens"])))
        return found

    def _trained(self, jobs: Sequence[TrainJob]) -> list[dict[str, Any] | str]:
        """The records, or the reason why there is none: that the training diverged.

        The first that diverges ends the others of its call, and does not say whose it was; so they are trained again in
        two halves, in which whatever was finished is there already.
        """
        try:
            return list(train_all(self.ctx, jobs))
        except TeachableError as error:
            if _DIVERGED.search(error.what) is None:
                raise
            if len(jobs) == 1:
                return [error.what]
            half = len(jobs) // 2
            return [*self._trained(jobs[:half]), *self._trained(jobs[half:])]


@dataclass(frozen=True)
class _Prepared:
    """A training that is ready to be made. `record` is where its outcome is kept under `key`."""

    wanted: Wanted
    job: TrainJob
    n_epochs: dict[str, float]
    record: Path
    key: str

    @property
    def label(self) -> str:
        """The model's name."""
        return self.wanted.label

    def measured(
        self, run: dict[str, Any] | None, rows: Sequence[dict[str, Any]], failure: str, spent: int = 0
    ) -> Measured:
        """Its outcome."""
        return Measured(self.wanted, run, rows, self.n_epochs, failure, spent)


@dataclass(frozen=True)
class _Found:
    """What came of one training."""

    run: dict[str, Any] | None
    rows: list[dict[str, Any]]
    failure: str = ""
    spent: int = 0


def table_of(rows: Sequence[dict[str, Any]], arm: str, judged: EvaluateConfig) -> Floats:
    """An arm's scores [questions, seeds]: the share of a question's answers that are right.

    An answer that could not be decided counts as wrong, as it does where training is steered: a question that was left
    out because one of many models gave such an answer would be missed by all of them. `frac_undecided` says how many
    there were.
    """
    mine = [row for row in rows if row["arm"] == arm]
    seeds = sorted({row["seed"] for row in mine})
    columns = [[row for row in mine if row["seed"] == seed] for seed in seeds]
    asked = [[row["prompt_id"] for row in column] for column in columns]
    if any(one != asked[0] for one in asked):
        raise ValueError(f"the models of {arm} were not asked the same questions")
    return np.array([question_scores(column, greedy=judged.greedy) for column in columns], dtype=np.float64).T


def frac_undecided(rows: Sequence[dict[str, Any]], arm: str, judged: EvaluateConfig) -> float:
    """The share of an arm's answers that could not be decided."""
    mine = [row for row in rows if row["arm"] == arm]
    n = sum(row["n_undecided"] + (judged.greedy and row["greedy"] is None) for row in mine)
    return float(n / (len(mine) * judged.n_answers))
