"""How the stages of preference training fit into a recipe: optional roles, usual ones, keys, and what a plan says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from teachable.errors import TeachableError
from teachable.recipe.config import Recipe
from teachable.recipe.keys import changes, ingredients, key_of
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.recipe.spec import ForecastInput
from teachable.store.manifest import RunFolder

SERVED = "engine: {kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}\n"
ROUNDS = "pivot: \n  dpo: \n  judge_pairs: \n  judge_dpo: \n  evaluate: {needs: {models: judge_dpo}}"


@pytest.fixture
def recipe_of(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text("".join(f'{{"prompt": "{i}", "answer": "1"}}\n' for i in range(10)))

    def load(stages: str, *overrides: str, head: str = "") -> Recipe:
        text = f"name: r\n{head}stages:\n  tasks: {{source: p.jsonl, heldout_frac: 0}}\n  {stages}\n"
        (tmp_path / "recipe.yaml").write_text(text)
        return load_recipe(tmp_path / "recipe.yaml", overrides, kinds=STAGE_KINDS)

    return load


def key_of_stage(recipe: Recipe, name: str) -> str:
    stage = recipe.stage(name)
    keys = {needed: f"key of {needed}" for needed in stage.needs.values()}
    return key_of(ingredients(recipe, stage, STAGE_KINDS[stage.kind], keys, {}))


# ---- an optional role ----


def test_estimates_are_used_where_the_recipe_probes_and_are_no_need(recipe_of) -> None:
    alone = recipe_of("pivot: ")
    assert [stage.name for stage in alone.stages] == ["tasks", "pretrain", "pivot"]
    assert alone.stage("pivot").needs == {"prompts": "tasks", "base": "pretrain"}
    probed = recipe_of("pivot: \n  probe: ")
    assert [stage.name for stage in probed.stages] == ["tasks", "pretrain", "probe", "pivot"]
    assert probed.stage("pivot").needs["estimates"] == "probe"
    assert key_of_stage(probed, "pivot") != key_of_stage(alone, "pivot")


def test_a_probe_that_another_stage_brings_counts_as_well(recipe_of) -> None:
    """Else the resolved recipe, which lists it, would not mean the same."""
    recipe = recipe_of("pivot: \n  select: ")
    assert recipe.stage("pivot").needs["estimates"] == "probe"


@pytest.mark.parametrize("stages", ["pivot: ", "pivot: \n  probe: ", "pivot: \n  select: ", ROUNDS + "\n  report: "])
def test_the_resolved_recipe_means_the_same(recipe_of, tmp_path: Path, stages: str) -> None:
    recipe = recipe_of(stages)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe.document(), sort_keys=False))
    assert load_recipe(tmp_path / "run.yaml", kinds=STAGE_KINDS) == recipe


def test_a_recipe_may_name_who_fills_it(recipe_of, tmp_path: Path) -> None:
    (tmp_path / "e.parquet").touch()
    recipe = recipe_of("probe: \n  pivot: {needs: {estimates: given}}\n  given: {kind: estimates, source: e.parquet}")
    assert recipe.stage("pivot").needs["estimates"] == "given"
    assert recipe.stage("given").config.source == tmp_path / "e.parquet"
    with pytest.raises(TeachableError, match=r"a pivot stage has no role 'estimate' \(did you mean 'estimates'\?\)"):
        recipe_of("pivot: {needs: {estimate: given}}")


def test_a_plan_says_that_probing_came_between(recipe_of) -> None:
    before, after = recipe_of("pivot: "), recipe_of("pivot: \n  probe: ")
    made = []
    for recipe in (before, after):
        stage = recipe.stage("pivot")
        made.append(ingredients(recipe, stage, STAGE_KINDS["pivot"], {n: n for n in stage.needs.values()}, {}))
    assert changes(*made, after.stage("pivot").needs) == "its input probe changed"


def test_the_report_shows_the_search_where_there_is_one(recipe_of) -> None:
    assert "pivot" not in recipe_of("report: ").stage("report").needs
    needs = recipe_of("report: \n  pivot: \n  dpo: ").stage("report").needs
    assert (needs["pivot"], needs["dpo"]) == ("pivot", "dpo") and "judge_dpo" not in needs


# ---- the two rounds ----


def test_two_rounds_follow_each_other(recipe_of) -> None:
    recipe = recipe_of(ROUNDS)
    assert [stage.name for stage in recipe.stages] == [
        "tasks", "pretrain", "pivot", "dpo", "judge_pairs", "judge_dpo", "evaluate",
    ]  # fmt: skip
    # What is held out is known to every stage that trains, so that it can refuse pairs that overlap it.
    assert recipe.stage("dpo").needs == {"preferences": "pivot", "base": "pretrain", "heldout": "tasks"}
    assert recipe.stage("judge_dpo").needs == {"preferences": "judge_pairs", "base": "dpo", "heldout": "tasks"}


def test_a_served_model_needs_no_base_to_be_searched_but_to_be_trained(recipe_of) -> None:
    assert [stage.name for stage in recipe_of("pivot: ", head=SERVED).stages] == ["tasks", "pivot"]
    assert "base" not in recipe_of("judge_pairs: ", head=SERVED).stage("judge_pairs").needs
    assert recipe_of("dpo: ", head=SERVED).stage("dpo").needs["base"] == "pretrain"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("pivot.low=0.9", "low (0.9) must be below high (0.8)"),
        ("pivot.gap=1.5", "pivot.gap: input should be less than 1"),
        ("pivot.confidence=0.4", "pivot.confidence: input should be greater than 0.5"),
        ("pivot.temperature=0", "pivot.temperature: input should be greater than 0"),
        ("pivot.gapp=0.2", "there is no field 'gapp' (did you mean 'gap'?)"),
    ],
)
def test_a_bad_setting_is_a_sentence(recipe_of, setting: str, sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        recipe_of("pivot: ", setting)
    assert sentence in str(caught.value)


# ---- several engines in one field ----


def engines(*models: str, price: str = "") -> str:
    each = ", ".join(f"{{kind: openai, model: {m}, base_url: 'http://127.0.0.1:9/v1'{price}}}" for m in models)
    return f"judge_pairs: {{engines: [{each}]}}"


def test_engines_in_a_list_enter_the_key_without_their_prices(recipe_of) -> None:
    key = key_of_stage(recipe_of(engines("a", "b")), "judge_pairs")
    assert key_of_stage(recipe_of(engines("a", "b", price=", usd_per_million_out: 3")), "judge_pairs") == key
    assert key_of_stage(recipe_of(engines("a", "c")), "judge_pairs") != key


def test_a_table_in_a_list_of_engines_is_found_beside_the_recipe_and_enters_by_content(
    recipe_of, tmp_path: Path
) -> None:
    table, keys = tmp_path / "t.json", []
    for text in ("{}", '{"a": "b"}', "{}"):
        table.write_text(text)
        recipe = recipe_of("judge_pairs: {engines: ['scripted:t.json']}")
        assert recipe.stage("judge_pairs").config.engines[0].model == str(table)
        keys.append(key_of_stage(recipe, "judge_pairs"))
    assert keys[0] == keys[2] != keys[1]
    with pytest.raises(TeachableError, match="there is no table"):
        recipe_of("judge_pairs: {engines: ['scripted:gone.json']}")


# ---- plans ----


def totals(recipe: Recipe, tmp_path: Path) -> dict[str, dict[str, float]]:
    plan = make_plan(recipe, RunFolder(tmp_path / "run"), STAGE_KINDS).document()
    return {stage["stage"]: stage for stage in plan["stages"]}


def test_a_plan_counts_the_gate_and_the_search(recipe_of, tmp_path: Path) -> None:
    plan = totals(recipe_of("pivot: {n_gate: 10, max_samples: 100, max_tokens: 50}"), tmp_path)["pivot"]
    assert plan["completions"] == 10 * 10 + 4 * 100  # every prompt is gated, four in ten are searched
    assert plan["tokens"] == plan["completions"] * 10
    probed = totals(recipe_of("probe: \n  pivot: {n_gate: 10, max_samples: 100}"), tmp_path)["pivot"]
    assert probed["completions"] < plan["completions"]


def test_a_plan_of_both_rounds_has_work_in_every_stage(recipe_of, tmp_path: Path) -> None:
    plan = totals(recipe_of(ROUNDS, "judge_pairs.n_responses=2"), tmp_path)
    assert plan["judge_pairs"]["completions"] == 10 * 2 + 10 * 2 * 3  # two responses, each judged three times
    assert all(plan[name]["tokens"] > 0 for name in ("pivot", "dpo", "judge_pairs", "judge_dpo"))
    # The base and one trained model, at no held-out question: nothing.
    assert plan["evaluate"]["completions"] == 0


def test_prices_of_the_judge_are_in_the_plan(recipe_of, tmp_path: Path) -> None:
    judge = "{kind: openai, model: j, base_url: 'http://127.0.0.1:9/v1', usd_per_million_out: 1000000}"
    stages = f"judge_pairs: {{n_responses: 2, votes: 1, judge_max_tokens: 7, judge: {judge}}}"
    plan = totals(recipe_of(stages, head=SERVED), tmp_path)["judge_pairs"]
    assert plan["cost_usd"] == pytest.approx(10 * 2 * 7)


def test_a_forecast_of_training_counts_pairs_as_often_as_they_are_used(recipe_of) -> None:
    spec = STAGE_KINDS["dpo"]

    def tokens(**fields: int) -> int:
        config = spec.config.model_validate(fields)
        given = ForecastInput(config, "embedded", recipe_of("pivot: ").engine, {"preferences": {"n_pairs": 100}})
        return spec.forecast(given).tokens

    assert tokens(n_epochs=2) == 2 * tokens() == tokens(seeds=2)
    assert tokens(n_steps=50, pairs_per_step=4) == 2 * tokens()
