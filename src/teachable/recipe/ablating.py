"""The work of the stage `ablate`: every arm and seed trained alike, and asked the held-out questions along the way.

A training is asked between two of its steps, at equal numbers of tokens for all arms, in the process that trains it.
Its models are not kept: their scores are, and `runs.parquet` has their digests. What a killed stage had finished is in
its record and is not done again; a training under way goes on from its checkpoint, with what it had been asked by then.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.evaluate.ablation import BASE, HEADLINE
from teachable.evaluate.tables import GREEDY, PASS, value
from teachable.recipe.live import score_live
from teachable.recipe.sampling import Place, place_of
from teachable.recipe.scoring import judged_tasks
from teachable.recipe.spec import StageContext
from teachable.recipe.workers import side_by_side
from teachable.records import Example, Progress, Prompt
from teachable.store.files import read_json, read_records, write_json
from teachable.train.loop import CurvePoint
from teachable.train.sft import load_trainable, sft
from teachable.train.tune_config import AblateConfig

NAME = "ablate"


@dataclass(frozen=True)
class AblateJob:
    """One training to be asked after each of `steps`, or the base itself, of which there is nothing to train.

    `examples` is None for the base. `part` is where the record goes once the training is done.
    """

    arm: str
    seed: int
    examples: Path | None
    base: str
    config: AblateConfig
    steps: tuple[int, ...]
    questions: Path
    part: Path
    request_seed: int
    place: Place

    @property
    def label(self) -> str:
        """The training's name."""
        return BASE if self.examples is None else f"{self.arm}-{self.seed}"


