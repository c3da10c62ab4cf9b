"""Decide for every prompt, and write the pool and each arm's examples."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from teachable.chat import training_tokens
from teachable.probe.keys import MAJORITY, agrees
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Attempt, Estimate, Messages, Prompt, Solution, to_row
from teachable.select import SelectConfig, select
from teachable.store.files import read_json, read_records, write_json, write_rows

CHARS_PER_TOKEN = 4  # of a model whose tokenizer is not here


def run(ctx: StageContext) -> StageOutcome:
    """Write decisions, the pool, a file of examples an arm and seed, and their counts."""
    tasks, probed = ctx.inputs["prompts"], ctx.inputs["estimates"]
    prompts = read_records(tasks / "prompts.parquet", Prompt)
    estimates = read_records(probed / "estimates.parquet", Estimate)
    verifiers = {prompt.id: prompt.verifier for prompt in prompts}
    chosen = select(
        prompts,
        [*read_records(tasks / "solutions.parquet", Solution), *_taught(probed, estimates, verifiers)],
        estimates,
        _attempts(probed, estimates, verifiers),
        ctx.config_as(SelectConfig),
        _counter(ctx),
        seed=ctx.seed,
    )
    write_rows(ctx.folder / "decisions.parquet", chosen.decisions)
    write_rows(ctx.folder / "examples.jsonl", [to_row(example) for example in chosen.pool])
    for (arm, seed), examples in chosen.sets.items():
        write_rows(ctx.folder / "examples" / f"{arm}-{seed}.jsonl", [to_row(example) for example in examples])
    for one in chosen.stats["left_out"]:
        ctx.say(f"{one['reason']}, so it is left out")
    counted = "tokens" if "base" in ctx.inputs else f"characters / {CHARS_PER_TOKEN}"
    write_json(ctx.folder / "stats.json", {**chosen.stats, "tokens_are": counted})
    note = f"{len(chosen.pool)} of {len(prompts)} prompts are in the pool"
    note += f", {len(chosen.sets)} sets of examples" if chosen.sets else ""
    return StageOutcome(note=note, prompts=len(prompts))


def _taught(probed: Path, estimates: list[Estimate], verifiers: Mapping[str, str]) -> list[Solution]:
    """The teacher's answers that give the key, as worked solutions; `verifiers` are the prompts' by their ids."""
    path = probed / "teacher.parquet"
    if not path.is_file():
        return []
    found = {estimate.prompt_id: estimate for estimate in estimates}
    return [
        Solution(answer.prompt_id, answer.text, "teacher", "gives the key")
        for answer in read_records(path, Attempt)
        if answer.finish_reason == "stop"
        and (answer.correct or agrees(answer, found[answer.prompt_id].key, verifiers[answer.prompt_id]))
    ]


def _attempts(probed: Path, estimates: list[Estimate], verifiers: Mapping[str, str]) -> list[Attempt]:
    """The model's attempts; of a prompt without a key, those that gave the model's plurality answer count as right."""
    majority = {estimate.prompt_id: estimate.key for estimate in estimates if estimate.key_source == MAJORITY}
    return [
        replace(attempt, correct=True)
        if attempt.prompt_id in majority and agrees(attempt, majority[attempt.prompt_id], verifiers[attempt.prompt_id])
        else attempt
        for attempt in read_records(probed / "attempts.parquet", Attempt)
    ]


def _counter(ctx: StageContext) -> Callable[[Messages], int]:
    """Training tokens of a chat, by the base's tokenizer; by its characters where no base is here."""
    if "base" not in ctx.inputs:
        return lambda messages: -(-sum(len(message["content"]) for message in messages) // CHARS_PER_TOKEN)
    folder = read_json(ctx.inputs["base"] / "stats.json")["path"]
    tokenizer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(folder)
    return lambda messages: len(training_tokens(tokenizer, messages)[0])
