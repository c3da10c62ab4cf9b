"""A run does what is not done, redoes what changed and says why, and a plan says the same without doing it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.cli.toy import KINDS, RUNNERS
from tests.recipe.conftest import Load

from teachable.errors import TeachableError
from teachable.recipe import run as run_module
from teachable.recipe.config import Recipe
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import Plan, make_plan
from teachable.recipe.run import RunSummary, run_recipe
from teachable.recipe.spec import Forecast, Kinds, StageContext, StageOutcome
from teachable.records import Progress
from teachable.store.manifest import RunFolder, StageEntry


@dataclass
class Watch:
    seen: list[tuple[str, str]] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def cached(self, stage: str, entry: StageEntry) -> None:
        self.seen.append(("cached", stage))

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None:
        self.seen.append(("started", stage))

    def progressed(self, stage: str, progress: Progress) -> None:
        self.progress.append(progress)

    def finished(self, stage: str, entry: StageEntry) -> None:
        self.seen.append(("finished", stage))


def go(recipe: Recipe, folder: Path, watch: Watch | None = None, kinds: Kinds = KINDS, **options: str) -> RunSummary:
    return run_recipe(recipe, RunFolder(folder), kinds, RUNNERS.__getitem__, watch or Watch(), **options)


def reasons(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.reason for stage in plan.stages}


def plan_of(recipe: Recipe, folder: Path, kinds: Kinds = KINDS, **options: str) -> dict[str, str]:
    return reasons(make_plan(recipe, RunFolder(folder), kinds, **options))


def contents(folder: Path) -> dict[str, bytes]:
    """What a run is made of, apart from what tells of time."""
    timed = {"manifest.json", ".lock", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in timed
    }


def test_a_run_runs_everything_once(load: Load, tmp_path: Path) -> None:
    watch = Watch()
    summary = go(load(), tmp_path / "run", watch)
    assert summary.ran == ("numbers", "squares", "total")
    assert watch.seen == [(what, stage) for stage in summary.ran for what in ("started", "finished")]
    assert watch.progress[-1] == Progress(12, 12, "numbers", tokens=12)
    again = Watch()
    assert go(load(), tmp_path / "run", again).ran == ()
    assert again.seen == [("cached", stage) for stage in summary.ran]


def test_same_recipe_and_seed_same_bytes(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "a" / "run")
    go(load(), tmp_path / "b" / "run")
    assert contents(tmp_path / "a" / "run") == contents(tmp_path / "b" / "run")
    go(load("seed=4"), tmp_path / "c" / "run")
    assert contents(tmp_path / "a" / "run") != contents(tmp_path / "c" / "run")


def test_the_resolved_recipe_is_kept_and_means_the_same(load: Load, tmp_path: Path) -> None:
    recipe = load("numbers.top=50")
    go(recipe, tmp_path / "run")
    assert load_recipe(tmp_path / "run" / "run.yaml", kinds=KINDS) == recipe


def test_a_plan_runs_nothing(load: Load, tmp_path: Path) -> None:
    plan = make_plan(load(), RunFolder(tmp_path / "run"), KINDS)
    assert reasons(plan) == {name: "never ran" for name in ("numbers", "squares", "total")}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["numbers.n=13"],
            ["its config changed: n 12 -> 13", "its input numbers changed", "its input squares changed"],
        ),
        (
            ["squares.inner.power=3", "squares.k=2"],
            ["cached", "its config changed: k 1 -> 2, inner.power 2 -> 3", "its input squares changed"],
        ),
        (["seed=4"], ["the seed changed: 3 -> 4"] * 3),
        (
            ["engine.dtype=bfloat16"],
            ["cached", "the engine changed: dtype float32 -> bfloat16", "its input squares changed"],
        ),
        (["base=org/name"], ["the base changed", "its input numbers changed", "its input squares changed"]),
        (["total.title=sum"], ["cached", "cached", "its config changed: title total -> sum"]),
        (["resources.workers=1", "resources.batch_rows=3", "resources.device=cpu"], ["cached"] * 3),
        (["name=toy"], ["cached"] * 3),
    ],
)
def test_why_a_stage_will_run(load: Load, tmp_path: Path, overrides: list[str], expected: list[str]) -> None:
    go(load(), tmp_path / "run")
    changed = load(*overrides)
    assert list(plan_of(changed, tmp_path / "run").values()) == expected
    ran = go(changed, tmp_path / "run").ran
    assert ran == tuple(name for name, why in plan_of_names(expected).items() if why != "cached")


def plan_of_names(expected: list[str]) -> dict[str, str]:
    return dict(zip(("numbers", "squares", "total"), expected, strict=True))


def test_a_new_version_of_a_stage_reruns_it(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    newer = {**KINDS, "squares": replace(KINDS["squares"], version=2)}
    assert plan_of(load(), tmp_path / "run", newer)["squares"] == "its code changed: version 1 -> 2"


def test_a_file_that_the_config_names_is_part_of_the_key(load: Load, tmp_path: Path) -> None:
    source = tmp_path / "rows.txt"
    source.write_text("a")
    override = f"numbers.source={source}"
    go(load(override), tmp_path / "run")
    assert plan_of(load(override), tmp_path / "run")["numbers"] == "cached"
    source.write_text("other content")
    assert plan_of(load(override), tmp_path / "run")["numbers"] == f"{source} changed"


def test_missing_outputs_are_made_again_and_what_rests_on_equal_ones_stays(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    before = contents(tmp_path / "run")
    (tmp_path / "run" / "numbers" / "numbers.parquet").unlink()
    assert plan_of(load(), tmp_path / "run")["numbers"] == "outputs missing: numbers/numbers.parquet"
    assert go(load(), tmp_path / "run").ran == ("numbers",)
    assert contents(tmp_path / "run") == before


def test_another_model_from_the_same_key_reruns_what_rests_on_it(load: Load, tmp_path: Path) -> None:
    # Training is only as deterministic as the machine: on another one the same key may give other weights.
    go(load(), tmp_path / "run")
    (tmp_path / "run" / "squares" / "squares.parquet").unlink()

    def other(ctx: StageContext) -> StageOutcome:
        return replace(RUNNERS["squares"](ctx), model_digest="another")

    summary = run_recipe(load(), RunFolder(tmp_path / "run"), KINDS, {**RUNNERS, "squares": other}.__getitem__, Watch())
    assert summary.ran == ("squares", "total")


def test_until_leaves_out_what_is_not_needed(load: Load, tmp_path: Path) -> None:
    assert go(load(), tmp_path / "run", until="squares").ran == ("numbers", "squares")
    assert go(load(), tmp_path / "run").ran == ("total",)


def test_from_redoes_a_stage_and_what_rests_on_it(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    assert plan_of(load(), tmp_path / "run", start="squares") == {
        "numbers": "cached",
        "squares": "asked for with --from",
        "total": "asked for with --from",
    }
    assert go(load(), tmp_path / "run", start="squares").ran == ("squares", "total")
    assert go(load(), tmp_path / "run", start="squares", until="squares").ran == ("squares",)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"until": "squaers"}, r"--until: there is no stage 'squaers' in recipe 'toy' \(did you mean 'squares'\?\)"),
        ({"start": "nothing_like_it"}, r"--from: there is no stage .*; there are numbers, squares, total"),
        ({"start": "total", "until": "numbers"}, "--from: stage 'numbers' does not need 'total'"),
    ],
)
def test_unknown_stages_are_sentences(load: Load, tmp_path: Path, options: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(TeachableError, match=sentence):
        go(load(), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_plan_and_run_refuse_the_folder_of_another_recipe(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    for act in (go, plan_of):
        with pytest.raises(TeachableError, match="output folder of another recipe"):
            act(load("name=other"), tmp_path / "run")


def test_partial_work_is_kept_and_said_to_be_unfinished(load: Load, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="defect"):
        go(load("squares.misbehave=defect"), tmp_path / "run")
    assert plan_of(load("squares.misbehave=defect"), tmp_path / "run") == {
        "numbers": "cached",
        "squares": "never finished",
        "total": "never ran",
    }


def test_a_changed_stage_leaves_nothing_of_the_old_one(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    (tmp_path / "run" / "models" / "squares-old").mkdir()
    go(load("squares.k=2"), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "models").iterdir()] == ["squares-0"]


def test_costs_are_forecast_through_stages_that_have_not_run(load: Load, tmp_path: Path) -> None:
    document = make_plan(load("squares.k=4"), RunFolder(tmp_path / "run"), KINDS).document()
    squares = document["stages"][1]
    assert {name: squares[name] for name in ("action", "prompts", "completions", "tokens", "disk_bytes", "rate")} == {
        "action": "run",
        "prompts": 48,
        "completions": 48,
        "tokens": 1440,
        "disk_bytes": 4800,
        "rate": "default",
    }
    assert squares["minutes"] == round(1440 / 100 / 60, 2)
    assert document["total"]["prompts"] == 12 + 48


def test_cached_stages_cost_nothing(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    total = make_plan(load(), RunFolder(tmp_path / "run"), KINDS).document()["total"]
    assert set(total.values()) == {0}


def test_what_a_run_measured_is_what_the_next_plan_uses(load: Load, tmp_path: Path, cache: Path) -> None:
    go(load(), tmp_path / "run")
    # Twelve tokens say nothing about a rate; the seconds of a stage that does not grow with tokens do.
    known = json.loads((cache / "rates.json").read_text())
    assert set(known) == {"numbers@embedded", "total@embedded"}
    (cache / "rates.json").write_text(json.dumps({"squares@embedded": 10.0}))
    plan = make_plan(load(), RunFolder(tmp_path / "new"), KINDS)
    assert (plan.stages[1].seconds, plan.stages[1].rate) == (36.0, "measured")
    assert (plan.stages[0].seconds, plan.stages[0].rate) == (3.0, "default")


def test_too_little_disk_space_is_a_sentence_before_the_stage_begins(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=3 * 2**20)
    monkeypatch.setattr(run_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(TeachableError, match=r"stage numbers needs about 16 MB of disk space, 3 MB are free"):
        go(load(), tmp_path / "run")
    monkeypatch.undo()
    assert go(load(), tmp_path / "run").ran == ("numbers", "squares", "total")


def test_a_moved_run_is_still_complete(load: Load, tmp_path: Path) -> None:
    go(load(), tmp_path / "run")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert go(load(), tmp_path / "moved").ran == ()
