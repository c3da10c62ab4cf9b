"""A recipe is typed when it is loaded, and each mistake is one sentence with its place and field."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.cli.toy import KINDS, Numbers, Squares
from tests.recipe.conftest import Load

from teachable.errors import TeachableError
from teachable.recipe.load import load_recipe


def test_needed_stages_are_added_with_their_defaults(load: Load) -> None:
    recipe = load()
    assert [stage.name for stage in recipe.stages] == ["numbers", "squares", "total"]
    assert recipe.stage("numbers").config == Numbers(n=12)
    assert recipe.stage("squares").config == Squares()


def test_kind_and_needs_may_be_given(load: Load) -> None:
    text = "name: t\nstages:\n  mine: {kind: numbers}\n  squares: {needs: {numbers: mine}}\n"
    recipe = load(text=text)
    assert [(stage.name, stage.kind) for stage in recipe.stages] == [("mine", "numbers"), ("squares", "squares")]
    assert recipe.stage("squares").needs == {"numbers": "mine"}


def test_the_resolved_recipe_loads_back_to_itself(load: Load, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("x")
    recipe = load("numbers.source=" + str(tmp_path / "rows.txt"), "seed=9", "resources.workers=1")
    text = yaml.safe_dump(recipe.document(), sort_keys=False)
    elsewhere = tmp_path / "elsewhere" / "run.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(text)
    assert load_recipe(elsewhere, kinds=KINDS) == recipe


@pytest.mark.parametrize(
    ("override", "field", "value"),
    # YAML 1.1 takes 1e-3 for text; a learning rate is written like that all the same.
    [("stages.squares.k=7", "k", 7), ("squares.k=7", "k", 7), ("squares.delay_s=1e-3", "delay_s", 0.001)],
)
def test_overrides(load: Load, override: str, field: str, value: object) -> None:
    assert getattr(load(override).stage("squares").config, field) == value


def test_the_last_override_wins_and_reaches_nested_and_unlisted_fields(load: Load) -> None:
    recipe = load("seed=4", "seed=5", "squares.inner.power=3", "engine.dtype=bfloat16")
    assert (recipe.seed, recipe.engine.dtype) == (5, "bfloat16")
    assert recipe.stage("squares").config == Squares.model_validate({"inner": {"power": 3}})


def test_layers_are_merged(load: Load, tmp_path: Path) -> None:
    load()
    (tmp_path / "fast.yaml").write_text("stages:\n  numbers: {top: 10}\n")
    recipe = load_recipe(tmp_path / "recipe.yaml", kinds=KINDS, layers=[tmp_path / "fast.yaml"])
    assert recipe.stage("numbers").config == Numbers(n=12, top=10)


BAD = {
    "unknown field": (
        "name: t\nstages:\n  numbers:\n    nn: 3\n",
        "recipe.yaml:4: stages.numbers.nn: there is no field 'nn' (did you mean 'n'?)",
    ),
    "unknown top field": (
        "name: t\nsede: 1\nstages: {numbers: }\n",
        "recipe.yaml:2: sede: there is no field 'sede' (did you mean 'seed'?)",
    ),
    "unknown nested field": (
        "name: t\nengine: {dtpe: auto}\nstages: {numbers: }\n",
        "recipe.yaml:2: engine.dtpe: there is no field 'dtpe' (did you mean 'dtype'?)",
    ),
    "unknown resource": (
        "name: t\nresources:\n  batchrows: 3\nstages: {numbers: }\n",
        "recipe.yaml:3: resources.batchrows: there is no field 'batchrows' (did you mean 'batch_rows'?)",
    ),
    "unknown field near kind": (
        "name: t\nstages: {numbers: {kindd: numbers}}\n",
        "there is no field 'kindd' (did you mean 'kind'?)",
    ),
    "unknown stage": (
        "name: t\nstages:\n  numbres:\n",
        "recipe.yaml:3: stages.numbres: there is no stage kind 'numbres' (did you mean 'numbers'?)",
    ),
    "unknown kind": (
        "name: t\nstages:\n  a: {kind: squars}\n",
        "recipe.yaml:3: stages.a.kind: there is no stage kind 'squars' (did you mean 'squares'?)",
    ),
    "unknown role": (
        "name: t\nstages:\n  squares: {needs: {number: x}}\n",
        "stages.squares.needs.number: a squares stage has no role 'number' (did you mean 'numbers'?)",
    ),
    "unknown need": (
        "name: t\nstages:\n  squares: {needs: {numbers: numbrs}}\n",
        "stage 'squares' needs 'numbrs', which is no stage of this recipe (did you mean 'numbers'?)",
    ),
    "needs is no mapping": (
        "name: t\nstages:\n  squares: {needs: [a]}\n",
        "stages.squares.needs: this is a mapping of roles to stages",
    ),
    "wrong type": (
        "name: t\nstages:\n  numbers:\n    n: many\n",
        "recipe.yaml:4: stages.numbers.n: input should be a valid integer, unable to parse string as an integer "
        "(it is 'many')",
    ),
    "out of range": (
        "name: t\nstages:\n  numbers: {n: 0}\n",
        "stages.numbers.n: input should be greater than or equal to 1 (it is 0)",
    ),
    "wrong choice": (
        "name: t\nengine: {dtype: float8}\nstages: {numbers: }\n",
        "engine.dtype: input should be 'auto', 'float32', 'bfloat16' or 'float16' (it is 'float8')",
    ),
    "no name": ("stages: {numbers: }\n", "name: the field 'name' is missing"),
    "no stages": ("name: t\n", "stages: the field 'stages' is missing"),
    "empty stages": ("name: t\nstages: {}\n", "a recipe lists at least one stage"),
    "stages is a list": ("name: t\nstages: [numbers]\n", "recipe.yaml:2: stages: input should be a valid dictionary"),
    "a stage is a number": (
        "name: t\nstages:\n  numbers: 3\n",
        "recipe.yaml:3: stages.numbers: input should be a valid dictionary",
    ),
    "bad stage name": ("name: t\nstages:\n  My-Stage: {kind: numbers}\n", "'My-Stage' can't name a stage"),
    "bad recipe name": ("name: a/b\nstages: {numbers: }\n", "recipe.yaml:1: name: string should match pattern"),
    "no mapping": ("- a\n- b\n", "a recipe is a mapping of fields, not a list"),
    "empty": ("", "the field 'name' is missing (and 1 more)"),
    "bad yaml": ("name: t\nstages:\n  a: [1\n  b: 2\n", "recipe.yaml:4: this is no YAML"),
    "two documents": ("name: t\n---\nname: u\n", "this is no YAML"),
    "a tag": ("name: !!python/object:os.system x\n", "this is no YAML"),
    "a tab": ("name: t\nstages:\n\tnumbers:\n", "recipe.yaml:3: this is no YAML"),
    "a key twice": (
        "name: t\nstages:\n  numbers:\n    n: 1\n    n: 2\n",
        "recipe.yaml:5: 'stages.numbers.n' is written twice (first on line 4)",
    ),
    "circle": (
        "name: t\nstages:\n  squares: {needs: {numbers: total}}\n  total:\n",
        "in a circle: squares -> total -> squares",
    ),
    "a base that is nothing": (
        "name: t\nbase: nowhere\nstages: {numbers: }\n",
        "recipe.yaml:2: base: the base 'nowhere' is no folder that exists and no hub id",
    ),
    "a file that is not there": (
        "name: t\nstages:\n  numbers: {source: gone.jsonl}\n",
        "recipe.yaml:3: stages.numbers.source: there is no file or folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_sentence(load: Load, case: str) -> None:
    text, sentence = BAD[case]
    with pytest.raises(TeachableError) as caught:
        load(text=text)
    assert sentence in caught.value.sentence()
    assert "\n" not in caught.value.sentence()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed", "--set seed: an override is written field=value"),
        ("=3", "--set =3: an override is written field=value"),
        ("a..b=3", "an override is written field=value"),
        ("numbers.nn=3", "--set numbers.nn=3: stages.numbers.nn: there is no field 'nn' (did you mean 'n'?)"),
        ("numbres.n=3", "there is no field 'numbres'"),
        ("seed.x=3", "'seed' holds a value, not further fields"),
        ("numbers.n=[1", "--set numbers.n=[1: the value is no YAML"),
        ("seed=-1", "--set seed=-1: seed: input should be greater than or equal to 0"),
    ],
)
def test_a_bad_override_is_one_sentence(load: Load, override: str, sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        load(override)
    assert sentence in caught.value.sentence()


def test_a_missing_recipe_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"no\.yaml: there is no such recipe\. `teachable init DIR` writes one"):
        load_recipe(tmp_path / "no.yaml", kinds=KINDS)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"this is a folder, not a recipe"):
        load_recipe(tmp_path, kinds=KINDS)


def test_a_binary_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TeachableError, match="this recipe can't be read"):
        load_recipe(tmp_path / "r.yaml", kinds=KINDS)


def test_relative_paths_count_from_the_recipe_and_overrides_from_here(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.txt").write_text("recipe's")
    here = tmp_path / "here"
    here.mkdir()
    (here / "rows.txt").write_text("here's")
    monkeypatch.chdir(here)
    text = "name: t\nstages:\n  numbers: {source: rows.txt}\n"
    assert load(text=text).stage("numbers").config == Numbers(source=tmp_path / "rows.txt")
    assert load("numbers.source=rows.txt", text=text).stage("numbers").config == Numbers(source=here / "rows.txt")