def jobs_of(ctx: StageContext, config: AblateConfig) -> list[AblateJob]:
    """The base, and every set of the selection, the arms in the order of the selection.

    Raises:
        TeachableError: there is nothing to ask, a judge would have to be asked, or there are no two arms to compare.
    """
    selected = read_json(ctx.inputs["examples"] / "stats.json")
    base = read_json(ctx.inputs["base"] / "stats.json")
    questions = ctx.inputs["prompts"] / "heldout.parquet"
    _refuse_questions(read_records(questions, Prompt), ctx.name)
    sets = [one for one in selected["arms"] if one["n_examples"]]
    arms = {one["arm"] for one in sets}
    if HEADLINE not in arms or len(arms) < 2:
        raise TeachableError(
            f"the selection made {_listed(sorted(arms))}, and an ablation compares teachable with at least one other",
            where=ctx.name,
            mend="List teachable and other arms in the select stage",
        )
    # The arms were chosen at one budget and differ by less than an example: the same steps for all.
    n_steps = max(1, min(int(one["n_tokens"]) for one in sets) // config.tokens_per_step)

    def job(arm: str, seed: int, examples: Path | None, steps: tuple[int, ...]) -> AblateJob:
        label = f"{arm}-{seed}" if examples is not None else BASE
        return AblateJob(
            arm, seed, examples, str(base["path"]), config, steps, questions, ctx.folder / f".part-{label}.json",
            ctx.seed, place_of(ctx, int(base["n_params"])),
        )  # fmt: skip

    steps = points_of(n_steps, config.n_points)
    folder = ctx.inputs["examples"] / "examples"
    trained = [job(one["arm"], int(one["seed"]), folder / f"{one['arm']}-{one['seed']}.jsonl", steps) for one in sets]
    return [job(BASE, 0, None, ()), *trained]


def _refuse_questions(questions: Sequence[Prompt], where: str) -> None:
    """Raise where there is no question, or one that a model under training can't be scored on.

    Raises:
        TeachableError: with the first such task.
    """
    if not questions:
        raise TeachableError(
            "no question was held out, so there is nothing to compare the arms on",
            where=where,
            mend="Set tasks.heldout_frac above 0",
        )
    for task in judged_tasks(questions):
        raise TeachableError(
            f"the task {task!r} is decided by a judge, and an ablation asks none",
            where=where,
            mend="Hold out questions whose answers can be checked, or compare models with `teachable evaluate`",
        )


def points_of(n_steps: int, n_points: int) -> tuple[int, ...]:
    """Numbers of steps after which a training is asked: equally spaced, the last at its end, fewer where steps lack."""
    return tuple(sorted({max(1, round(n_steps * point / n_points)) for point in range(1, n_points + 1)}))


def _listed(arms: Sequence[str]) -> str:
    return f"the arms {', '.join(arms)}" if len(arms) > 1 else f"the arm {arms[0]} alone" if arms else "no arms"


def train_all(ctx: StageContext, jobs: Sequence[AblateJob]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records in the order of the jobs, and those of what was done only now.

    A record has a `run` (a row of `runs.parquet`, None for the base), a `curve` (rows of `curves.parquet`), and
    `asked`: of each time that the model was asked `step`, `tokens` (trained on until then) and score `rows`.
    """
    done: dict[str, dict[str, Any]] = {job.label: read_json(job.part) for job in jobs if job.part.is_file()}

    def finished(job: AblateJob, record: dict[str, Any]) -> None:
        done[job.label] = record
        ctx.on_progress(Progress(len(done), len(jobs), "models", tokens_of(list(done.values())), job.label))

    ctx.on_progress(Progress(len(done), len(jobs), "models", tokens_of(list(done.values()))))
    waiting = [job for job in jobs if job.label not in done]
    made = side_by_side(train_one, waiting, min(len(jobs), jobs[0].place.n_at_once), finished)
    return [done[job.label] for job in jobs], made


def tokens_of(records: Sequence[dict[str, Any]]) -> int:
    """Tokens that these models were trained on."""
    return sum(record["run"]["n_tokens"] for record in records if record["run"])


def train_one(job: AblateJob) -> dict[str, Any]:
    """Train one model, ask it along the way, and record both; also in a worker process."""
    torch.set_num_threads(job.place.n_threads)
    record = _of_base(job) if job.examples is None else _of_training(job, read_records(job.examples, Example))
    write_json(job.part, record)
    return record


def _of_base(job: AblateJob) -> dict[str, Any]:
    model, tokenizer = load_trainable(job.base, job.place.resources.device)
    return {"run": None, "curve": [], "asked": [_asked(job, model, tokenizer, 0, 0)]}


def _of_training(job: AblateJob, examples: Sequence[Example]) -> dict[str, Any]:
    out = job.part.with_name(f".model-{job.label}")
    kept = job.part.with_name(f".asked-{job.label}.json")
    asked: dict[int, dict[str, Any]] = {one["step"]: one for one in (read_json(kept) if kept.is_file() else [])}

    def look(model: Any, tokenizer: Any, point: CurvePoint) -> None:
        asked[point.step + 1] = _asked(job, model, tokenizer, point.step + 1, point.tokens)
        write_json(kept, list(asked.values()))

    result = sft(
        job.base,
        examples,
        job.config,
        seed=job.seed,
        out=out,
        n_steps=job.steps[-1],
        device=job.place.resources.device,
        checkpoint=job.part.with_suffix(".pt"),
        look_after=job.steps,
        look=look,
    )
    shutil.rmtree(out)
    run = {"arm": job.arm, "seed": job.seed}
    names = ("digest", "n_examples", "n_steps", "n_tokens", "n_response_tokens", "backend")
    run |= {name: getattr(result, name) for name in names}
    run |= {"final_loss": result.curve[-1].loss, "seconds": round(result.seconds, 3)}
    run |= {"seconds_asking": round(sum(one["seconds"] for one in asked.values()), 3)}
    write_json(job.part, record := {"run": run, "curve": [asdict(p) for p in result.curve], "asked": _in_order(asked)})
    kept.unlink(missing_ok=True)
    return record


def _in_order(asked: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [asked[step] for step in sorted(asked)]


def _asked(job: AblateJob, model: Any, tokenizer: Any, step: int, tokens: int) -> dict[str, Any]:
    """What the model answers after `step` steps; the greedy answers only of the base and at the end."""
    begun = time.monotonic()
    rows = score_live(
        model,
        tokenizer,
        read_records(job.questions, Prompt),
        asking_of(job.config, greedy=step in (0, *job.steps[-1:])),
        batch_rows=job.place.resources.batch_rows,
        request_seed=job.request_seed,
        arm=job.arm,
        seed=job.seed,
    )
    return {"step": step, "tokens": tokens, "seconds": round(time.monotonic() - begun, 3), "rows": rows}


def asking_of(config: AblateConfig, *, greedy: bool = True) -> EvaluateConfig:
    """How the questions are asked; without a sampled answer the greedy one is asked for at all times."""
    return EvaluateConfig(
        n_samples=config.n_samples,
        max_tokens=config.max_tokens,
        greedy=greedy or not config.n_samples,
        interval="bootstrap",
        n_bootstrap=config.n_bootstrap,
    )


def metric_of(config: AblateConfig) -> str:
    """What is compared: the share of sampled answers that are right, or the greedy answer where nothing is sampled."""
    return PASS if config.n_samples else GREEDY


def question_rows(jobs: Sequence[AblateJob], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a question, model and time at which it was asked; `score` is None where no answer could be decided."""
    found = []
    for job, record in zip(jobs, records, strict=True):
        metric = metric_of(job.config)
        for one in record["asked"]:
            at = {"arm": job.arm, "seed": job.seed, "step": one["step"], "tokens": one["tokens"]}
            for row in one["rows"]:
                score = value(row, metric)
                found.append({**at, "prompt_id": row["prompt_id"], "score": None if score != score else score})
    return found


def final_rows(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The score rows of the base and of every model at its end, as `evaluate` has them."""
    return [
        {**row, "model": BASE if row["arm"] == BASE else row["model"]}
        for r in records
        for row in r["asked"][-1]["rows"]
    ]
