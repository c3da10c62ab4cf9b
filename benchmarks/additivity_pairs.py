"""All pairs of the domains of `additivity.py`: what their models lose, seen; and the signals that should have said so.

Seen interference of a pair, in points a domain: the scores of the two separate models, each on its own domain, less the
scores of the pair's one model on both, over 2 (the base cancels out). The pair's model is the sum of both deltas
(`sum`), their mean (`mean`), or trained on both sets at once (`joint`, one seed, the same steps a domain). `share` is
that loss as a share of what the separate models gained. Scores are those of the questions that judge, and means over
seeds.

Signals, all known before a pair's model is made, are those of `teachable merge --predict` (`recipe.predicting`: the
deltas, means over seeds; the gradients at the base on 64 examples a domain; the wording of prompts and responses), each
turned so that more is more alike; `zones_shared`, the share of questions that two domains can match zone for zone; and
`gain_at_stake`, the mean of what the two models gained on the questions that steered them.
Rank correlations are over the 28 pairs, with intervals and p-values that know that pairs share domains
(`stats.correlation`). Fourteen signals are tried, so a p-value of 0.05 among them is no surprise.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.engines.config import EngineConfig
from teachable.engines.local import TransformersEngine
from teachable.evaluate import EvaluateConfig, score_model
from teachable.evaluate.tables import metrics_of, value
from teachable.merge import merge
from teachable.recipe.adding import settings_for
from teachable.recipe.config import Resources
from teachable.recipe.frozen import frozen_path
from teachable.recipe.predicting import SIGNALS, predict_run
from teachable.recipe.sampling import Place
from teachable.recipe.slots import Slot
from teachable.recipe.steering import judged_of
from teachable.recipe.training import TrainJob, train_job, training_key
from teachable.recipe.workers import side_by_side
from teachable.records import ZONES, Example, Prompt
from teachable.stats.correlation import pair_correlation
from teachable.store.digest import digest
from teachable.store.files import read_json, read_records, read_rows, write_json, write_records
from teachable.train.tune_config import AddConfig, SteeredConfig

MERGES: Mapping[str, float] = {"sum": 1.0, "mean": 0.5}
JOINT = "high"  # the rate at which pairs are trained jointly too
N_PROBED = 64  # examples a domain for its gradient


@dataclass(frozen=True)
class PairJob:
    """One pair at one seed of a setting: its merges, and joint training where that is wanted."""

    folder: Path
    rate: str
    one: str
    two: str
    seed: int
    joint: bool

    @property
    def run(self) -> Path:
        """The run folder of the rate."""
        return self.folder / self.rate

    @property
    def stage(self) -> Path:
        """What the stage `tune` has left."""
        return self.run / "tune"

    @property
    def record(self) -> Path:
        """Where its result goes."""
        return self.folder / "pairs" / f"{self.rate}-{self.one}-{self.two}-{self.seed}.json"

    @property
    def done(self) -> bool:
        """Everything that is wanted is there."""
        return self.record.is_file() and (not self.joint or "joint" in read_json(self.record))


def pairs_of(folder: Path, rate: str) -> list[PairJob]:
    """Every pair of the domains that were tuned, at every seed: joint training at the first seed of the first rate."""
    stats = read_json(folder / rate / "tune" / "stats.json")
    return [
        PairJob(folder, rate, one, two, seed, joint=rate == JOINT and place == 0)
        for place, seed in enumerate(stats["seeds"])
        for one, two in itertools.combinations(stats["domains"], 2)
    ]


def carry_out(folder: Path, rates: Sequence[str], workers: int) -> None:
    """Do the pairs that are missing, of the rates that were tuned."""
    tuned = [rate for rate in rates if (folder / rate / "tune" / "stats.json").is_file()]
    jobs = [job for rate in tuned for job in pairs_of(folder, rate) if not job.done]
    side_by_side(do_pair, sorted(jobs, key=lambda job: job.joint), workers, lambda job, done: None)


def do_pair(job: PairJob) -> None:
    """Make a pair's models and ask each the judging questions of its two domains."""
    torch.set_num_threads(1)
    settings = settings_of(job.stage)
    judged = judged_of(settings)
    base = read_json(job.run / "pretrain" / "stats.json")
    questions = [p for p in read_records(job.stage / "test.parquet", Prompt) if p.domain in (job.one, job.two)]
    paths = {(row["arm"], row["seed"]): job.run / row["path"] for row in read_rows(job.stage / "runs.parquet")}
    found: dict[str, Any] = read_json(job.record) if job.record.is_file() else {}
    for name, weight in MERGES.items():
        if name not in found:
            out = job.record.with_suffix(f".{name}")
            models = [paths[job.one, job.seed], paths[job.two, job.seed]]
            merge(models, base=base["path"], method="task_arithmetic", weights=(weight, weight), out=out)
            found[name] = _scores(out, questions, judged)
            shutil.rmtree(out)
    write_json(job.record, found)
    if job.joint and "joint" not in found:
        found["joint"] = _scores(_joint(job, settings, base), questions, judged)
        write_json(job.record, found)


