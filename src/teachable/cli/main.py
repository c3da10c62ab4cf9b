"""The `teachable` command.

Nothing is imported at the top but typer: each command imports what it needs, so that `--help` answers at once.
Commands of many options have a module of their own; what options share is in `options`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from teachable.cli.ablating import ablate
from teachable.cli.balancing import balance
from teachable.cli.comparing import compare
from teachable.cli.dpo import dpo
from teachable.cli.ending import ending
from teachable.cli.evaluating import evaluate
from teachable.cli.exploring import explore, scale
from teachable.cli.judging import judge_pairs
from teachable.cli.merging import merge
from teachable.cli.options import (
    ENGINE,
    Base,
    From,
    Json,
    Map,
    MaxCost,
    MaxTokens,
    NeededOut,
    Out,
    Prompts,
    RecipeEngine,
    RecipeFile,
    Seed,
    Sets,
)
from teachable.cli.pivoting import pivot
from teachable.cli.synthesizing import synthesize
from teachable.cli.tuning import tune
from teachable.cli.verification import verify

app = typer.Typer(
    name="teachable",
    help="Find what a language model can almost do, and teach it exactly that.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
train = typer.Typer(help="Train the embedded base model, one model an arm on examples, or a model on preferences.")
app.add_typer(train, name="train", no_args_is_help=True)


@app.command()
def quickstart(
    out: Out = None,
    seed: Seed = None,
    fast: Annotated[bool, typer.Option("--fast", help="smaller sizes: a look at the loop, not a result")] = False,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Run the whole loop on a tiny model that it pretrains itself."""
    with ending(out):
        from teachable.cli.work import run_file
        from teachable.recipe.packaged import packaged_recipe

        recipe, layers = packaged_recipe("quickstart", fast=fast)
        seeds = [] if seed is None else [f"seed={seed}"]
        run_file(recipe, out, [*seeds, *(sets or [])], as_json=as_json, layers=layers)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where to write; nothing is overwritten")],
    as_json: Json = False,
) -> None:
    """Write a recipe with comments, ten example prompts and a README."""
    with ending():
        from teachable.cli.show import print_json
        from teachable.recipe.packaged import write_starter

        written = write_starter(folder)
        if as_json:
            print_json({"folder": str(folder), "files": [path.name for path in written]})
        else:
            print(f"wrote {', '.join(path.name for path in written)} to {folder}; next: teachable plan {written[0]}")


@app.command()
def run(
    recipe: RecipeFile,
    out: Out = None,
    sets: Sets = None,
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="stop after this stage")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="redo this stage and what rests on it")
    ] = None,
    engine: RecipeEngine = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    as_json: Json = False,
) -> None:
    """Run a recipe; what is done already and still holds is not done again."""
    with ending(out):
        from teachable.cli.work import run_file
        from teachable.recipe.spec import SpendingLimits

        limits = SpendingLimits(max_cost, max_tokens)
        run_file(recipe, out, sets or [], until=until, start=start, as_json=as_json, limits=limits, engine=engine)


@app.command()
def plan(
    recipe: RecipeFile, out: Out = None, sets: Sets = None, engine: RecipeEngine = None, as_json: Json = False
) -> None:
    """Say which stages would run, why, and what they would cost; run nothing."""
    with ending():
        from teachable.cli.work import plan_file

        plan_file(recipe, out, sets or [], as_json=as_json, engine=engine)


