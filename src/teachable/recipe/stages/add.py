"""Add tuned domains to one another, and see after each addition what was gained and what was forgotten.

After each addition its models answer the judging questions of all domains, and everything that is known by then is
written. Only then is a regression refused: whoever allows it goes on from there, and nothing is made or asked again,
since models live in slots and answers in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from teachable.errors import TeachableError
from teachable.evaluate.additivity import Additivity, additivity
from teachable.evaluate.matrix import Addition, Cell, DomainScores, forgetting_matrix
from teachable.recipe.adding import Made, Tuned, additions_of, make_models, read_tuned
from teachable.recipe.live import score_models
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.stages.evaluate import SCORES
from teachable.recipe.steering import judged_of
from teachable.recipe.training_tables import RUNS, write_trainings
from teachable.store.digest import digest
from teachable.store.files import write_json, write_rows
from teachable.train.tune_config import AddConfig

ADDITIONS = pa.schema([*RUNS, ("n_domains", pa.int64()), ("domains", pa.list_(pa.string()))])
MATRIX = pa.schema(
    [
        ("stage", pa.string()),
        ("n_domains", pa.int64()),
        ("domain", pa.string()),
        ("added", pa.bool_()),
        ("n_questions", pa.int64()),
        *((name, pa.float64()) for name in ("mean", "low", "high", "base")),
        *((f"since_{since}_{name}", pa.float64()) for since in ("base", "added") for name in ("mean", "low", "high")),
        ("regression", pa.bool_()),
    ]
)


def run(ctx: StageContext) -> StageOutcome:
    """Make the additions one after the other, each measured before the next is made.

    Raises:
        Stopped: a limit was reached or the user interrupted; every model and answer so far is kept.
        TeachableError: the settings don't fit what was tuned, or an addition has cost a domain more than chance
            explains and this is not allowed; all tables are written then.
    """
    config = ctx.config_as(AddConfig)
    tuned = read_tuned(ctx)
    additions = additions_of(ctx.name, config, tuned.domains)
    rows = [dict(row) for row in tuned.scores]
    done: list[tuple[Addition, Made]] = []
    allowed: list[str] = []
    stats: dict[str, Any] = {}
    for addition in additions:
        made = make_models(ctx, config, tuned, addition, done[-1][1] if done else None)
        rows += _scored(ctx, tuned, addition, made)
        done.append((addition, made))
        stats = _write(ctx, config, tuned, done, rows)
        found = [one for one in stats["regressions"] if one["stage"] == addition.arm]
        refuse(ctx, found)
        allowed += [one["sentence"] for one in found]
    for sentence in allowed:
        ctx.say(sentence)
    models = [run for _, made in done for run in made.runs]
    return StageOutcome(
        note=stats["sentence"],
        tokens_out=stats["tokens"],
        tokens_spent=sum(made.n_tokens_spent for _, made in done),
        model_digest=digest([model["digest"] for model in models]),
        requires=tuple(Path(model["path"]) for model in models),
    )


def _scored(ctx: StageContext, tuned: Tuned, addition: Addition, made: Made) -> list[dict[str, Any]]:
    """Score rows of an addition's models; those of a single domain's tuned models are there already."""
    if made.taken:
        (domain,) = addition.domains
        return [
            {**row, "arm": addition.arm, "model": f"{addition.arm}-{row['seed']}"}
            for row in tuned.scores
            if row["arm"] == domain
        ]
    models = [
        (f"{one['arm']}-{one['seed']}", one["arm"], one["seed"], ctx.run / one["path"], tuned.n_params)
        for one in made.runs
    ]
    return score_models(ctx, models, tuned.questions, judged_of(tuned.settings))


def _write(
    ctx: StageContext,
    config: AddConfig,
    tuned: Tuned,
    done: Sequence[tuple[Addition, Made]],
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Write all tables of the additions made so far, and give what `stats.json` says."""
    scores = DomainScores(rows, judged_of(tuned.settings))
    additions = [addition for addition, _ in done]
    cells = forgetting_matrix(scores, additions, tuned.domains)
    alone = {name: name for name in tuned.domains}
    sums = [one for addition in additions if len(addition.domains) > 1 for one in additivity(scores, addition, alone)]
    lost = regressions(cells, additions)
    (ctx.folder / "stats.json").unlink(missing_ok=True)  # it tells of the tables beside it, or of none
    _write_models(ctx, done)
    write_rows(ctx.folder / "scores.parquet", rows, SCORES)
    write_rows(ctx.folder / "matrix.parquet", [cell.row() for cell in cells], MATRIX)
    last = done[-1][1].runs
    trained = [run for _, made in done if not made.taken for run in made.runs]
    stats = {
        "way": config.way,
        "settings": config.model_dump(mode="json"),
        "domains": list(tuned.domains),
        "seeds": list(tuned.seeds),
        "arms": [addition.arm for addition in additions],
        "sizes": [len(addition.domains) for addition in additions],
        "n_runs": len(last),
        "metric": scores.metric,
        "matrix": [cell.row() for cell in cells],
        "additivity": [one.row() for one in sums],
        "regressions": lost,
        "sentence": _sentence(additions[-1], cells, sums),
        "tokens": sum(run["n_tokens"] for run in trained),
        "seconds": round(sum(run["seconds"] for run in trained), 3),
        "path": last[0]["path"],
        "digest": last[0]["digest"],
        "n_params": last[0]["n_params"],
    }
    write_json(ctx.folder / "stats.json", stats)
    return stats