def settings_of(stage: Path) -> SteeredConfig:
    """How a stage has tuned."""
    told = read_json(stage / "stats.json")["settings"]
    return SteeredConfig.model_validate({k: v for k, v in told.items() if k in SteeredConfig.model_fields})


def _joint(job: PairJob, settings: SteeredConfig, base: Mapping[str, Any]) -> Path:
    """The model trained on both frozen sets, as the way `data` trains."""
    examples, steering = job.record.with_suffix(".examples.jsonl"), job.record.with_suffix(".dev.parquet")
    both = [one for domain in (job.one, job.two) for one in read_records(frozen_path(job.run, domain), Example)]
    dev = [p for p in read_records(job.stage / "dev.parquet", Prompt) if p.domain in (job.one, job.two)]
    write_records(examples, both)
    write_records(steering, dev)
    config, judged = settings_for(AddConfig.model_validate({}), settings, 2), judged_of(settings)
    frozen = read_json(job.stage / "stats.json")["frozen"]
    hashes = digest([frozen[domain]["hash"] for domain in (job.one, job.two)])
    key = training_key(base["digest"], hashes, config, seed=job.seed, dev=dev, judged=judged)
    slot = Slot(job.folder / "pairs", job.record.stem, key)
    place = Place(EngineConfig.model_validate({}), Resources(device="cpu"), "pairs", job.run / "ledger.sqlite", 1)
    train_job(TrainJob("pair", job.seed, base["path"], examples, config, steering, judged, slot, place))
    examples.unlink()
    steering.unlink()
    return slot.model


def _scores(model: Path, questions: Sequence[Prompt], judged: EvaluateConfig) -> dict[str, float]:
    """Domain -> the model's mean score."""
    engine = TransformersEngine(model, dtype="float32")
    rows = asyncio.run(score_model("pair", "pair", 0, questions, engine=engine, config=judged)).rows
    return means(rows, judged)


def means(rows: Sequence[Mapping[str, Any]], judged: EvaluateConfig) -> dict[str, float]:
    """Domain -> the mean score over the questions that could be decided."""
    metric = metrics_of(judged, rows)[0]
    found: dict[str, float] = {}
    for domain in dict.fromkeys(row["domain"] for row in rows):
        scores = [value(row, metric) for row in rows if row["domain"] == domain]
        known = [score for score in scores if not math.isnan(score)]
        found[domain] = sum(known) / len(known)
    return found


# ---- predicted against seen ----


