"""What the recipe's engine changes: which stages are needed, what a plan costs, what enters a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.recipe.config import Recipe
from teachable.recipe.keys import ingredients, key_of
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.store.manifest import RunFolder

SERVED = "engine: {kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}\n"


@pytest.fixture
def recipe_of(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "answer": "1"}\n{"prompt": "b", "answer": "2"}\n')

    def load(head: str = "", *overrides: str, probe: str = "{}") -> Recipe:
        text = f"name: r\n{head}stages:\n  tasks: {{source: p.jsonl, heldout_frac: 0}}\n  probe: {probe}\n"
        (tmp_path / "recipe.yaml").write_text(text)
        return load_recipe(tmp_path / "recipe.yaml", overrides, kinds=STAGE_KINDS)

    return load


def key_of_probe(recipe: Recipe) -> str:
    stage = recipe.stage("probe")
    return key_of(ingredients(recipe, stage, STAGE_KINDS["probe"], {name: "k" for name in stage.needs.values()}, {}))


def test_a_served_model_needs_no_base_and_a_local_one_does(recipe_of) -> None:
    assert [stage.name for stage in recipe_of(SERVED).stages] == ["tasks", "probe"]
    assert [stage.name for stage in recipe_of().stages] == ["tasks", "pretrain", "probe"]
    asked = recipe_of(SERVED, probe="{needs: {base: pretrain}}")
    assert asked.stage("probe").needs["base"] == "pretrain"  # who asks for it gets it


def test_prices_and_patience_enter_no_key_but_the_model_does(recipe_of) -> None:
    key = key_of_probe(recipe_of(SERVED))
    assert key_of_probe(recipe_of(SERVED, "engine.usd_per_million_in=1", "engine.concurrency=3")) == key
    assert key_of_probe(recipe_of(SERVED, "engine.model=other")) != key
    teacher = "{teacher: {kind: openai, model: big, base_url: 'http://127.0.0.1:9/v1'}}"
    taught = key_of_probe(recipe_of(SERVED, probe=teacher))
    assert taught != key
    assert key_of_probe(recipe_of(SERVED, "probe.teacher.timeout_s=1", probe=teacher)) == taught
    assert key_of_probe(recipe_of(SERVED, "probe.teacher.model=bigger", probe=teacher)) != taught


def test_a_table_enters_the_key_by_its_content(recipe_of, tmp_path: Path) -> None:
    table = tmp_path / "t.json"
    keys = []
    for text in ("{}", '{"a": "Answer: 1"}', "{}"):
        table.write_text(text)
        keys.append(key_of_probe(recipe_of("engine: {kind: scripted, model: t.json}\n")))
    assert keys[0] == keys[2] != keys[1]


def test_a_plan_says_what_a_priced_engine_will_cost(recipe_of, tmp_path: Path) -> None:
    def dollars(*overrides: str, probe: str = "{n_samples: 4, max_tokens: 100}") -> float:
        recipe = recipe_of(SERVED, *overrides, probe=probe)
        return make_plan(recipe, RunFolder(tmp_path / "run"), STAGE_KINDS).document()["total"]["cost_usd"]

    assert dollars() == 0
    # 2 prompts, 4 answers each, counted at a fifth of 100 tokens, at a dollar a token.
    assert dollars("engine.usd_per_million_out=1000000") == pytest.approx(160)
    taught = "{n_samples: 4, max_tokens: 100, teacher_samples: 5, teacher_max_tokens: 1000, teacher: "
    taught += "{kind: openai, model: big, base_url: 'http://127.0.0.1:9/v1', usd_per_million_out: 1000000}}"
    assert dollars(probe=taught) == pytest.approx(2 * 5 * 200)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("engine: {kind: openai, model: m}\n", "recipe.yaml:2: engine: an openai engine needs a base_url"),
        ("engine: {kind: scripted, model: none.json}\n", "recipe.yaml:2: engine.model: there is no table"),
        (
            "engine: {kind: transformers, model: nowhere}\n",
            "the model 'nowhere' is no folder that exists",
        ),
        ("engine: {kind: openai, model: m, base_url: 'http://u:hidden@x/v1'}\n", "holds no password"),
    ],
)
def test_a_mistake_in_an_engine_names_its_line(recipe_of, head: str, sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        recipe_of(head)
    assert sentence in str(caught.value) and "hidden" not in str(caught.value)
