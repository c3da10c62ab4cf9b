"""What a run would do and what it would cost, without doing any of it.

Every stage is judged on its own evidence (the manifest, its outputs' sizes), in order; `run` asks the same
function, so that a plan and a run can't disagree. Minutes rest on rates that earlier runs on this machine left
behind, or else on stated defaults, and the plan says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.accelerating import n_devices
from teachable.recipe.base_shape import base_shape
from teachable.recipe.config import Recipe, Stage
from teachable.recipe.graph import ancestors, descendants
from teachable.recipe.keys import Ingredients, changes, ingredients, key_of
from teachable.recipe.load import nearest
from teachable.recipe.rates import Rates, RateSource
from teachable.recipe.spec import Forecast, ForecastInput, Kinds, StageSpec, spec_of
from teachable.recipe.training_costs import LAUNCHED
from teachable.store.files import read_json
from teachable.store.manifest import RunFolder, StageEntry
from teachable.train.config import PretrainConfig


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

    @property
    def device_hours(self) -> float:
        """Hours times devices, of a stage that trains."""
        return self.seconds * self.forecast.n_devices / 3600

    def training(self) -> dict[str, Any] | None:
        """What a training needs, for machines; None of a stage that trains nothing, or that is cached."""
        forecast = self.forecast
        if self.cached or not forecast.n_devices:
            return None
        return {
            "steps": forecast.steps,
            "devices": forecast.n_devices,
            "device_bytes": forecast.device_bytes or None,
            "device_hours": round(self.device_hours, 3),
            "flops": forecast.flops or None,
            "basis": forecast.basis,
        }


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
                "training": stage.training(),
            }
            for stage in self.stages
        ]
        sums = {
            name: sum(stage[name] for stage in stages)  # type: ignore[misc]
            for name in ("prompts", "completions", "tokens", "minutes", "cost_usd", "disk_bytes")
        }
        hours = sum(stage.device_hours for stage in self.stages if stage.training() is not None)
        return {
            "recipe": self.recipe,
            "run": self.run,
            "stages": stages,
            "total": {**sums, "device_hours": round(hours, 3)},
        }


def wanted_stages(recipe: Recipe, until: str | Sequence[str] | None, start: str | None) -> tuple[list[Stage], set[str]]:
    """The stages of a run in order, and the names of those that are to be redone.

    Args:
        until: leave out what neither this stage, nor any of these, needs.
        start: redo this stage and whatever rests on it, though it is cached.

    Raises:
        TeachableError: one of them is no stage of the recipe, or nothing of `start` is left by `until`.
    """
    needs = {stage.name: tuple(stage.needs.values()) for stage in recipe.stages}
    ends = [] if until is None else [until] if isinstance(until, str) else list(until)
    for option, name in (*(("--until", end) for end in ends), ("--from", start)):
        if name is not None and name not in needs:
            raise TeachableError(
                f"there is no stage {name!r} in recipe {recipe.name!r}{nearest(name, needs)}", where=option
            )
    kept = set().union(*(ancestors(needs, end) for end in ends)) if ends else set(needs)
    redo = set() if start is None else descendants(needs, start)
    if start is not None and start not in kept:
        raise TeachableError(f"stage {ends[0]!r} does not need {start!r}, so nothing would be redone", where="--from")
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
    made = next((one.config for one in recipe.stages if isinstance(one.config, PretrainConfig)), None)
    shape, shape_from = base_shape(recipe.base, made)
    given = ForecastInput(
        config=stage.config,
        base=recipe.base,
        engine=recipe.engine,
        inputs=inputs,
        resources=recipe.resources,
        shape=shape,
        shape_from=shape_from,
    )
    forecast = spec.forecast(given)
    seconds, source = rates.seconds(spec, rated(recipe, spec), forecast)
    return forecast, seconds, source


def rated(recipe: Recipe, spec: StageSpec) -> str:
    """What a rate belongs to beside a kind: the model, and the devices where a training is spread over several."""
    if spec.uses_engine:
        return recipe.sampled_model
    n = n_devices(recipe.resources) if spec.kind in LAUNCHED else 1
    return recipe.base if n == 1 else f"{recipe.base} on {n} devices"


def stats_of(run: RunFolder, stage: str) -> Mapping[str, Any]:
    """A complete stage's stats.json; empty for a stage that writes none."""
    path = run.stage_dir(stage) / "stats.json"
    stats = read_json(path) if path.is_file() else {}
    return stats if isinstance(stats, dict) else {}
