"""`teachable judge-pairs`: the command, its options, and what it prints.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import ENGINE, Json, Map, MaxCost, MaxTokens
from teachable.cli.placing import engine_at, validated
from teachable.cli.rubric import read_rubric
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.prefer.config import JudgePairsConfig
    from teachable.recipe.judged_file import JudgedFile


_SETTABLE = "judge_pairs.FIELD, judge.FIELD, engine.FIELD of every --engine, engine1.FIELD of the first"
_MEND = f"What may be set: {_SETTABLE}"
MAX_NAME_CHARS = 60


def judge_pairs(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="where to write; made if it is not there")],
    prompts: Annotated[
        Path | None, typer.Argument(metavar="PROMPTS", help="your prompts, JSONL or Parquet; --responses may hold them")
    ] = None,
    engines: Annotated[
        list[str] | None,
        typer.Option("--engine", metavar="ENGINE", help=f"who answers: {ENGINE}; may be repeated"),
    ] = None,
    judge: Annotated[str | None, typer.Option("--judge", metavar="ENGINE", help="who judges: the same forms")] = None,
    responses: Annotated[
        Path | None,
        typer.Option("--responses", metavar="FILE", help="responses that are there already, JSONL or Parquet"),
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", metavar="MODE", help="pointwise: scores; pairwise: both orders. pointwise")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="responses of each engine to a prompt; 1")] = None,
    votes: Annotated[
        int | None, typer.Option("--votes", min=1, metavar="K", help="replies of the judge to each question; 3")
    ] = None,
    min_margin: Annotated[
        float | None, typer.Option("--min-margin", min=0, help="least difference of the scores of a pair")
    ] = None,
    rubric: Annotated[Path | None, typer.Option("--rubric", metavar="FILE", help="how to judge, as text")] = None,
    columns: Map = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help=f"set a field: {_SETTABLE}; may be repeated"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the responses and of the judge's replies")] = 0,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    as_json: Json = False,
) -> None:
    """Have engines answer prompts, or take answers, have them judged, and write preference pairs."""
    with ending(out):
        from teachable.cli.show import print_json, watching
        from teachable.cli.work import mapped
        from teachable.recipe.judged_file import judge_file
        from teachable.recipe.spec import SpendingLimits

        given = {"mode": mode, "n_responses": n, "votes": votes, "min_margin": min_margin}
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if rubric is not None:
            fields["rubric"] = read_rubric(rubric)
        config = settings(engines or [], judge, fields, sets or [])
        around, watcher = watching()
        with around:
            done = judge_file(
                prompts,
                out,
                config,
                watcher=watcher,
                responses=responses,
                columns=mapped(columns)["tasks"]["columns"] if columns else {},
                seed=seed,
                limits=SpendingLimits(max_cost, max_tokens),
            )
        if as_json:
            print_json({"out": str(out), "up_to_date": done.up_to_date, **done.stats})
        else:
            print(judged_text(done))


def settings(
    engines: Sequence[str], judge: str | None, fields: Mapping[str, Any], sets: Sequence[str]
) -> JudgePairsConfig:
    """The settings that the options stand for.

    Args:
        engines: who answers, as text.
        judge: who judges.
        fields: of the config, by options of their own.
        sets: the `--set` options, laid over all the others.

    Raises:
        TeachableError: one of them is no engine, has no model, or sets a field that there is not.
    """
    from teachable.cli.work import engine_settings
    from teachable.prefer.config import JudgePairsConfig
    from teachable.recipe.source import Source, overridden

    if judge is None:
        raise TeachableError("nobody judges", where="judge-pairs", mend="Name a judge with --judge ENGINE")
    document: dict[str, Any] = {"judge_pairs": dict(fields), "judge": engine_settings(judge, "--judge"), "engine": {}}
    names = [f"engine{number}" for number in range(1, len(engines) + 1)]
    document |= {name: engine_settings(text, "--engine") for name, text in zip(names, engines, strict=True)}
    document = overridden(Source(document, {}, "judge-pairs"), sets, ()).document
    unknown = [name for name in document if name not in ("judge_pairs", "judge", "engine", *names)]
    if unknown:
        raise TeachableError(f"there is no {unknown[0]!r} to set", where="--set", mend=f"There are {_SETTABLE}")
    values = dict(_mapping(document["judge_pairs"], "judge_pairs"))
    for taken in {"engines", "judge", "own"} & values.keys():
        raise TeachableError(f"{taken!r} is no setting of this command", where="--set", mend="Use --engine and --judge")
    every = _mapping(document["engine"], "engine")
    answering = [engine_at({**every, **_mapping(document[name], name)}, "--engine", _MEND) for name in names]
    values |= {
        "own": False,
        "engines": answering,
        "judge": engine_at(_mapping(document["judge"], "judge"), "--judge", _MEND),
    }
    return validated(JudgePairsConfig, values, "--set" if sets else "judge-pairs", _MEND)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise TeachableError(f"{name} is no field but holds fields", where="--set", mend=f"There are {_SETTABLE}")


# ---- for people ----


def judged_text(done: JudgedFile) -> str:
    """The summary: a table of the engines, why twosomes are no pairs, what it cost, where the pairs are."""
    stats = done.stats
    parts = [_table(stats), _reasons(stats), _judging(stats)]
    cost = f", ${stats['cost_usd']:,.2f}" if stats["cost_usd"] else ""
    mean = f", mean margin {stats['mean_margin']:.2f}" if stats["mean_margin"] is not None else ""
    how = (
        "everything is up to date"
        if done.up_to_date
        else f"{stats['n_prompts']:,} prompts in {stats['seconds']:,.1f} s"
    )
    parts.append(
        f"judge-pairs: {how}, {stats['completions']:,} completions, {stats['tokens']:,} tokens{cost}; "
        f"{stats['n_pairs']:,} pairs{mean} in {done.folder / 'preferences.parquet'}"
    )
    return "\n\n".join(part for part in parts if part)


def _table(stats: Mapping[str, Any]) -> str:
    lines = [["engine", "responses", "right", "wrong", "mean score", "chosen", "rejected"]]
    for name, one in stats["engines"].items():
        short = name if len(name) <= MAX_NAME_CHARS else f"{name[: MAX_NAME_CHARS - 3]}..."
        score = "" if one["mean_score"] is None else f"{one['mean_score']:.2f}"
        counts = [f"{one[field]:,}" for field in ("responses", "right", "wrong")]
        lines.append([short, *counts, score, f"{one['chosen']:,}", f"{one['rejected']:,}"])
    from teachable.cli.show import aligned

    return aligned(lines)


def _reasons(stats: Mapping[str, Any]) -> str:
    """Why two responses make no pair, and why some responses took no part."""
    parts = []
    for head, counts in (
        ("no pair of two responses because", stats["pairs_left_out"]),
        ("responses left out because", stats["responses_left_out"]),
    ):
        width = max((len(f"{count:,}") for count in counts.values()), default=0)
        if counts:
            parts += [head, *(f"{count:>{width},}  {reason}" for reason, count in counts.items())]
    return "\n".join(parts)


def _judging(stats: Mapping[str, Any]) -> str:
    found = stats["judging"]
    said = f"the judge could not tell in {found['undecided']:,} of {found['questions']:,} questions"
    if stats["mode"] == "pairwise" and found["frac_inconsistent"] is not None:
        said += f"; {found['frac_inconsistent']:.1%} of its verdicts changed with the order"
        said += f" (position bias {found['position_bias']:+.2f})"
    return said
