"""Decide for every prompt, and write each arm's examples."""

from __future__ import annotations

from transformers import AutoTokenizer

from teachable.chat import training_tokens
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Attempt, Estimate, Messages, Prompt, Solution, to_row
from teachable.select import SelectConfig, select
from teachable.store.files import read_json, read_records, write_json, write_rows


def run(ctx: StageContext) -> StageOutcome:
    """Write decisions, a file of examples an arm and seed, and their counts."""
    tasks, probed = ctx.inputs["prompts"], ctx.inputs["estimates"]
    prompts = read_records(tasks / "prompts.parquet", Prompt)
    tokenizer = AutoTokenizer.from_pretrained(read_json(ctx.inputs["base"] / "stats.json")["path"])

    def count_tokens(messages: Messages) -> int:
        return len(training_tokens(tokenizer, messages)[0])

    chosen = select(
        prompts,
        read_records(tasks / "solutions.parquet", Solution),
        read_records(probed / "estimates.parquet", Estimate),
        read_records(probed / "attempts.parquet", Attempt),
        ctx.config_as(SelectConfig),
        count_tokens,
        seed=ctx.seed,
    )
    write_rows(ctx.folder / "decisions.parquet", chosen.decisions)
    for (arm, seed), examples in chosen.sets.items():
        write_rows(ctx.folder / "examples" / f"{arm}-{seed}.jsonl", [to_row(example) for example in examples])
    write_json(ctx.folder / "stats.json", chosen.stats)
    n_in = sum(row["decision"] == "in" for row in chosen.decisions)
    note = f"{n_in} of {len(prompts)} prompts are teachable, {len(chosen.sets)} sets of examples"
    return StageOutcome(note=note, prompts=len(prompts))