@app.command()
def tasks(
    out: NeededOut,
    prompts: Prompts = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Make the pool of prompts and the held-out questions."""
    with ending(out):
        from teachable.cli.work import run_stage

        run_stage("tasks", out, recipe_path=recipe, sets=sets or [], prompts=prompts, seed=seed, as_json=as_json)


@app.command()
def probe(
    out: NeededOut,
    prompts: Prompts = None,
    engine: Annotated[str | None, typer.Option("--engine", metavar="ENGINE", help=f"who is probed: {ENGINE}")] = None,
    teacher: Annotated[
        str | None, typer.Option("--teacher", metavar="ENGINE", help="a reference model, whose plurality is the answer")
    ] = None,
    base: Base = None,
    low: Annotated[float | None, typer.Option("--low", help="pass rate below which a prompt is beyond; 0.1")] = None,
    high: Annotated[float | None, typer.Option("--high", help="pass rate above which it is mastered; 0.9")] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="chance of a wrong zone at which a prompt is decided; 0.1")
    ] = None,
    max_samples: Annotated[int | None, typer.Option("--max-samples", help="attempts at a prompt at most; 64")] = None,
    columns: Map = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Estimate how often the base model solves each prompt, with as few samples as that takes."""
    with ending(out):
        from teachable.cli.work import engine_settings, mapped, run_stage
        from teachable.recipe.spec import SpendingLimits

        given = {"low": low, "high": high, "delta": delta, "max_samples": max_samples}
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if teacher is not None:
            fields["teacher"] = engine_settings(teacher, "--teacher")
        run_stage(
            "probe", out, recipe_path=recipe, sets=sets or [], base=base, prompts=prompts, seed=seed, engine=engine,
            stages=mapped(columns) | {"probe": fields}, limits=SpendingLimits(max_cost, max_tokens), as_json=as_json,
        )  # fmt: skip


@app.command()
def select(
    out: NeededOut,
    prompts: Prompts = None,
    size: Annotated[
        int | None, typer.Option("--size", min=1, help="most prompts in the pool, the surest first")
    ] = None,
    base: Base = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Choose the prompts that are worth training on, and the examples of each arm where arms are listed."""
    with ending(out):
        from teachable.cli.work import run_stage

        fields = {} if size is None else {"size": size}
        run_stage(
            "select", out, recipe_path=recipe, sets=sets or [], base=base, prompts=prompts, seed=seed,
            stages={"select": fields}, as_json=as_json,
        )  # fmt: skip


app.command()(synthesize)
app.command()(balance)
app.command()(pivot)
app.command("judge-pairs")(judge_pairs)


@train.command()
def pretrain(out: NeededOut, recipe: From = None, sets: Sets = None, seed: Seed = None, as_json: Json = False) -> None:
    """Pretrain the embedded base model, or take it from the cache."""
    with ending(out):
        from teachable.cli.work import run_stage

        run_stage("pretrain", out, recipe_path=recipe, sets=sets or [], seed=seed, as_json=as_json)


@train.command()
def sft(
    out: NeededOut, base: Base = None, recipe: From = None, sets: Sets = None, seed: Seed = None, as_json: Json = False
) -> None:
    """Fine-tune the base on each arm's examples."""
    with ending(out):
        from teachable.cli.work import run_stage

        run_stage("sft", out, recipe_path=recipe, sets=sets or [], base=base, seed=seed, as_json=as_json)


train.command()(dpo)


app.command()(tune)
app.command()(merge)
app.command()(ablate)
app.command()(explore)
app.command()(scale)
app.command()(evaluate)
app.command()(compare)
app.command()(verify)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    as_json: Json = False,
) -> None:
    """Write a run's report anew, of whatever the run has come to."""
    with ending(folder):
        from teachable.cli.work import write_report

        write_report(folder, as_json=as_json)


@app.command()
def explain(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    prompt: Annotated[str, typer.Argument(metavar="ID", help="a prompt's id, or the beginning of it")],
    as_json: Json = False,
) -> None:
    """Tell one prompt's story: question, attempts, estimate, decision, scores; or how it was made."""
    with ending():
        from teachable.cli.show import print_json
        from teachable.recipe.story import story, story_text

        told = story(folder, prompt)
        if as_json:
            print_json(told)
        else:
            print(story_text(told))


def main() -> None:
    """The entry point of the `teachable` command."""
    with ending():
        app()
