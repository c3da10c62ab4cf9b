"""What a run would do and what it would cost, without doing any of it.

Every stage is judged on its own evidence (the manifest, its outputs' sizes), in order; `run` asks the same
function, so that a plan and a run can't disagree. Minutes rest on rates that earlier runs on this machine left
behind, or else on stated defaults, and the plan says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.config import Recipe, Stage
from teachable.recipe.graph import ancestors, descendants
from teachable.recipe.keys import Ingredients, changes, ingredients, key_of
from teachable.recipe.load import nearest
from teachable.recipe.rates import Rates, RateSource
from teachable.recipe.spec import Forecast, ForecastInput, Kinds, spec_of
from teachable.store.files import read_json
from teachable.store.manifest import RunFolder, StageEntry


@dataclass(frozen=True)
class Decision:
    """Whether a stage is cached, and if not, why it will run."""

    stage: Stage
    key: str
    ingredients: Ingredients
    cached: bool
    reason: str
    entry: StageEntry | None


@dataclass(frozen=True)
class StagePlan:
    """One stage of a plan. A cached stage costs nothing; `forecast` is then what it would have cost."""

    name: str
    kind: str
    key: str
    cached: bool
    reason: str
    forecast: Forecast
    seconds: float
    rate: RateSource


@dataclass(frozen=True)
class Plan:
    """All stages of a run in order, and the sums over those that will run."""

    recipe: str
    run: str
    stages: tuple[StagePlan, ...]

    @property
    def to_run(self) -> tuple[StagePlan, ...]:
        """The stages that are not cached."""
        return tuple(stage for stage in self.stages if not stage.cached)

    def document(self) -> dict[str, Any]:
        """The plan for machines."""
        stages = [
            {
                "stage": stage.name,
                "kind": stage.kind,
                "action": "cached" if stage.cached else "run",
                "reason": stage.reason,
                "prompts": 0 if stage.cached else stage.forecast.prompts,
                "completions": 0 if stage.cached else stage.forecast.completions,
                "tokens": 0 if stage.cached else stage.forecast.tokens,
                "minutes": 0.0 if stage.cached else round(stage.seconds / 60, 2),
                "cost_usd": 0.0 if stage.cached else round(stage.forecast.cost_usd, 4),
                "disk_bytes": 0 if stage.cached else stage.forecast.disk_bytes,
                "rate": stage.rate,
            }
            for stage in self.stages
        ]
        sums = {
            name: sum(stage[name] for stage in stages)  # type: ignore[misc]
            for name in ("prompts", "completions", "tokens", "minutes", "cost_usd", "disk_bytes")
        }
        return {"recipe": self.recipe, "run": self.run, "stages": stages, "total": sums}


def wanted_stages(recipe: Recipe, until: str | None, start: str | None) -> tuple[list[Stage], set[str]]:
    """The stages of a run in order, and the names of those that are to be redone.

    Args:
        until: leave out what this stage does not need.
        start: redo this stage and whatever rests on it, though it is cached.

    Raises:
        TeachableError: one of them is no stage of the recipe, or nothing of `start` is left by `until`.
    """
    needs = {stage.name: tuple(stage.needs.values()) for stage in recipe.stages}
    for option, name in (("--until", until), ("--from", start)):
        if name is not None and name not in needs:
            raise TeachableError(
                f"there is no stage {name!r} in recipe {recipe.name!r}{nearest(name, needs)}", where=option
            )
    kept = set(needs) if until is None else ancestors(needs, until)
    redo = set() if start is None else descendants(needs, start)
    if start is not None and start not in kept:
        raise TeachableError(f"stage {until!r} does not need {start!r}, so nothing would be redone", where="--from")
    return [stage for stage in recipe.stages if stage.name in kept], redo & kept


def decide(
    recipe: Recipe,
    stage: Stage,
    kinds: Kinds,
    run: RunFolder,
    entries: Mapping[str, StageEntry],
    keys: Mapping[str, str],
    redo: set[str],
) -> Decision:
    """Judge one stage, those that it needs having been judged: `keys` holds their present keys."""
    made = ingredients(recipe, stage, spec_of(kinds, stage.kind), keys, entries)
    key = key_of(made)
    entry = entries.get(stage.name)
    if stage.name in redo:
        reason = "asked for with --from"
    elif entry is None:
        reason = "never finished" if _begun(run, stage.name) else "never ran"
    elif entry.key != key:
        reason = changes(entry.ingredients, made, stage.needs)
    elif missing := run.missing(entry):
        reason = f"outputs missing: {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    else:
        return Decision(stage, key, made, True, "cached", entry)
    return Decision(stage, key, made, False, reason, entry)


def _begun(run: RunFolder, stage: str) -> bool:
    return (run.stage_dir(stage) / ".key").is_file()


def make_plan(
    recipe: Recipe, run: RunFolder, kinds: Kinds, *, until: str | None = None, start: str | None = None
) -> Plan:
    """Say for every stage whether it is cached, why it will run, and what that will cost.

    Raises:
        TeachableError: the folder belongs to another recipe, or a file that the recipe names is missing.
    """
    run.check_owner(recipe.name)
    stages, redo = wanted_stages(recipe, until, start)
    rates = Rates(recipe.resources.cache_path())
    entries = run.entries()
    keys: dict[str, str] = {}
    expected: dict[str, Mapping[str, Any]] = {}
    planned = []
    for stage in stages:
        decision = decide(recipe, stage, kinds, run, entries, keys, redo)
        keys[stage.name] = decision.key
        forecast, seconds, source = forecast_of(recipe, stage, kinds, rates, expected)
        expected[stage.name] = stats_of(run, stage.name) if decision.cached else forecast.produces
        planned.append(
            StagePlan(stage.name, stage.kind, decision.key, decision.cached, decision.reason, forecast, seconds, source)
        )
    return Plan(recipe.name, str(run.path), tuple(planned))


def forecast_of(
    recipe: Recipe, stage: Stage, kinds: Kinds, rates: Rates, expected: Mapping[str, Mapping[str, Any]]
) -> tuple[Forecast, float, RateSource]:
    """A stage's forecast, its seconds, and what these rest on; `expected` are the stats of earlier stages."""
    spec = spec_of(kinds, stage.kind)
    inputs = {role: expected.get(needed, {}) for role, needed in stage.needs.items()}
    forecast = spec.forecast(ForecastInput(config=stage.config, base=recipe.base, engine=recipe.engine, inputs=inputs))
    seconds, source = rates.seconds(spec, recipe.sampled_model if spec.uses_engine else recipe.base, forecast)
    return forecast, seconds, source


def stats_of(run: RunFolder, stage: str) -> Mapping[str, Any]:
    """A complete stage's stats.json; empty for a stage that writes none."""
    path = run.stage_dir(stage) / "stats.json"
    stats = read_json(path) if path.is_file() else {}
    return stats if isinstance(stats, dict) else {}