def _write_models(ctx: StageContext, done: Sequence[tuple[Addition, Made]]) -> None:
    """Who was made of what, and how each training went."""
    write_trainings(ctx.folder, [record for _, made in done for record in made.records])
    write_rows(ctx.folder / "runs.parquet", done[-1][1].runs, RUNS)  # of the last addition, for stages that take models
    runs = [
        {**run, "n_domains": len(addition.domains), "domains": list(addition.domains)}
        for addition, made in done
        for run in made.runs
    ]
    write_rows(ctx.folder / "additions.parquet", runs, ADDITIONS)


def regressions(cells: Sequence[Cell], additions: Sequence[Addition]) -> list[dict[str, Any]]:
    """What each addition has cost a domain beyond its interval, with a sentence that says it."""
    found = []
    for addition in additions:
        for cell in cells:
            if cell.stage != addition.arm or not cell.regression or cell.since_added is None or cell.mean is None:
                continue
            change = cell.since_added
            sentence = (
                f"after adding {_listed(addition.new)} ({len(addition.domains)} domains), {cell.domain} fell from "
                f"{100 * (cell.mean - change.mean):.1f}% when it was added to {100 * cell.mean:.1f}% "
                f"({100 * change.mean:+.1f} points, interval {100 * change.low:+.1f} to {100 * change.high:+.1f})"
            )
            told = {"stage": cell.stage, "n_domains": cell.n_domains, "domain": cell.domain}
            numbers = {"mean": change.mean, "low": change.low, "high": change.high}
            found.append({**told, **numbers, "sentence": sentence})
    return found


def refuse(ctx: StageContext, found: Sequence[Mapping[str, Any]]) -> None:
    """Stop where a domain has lost more than chance explains, unless that is allowed.

    Args:
        found: the regressions of the last addition.

    Raises:
        TeachableError: there are some.
    """
    if not found or ctx.permissions.allow_regression:
        return
    others = f", and so did {_listed([one['domain'] for one in found[1:]])}" if len(found) > 1 else ""
    raise TeachableError(
        f"{found[0]['sentence']}{others}",
        where=ctx.name,
        mend=f"The tables are in {ctx.folder}; run the same command with --allow-regression to go on from here",
    )


def _sentence(last: Addition, cells: Sequence[Cell], sums: Sequence[Additivity]) -> str:
    """How the last addition stands, in one line."""
    mine = [cell for cell in cells if cell.stage == last.arm and cell.added]
    known = [(cell.mean, cell.base) for cell in mine if cell.mean is not None and cell.base is not None]
    told = f"{len(last.domains)} domains"
    if known:
        mean, base = (sum(values) / len(values) for values in zip(*known, strict=True))
        told += f" at {100 * mean:.1f}% (base {100 * base:.1f}%)"
    whole = next((one for one in sums if one.n_domains == len(last.domains) and one.domain is None), None)
    score = ""
    if whole is not None:
        ratio = whole.ratio
        score = f"; no additivity score, as {ratio.reason}"
        if ratio.value is not None:
            score = f"; additivity {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    fallen = [cell.domain for cell in mine if cell.regression]
    lost = f"; fell since added: {_listed(fallen)}" if fallen else ""
    return f"{told}{score}{lost}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
