"""Tune several models side by side, one process each on one thread, and keep every finished one.

A model of half a million parameters gains nothing from a second thread; two models at once gain nearly double.
Each run uses one thread however many run at once, so its numbers do not depend on the number of workers.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from teachable.records import Example, OnProgress, Progress
from teachable.store.files import read_json, read_records, write_json
from teachable.train.config import SftConfig
from teachable.train.sft import sft


@dataclass(frozen=True)
class SftJob:
    """One model to tune: an arm's examples (a JSONL file of `Example` rows) under one seed."""

    arm: str
    seed: int
    examples: Path
    out: Path
    record: Path

    @property
    def label(self) -> str:
        return f"{self.arm}-{self.seed}"


def run_jobs(
    jobs: Sequence[SftJob],
    base: str | Path,
    config: SftConfig,
    *,
    n_steps: int,
    device: str,
    workers: int,
    on_progress: OnProgress | None = None,
) -> list[Mapping[str, Any]]:
    """Run every job whose record is not there yet; returns all records, in the order of `jobs`.

    A record (`{"run": {...}, "curve": [...]}`) is written after its model is saved, so a killed stage redoes
    only what was under way, and that from its last checkpoint.
    """
    waiting = [job for job in jobs if not job.record.exists()]
    done = len(jobs) - len(waiting)
    _report(on_progress, done, len(jobs), "")
    if waiting:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=min(workers, len(waiting)), mp_context=context) as pool:
            futures = {pool.submit(tune_one, job, str(base), config, n_steps, device): job for job in waiting}
            try:
                for future in as_completed(futures):
                    future.result()
                    done += 1
                    _report(on_progress, done, len(jobs), futures[future].label)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [read_json(job.record) for job in jobs]


def _report(on_progress: OnProgress | None, done: int, total: int, note: str) -> None:
    if on_progress:
        on_progress(Progress(done, total, "models", note=note))


def tune_one(job: SftJob, base: str, config: SftConfig, n_steps: int, device: str) -> None:
    """Tune one model and write its record. Runs in a worker process."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    examples = read_records(job.examples, Example)
    checkpoint = job.record.with_suffix(".checkpoint.pt")
    result = sft(
        base, examples, config, seed=job.seed, out=job.out, n_steps=n_steps, device=device, checkpoint=checkpoint
    )
    run = {
        "arm": job.arm,
        "seed": job.seed,
        "path": job.out.name,
        "digest": result.digest,
        "backend": result.backend,
        "n_examples": result.n_examples,
        "n_steps": result.n_steps,
        "n_tokens": result.n_tokens,
        "n_response_tokens": result.n_response_tokens,
        "final_loss": result.curve[-1].loss,
        "seconds": round(result.seconds, 2),
    }
    curve = [{"arm": job.arm, "seed": job.seed, **vars(point)} for point in result.curve]
    write_json(job.record, {"run": run, "curve": curve})


