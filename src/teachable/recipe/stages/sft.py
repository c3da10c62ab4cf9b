"""Tune the base on each arm's examples: the same number of steps, and of tokens a step, for every arm and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers.utils import logging

from teachable.errors import TeachableError
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Example, Progress, from_row
from teachable.store.digest import digest, model_digest
from teachable.store.files import read_json, read_rows, write_json, write_rows
from teachable.train.config import SftConfig
from teachable.train.sft import sft


def run(ctx: StageContext) -> StageOutcome:
    """Train one model a set of examples. A killed stage goes on with the first set that it had not finished."""
    logging.disable_progress_bar()  # one bar a run is enough, and it is the command line's
    config = ctx.config_as(SftConfig)
    selected = read_json(ctx.inputs["examples"] / "stats.json")
    base = read_json(ctx.inputs["base"] / "stats.json")["path"]
    sets = [(str(one["arm"]), int(one["seed"])) for one in selected["arms"] if one["n_examples"]]
    if not sets:
        raise TeachableError("the selection holds no examples to train on", mend="Lower the bar of the select stage")
    examples = {one: _examples(ctx.inputs["examples"], *one) for one in sets}
    n_steps = _steps([sum(e.n_tokens for e in those) for those in examples.values()], config.tokens_per_step)
    total = n_steps * len(sets)
    done = [
        _train(ctx, config, base, arm, seed, examples[arm, seed], n_steps, (index * n_steps, total))
        for index, (arm, seed) in enumerate(sets)
    ]
    rows = [{name: value for name, value in one.items() if name != "curve"} for one in done]
    curves = [{"arm": one["arm"], "seed": one["seed"], **point} for one in done for point in one["curve"]]
    write_rows(ctx.folder / "runs.parquet", [{k: v for k, v in row.items() if k != "spent"} for row in rows])
    write_rows(ctx.folder / "curves.parquet", curves)
    tokens = sum(row["n_tokens"] for row in rows)
    stats = {
        "arms": list(dict.fromkeys(arm for arm, _ in sets)),
        "seeds": list(dict.fromkeys(seed for _, seed in sets)),
        "n_runs": len(sets),
        "n_steps": n_steps,
        "budget_tokens": selected["budget_tokens"],
        "tokens_per_step": config.tokens_per_step,
        "backend": rows[0]["backend"],
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "tokens": tokens,
    }
    write_json(ctx.folder / "stats.json", stats)
    for part in ctx.folder.glob(".part-*"):
        part.unlink()
    return StageOutcome(
        note=f"{len(sets)} models of {n_steps} steps",
        tokens_out=tokens,
        tokens_spent=sum(row["n_tokens"] for row in rows if row["spent"]),
        model_digest=digest([row["digest"] for row in rows]),
    )


def _steps(set_tokens: Sequence[int], tokens_per_step: int) -> int:
    """Steps that the smallest set fills; the arms were chosen at one budget, so the others differ by an example."""
    return max(1, min(set_tokens) // tokens_per_step)


def _examples(selected: Path, arm: str, seed: int) -> list[Example]:
    return [from_row(Example, row) for row in read_rows(selected / "examples" / f"{arm}-{seed}.jsonl")]


def _train(
    ctx: StageContext,
    config: SftConfig,
    base: str,
    arm: str,
    seed: int,
    examples: Sequence[Example],
    n_steps: int,
    progress: tuple[int, int],
) -> dict[str, Any]:
    """One model, or what a killed run had recorded of it. `progress` is (steps before it, steps of the stage)."""
    before, total = progress
    part = ctx.folder / f".part-{arm}-{seed}.json"
    out = ctx.model_path(f"{arm}-{seed}")
    if part.is_file():
        kept: dict[str, Any] = read_json(part)
        # A part is written after its model; one whose model has since gone is trained again.
        if out.is_dir() and model_digest(out) == kept["digest"]:
            return {**kept, "spent": False}

    def step(point: Any) -> None:
        ctx.on_progress(Progress(before + point.step, total, "steps", point.tokens, f"{arm}-{seed}"))

    result = sft(
        base,
        examples,
        config,
        seed=seed,
        out=out,
        n_steps=n_steps,
        device=ctx.resources.device,
        checkpoint=ctx.folder / f".part-{arm}-{seed}.pt",
        on_step=step,
    )
    # The path is relative to the run folder, which may be moved.
    row: dict[str, Any] = {"arm": arm, "seed": seed, "path": out.relative_to(ctx.run).as_posix()}
    for name in ("digest", "n_examples", "n_steps", "n_tokens", "n_response_tokens", "backend"):
        row[name] = getattr(result, name)
    row["final_loss"] = result.curve[-1].loss
    row["seconds"] = round(result.seconds, 3)
    row["curve"] = [asdict(point) for point in result.curve]
    write_json(part, row)
    return {**row, "spent": True}