def interference(folder: Path, rates: Sequence[str]) -> dict[str, Any]:
    """For each rate: what pairs lost, the signals, and how these go together."""
    found: dict[str, Any] = {}
    for rate in rates:
        seen = _seen(folder, rate)
        if not seen:
            continue
        signals = _signals(folder / rate)
        found[rate] = {
            "seen": {way: _named(pairs) for way, pairs in seen.items()},
            "signals": {name: _named(pairs) for name, pairs in signals.items()},
            "correlations": {
                name: {way: asdict(pair_correlation(pairs, lost)) for way, lost in seen.items()}
                for name, pairs in signals.items()
            },
        }
    return found


Table = dict[tuple[str, str], float | None]


def _named(pairs: Table) -> dict[str, float | None]:
    return {f"{one} + {two}": number for (one, two), number in pairs.items()}


def _seen(folder: Path, rate: str) -> dict[str, Table]:
    """Way -> pair -> accuracy lost a domain against the two separate models, over the seeds that are there."""
    stage = folder / rate / "tune"
    judged = judged_of(settings_of(stage))
    rows = read_rows(stage / "scores.parquet")
    by_model: dict[tuple[str, int], dict[str, float]] = {}
    for who in {(row["arm"], row["seed"]) for row in rows}:
        by_model[who] = means([row for row in rows if (row["arm"], row["seed"]) == who], judged)
    lost: dict[str, dict[tuple[str, str], list[float]]] = {}
    gained: dict[str, dict[tuple[str, str], list[float]]] = {}
    at_base = by_model["base", 0]
    for job in pairs_of(folder, rate):
        if not job.record.is_file():
            continue
        pair = (job.one, job.two)
        apart = sum(by_model[domain, job.seed][domain] for domain in pair) / 2
        for way, scores in read_json(job.record).items():
            lost.setdefault(way, {}).setdefault(pair, []).append(apart - sum(scores[domain] for domain in pair) / 2)
            gained.setdefault(way, {}).setdefault(pair, []).append(apart - sum(at_base[name] for name in pair) / 2)
    seen: dict[str, Table] = {}
    for way, pairs in lost.items():
        seen[way] = {pair: sum(each) / len(each) for pair, each in pairs.items()}
        apart_gains = {pair: sum(each) for pair, each in gained[way].items()}
        seen[f"{way} share"] = {
            pair: sum(each) / apart_gains[pair] if apart_gains[pair] > 0 else None for pair, each in pairs.items()
        }
    return seen


def _signals(run: Path) -> dict[str, Table]:
    """What `teachable merge --predict` says of each pair, means over the seeds, and how alike the zones are."""
    summed: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in SIGNALS}
    for seed in read_json(run / "tune" / "stats.json")["seeds"]:
        found = predict_run(run, n_probe=N_PROBED, seed=seed, device="cpu")
        for name in SIGNALS:
            for pair, number in found.column(name).items():
                if number is not None:
                    summed[name].setdefault(pair, []).append(number)
    signals: dict[str, Table] = {
        name: {pair: sum(each) / len(each) for pair, each in pairs.items()} for name, pairs in summed.items()
    }
    gains = _steering_gains(run)
    signals["gain_at_stake"] = {
        (one, two): (gains[one] + gains[two]) / 2 for one, two in itertools.combinations(gains, 2)
    }
    zones = {facts.domain: facts.zones for facts in found.domains}
    signals["zones_shared"] = {
        pair: sum(min(zones[pair[0]].get(zone, 0.0), zones[pair[1]].get(zone, 0.0)) for zone in ZONES)
        for pair in itertools.combinations(zones, 2)
    }
    return signals


def _steering_gains(run: Path) -> dict[str, float]:
    """Domain -> what its models gained on the questions that steer, of which no seen loss is worked out."""
    scores: dict[str, dict[int, list[float]]] = {}
    for row in read_rows(run / "tune" / "evaluations.parquet"):
        scores.setdefault(row["arm"], {}).setdefault(row["seed"], []).append(row["score"])
    return {
        domain: sum(max(each) - each[0] for each in by_seed.values()) / len(by_seed)
        for domain, by_seed in scores.items()
    }
