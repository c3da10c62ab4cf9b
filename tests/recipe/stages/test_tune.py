"""The stage `tune`: two domains tuned for real, frozen, kept in slots, and scored on all domains' questions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.teaching import QUICK, example, prompt, write_base, write_inputs

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.recipe.config import Resources
from teachable.recipe.spec import Permissions, StageContext, StageOutcome
from teachable.recipe.stages import tune
from teachable.records import Progress, Prompt
from teachable.store.digest import model_digest
from teachable.store.files import read_json, read_records, read_rows, write_records
from teachable.train.tune_config import TuneConfig

Run = Callable[..., StageOutcome]


@pytest.fixture(scope="module")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), tokenizer)


def context(run: Path, base: Path, watch: list[Any] | None = None, *, seed: int = 0, **fields: Any) -> StageContext:
    """A stage that is to begin, on folders of the stages before it."""
    permissions = fields.pop("permissions", Permissions())
    roles = {"examples": "select", "prompts": "tasks", "base": "pretrain"}
    (run / "tune").mkdir(exist_ok=True)
    told = watch if watch is not None else []
    return StageContext(
        "tune",
        TuneConfig.model_validate({**QUICK, **fields}),
        seed,
        "key",
        str(base),
        EngineConfig.model_validate({}),
        Resources(workers=1, device="cpu"),
        run,
        run / "tune",
        {role: run / stage for role, stage in roles.items()},
        on_progress=told.append,
        say=told.append,
        permissions=permissions,
    )


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StageOutcome, list[Any]]:
    """A run in which both domains were tuned, what the stage said of itself, and what it told meanwhile."""
    run = tmp_path_factory.mktemp("finished") / "run"
    write_inputs(run, base)
    told: list[Any] = []
    return run, tune.run(context(run, base, told)), told


@pytest.fixture
def run(finished: tuple[Path, StageOutcome, list[Any]], tmp_path: Path) -> Path:
    """A copy of that run, to do something with."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def models_of(run: Path) -> dict[str, int]:
    return {path.name: (path / "model.safetensors").stat().st_mtime_ns for path in (run / "models").iterdir()}


def test_each_domain_has_a_model_that_learnt_it_and_not_the_other(finished: tuple[Path, StageOutcome, Any]) -> None:
    run, outcome, _ = finished
    rows = read_rows(run / "tune/scores.parquet")
    assert {row["model"] for row in rows} == {"base", "nines-0", "sevens-0"}
    test = {one.id for one in read_records(run / "tune/test.parquet", Prompt)}
    dev = {one.id for one in read_records(run / "tune/dev.parquet", Prompt)}
    assert {row["prompt_id"] for row in rows} == test
    assert len(test) == len(dev) == 12 and not test & dev
    right = {(row["arm"], row["domain"]): 0 for row in rows}
    for row in rows:
        right[row["arm"], row["domain"]] += row["n_correct"]
    assert right == {
        (arm, domain): 12 if arm == domain else 0
        for arm in ("base", "nines", "sevens")
        for domain in ("nines", "sevens")
    }
    assert outcome.requires == (Path("models/tune-nines-0"), Path("models/tune-sevens-0"))


def test_tables_say_how_each_model_came_to_be(finished: tuple[Path, StageOutcome, Any]) -> None:
    run, outcome, _ = finished
    runs = read_rows(run / "tune/runs.parquet")
    assert [(row["arm"], row["seed"], row["path"]) for row in runs] == [
        ("nines", 0, "models/tune-nines-0"),
        ("sevens", 0, "models/tune-sevens-0"),
    ]
    evaluations = read_rows(run / "tune/evaluations.parquet")
    curves = read_rows(run / "tune/curves.parquet")
    for row in runs:
        assert row["digest"] == model_digest(run / row["path"])
        assert row["stopped"] == "plateau"
        mine = [one for one in evaluations if one["arm"] == row["arm"]]
        assert [one["step"] for one in mine] == list(range(0, row["n_steps"] + 1, 6))
        [best] = [one for one in mine if one["is_best"]]
        assert (best["step"], best["score"]) == (row["best_step"], row["dev_score"])
        assert [one["is_gain"] for one in mine[-2:]] == [False, False]  # the patience of two
        assert all(one["low"] <= one["score"] <= one["high"] for one in mine)
        assert [one["step"] for one in curves if one["arm"] == row["arm"]] == list(range(row["n_steps"]))
    stats = read_json(run / "tune/stats.json")
    assert stats["domains"] == ["nines", "sevens"]
    assert (stats["path"], stats["digest"]) == (runs[0]["path"], runs[0]["digest"])
    assert stats["tokens"] == outcome.tokens_out == outcome.tokens_spent == sum(row["n_tokens"] for row in runs)
    assert TuneConfig.model_validate(stats["settings"]) == TuneConfig.model_validate(QUICK)
    assert [one["n_steps"] for one in stats["ended"]] == [row["n_steps"] for row in runs]
    for gain in stats["gains"]:
        assert (gain["base"], gain["tuned"], gain["gain"], gain["metric"]) == (0.0, 1.0, 1.0, "pass@1")
        assert 0 < gain["low"] < gain["high"] == 1.0


def test_progress_is_told_in_steps(finished: tuple[Path, StageOutcome, list[Any]]) -> None:
    told = [one for one in finished[2] if isinstance(one, Progress) and one.unit == "steps"]
    assert {one.total for one in told} == {48}
    assert (told[0].done, told[-1].done) == (0, 48)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert any(one.unit == "models" for one in finished[2] if isinstance(one, Progress))  # the scoring after it


def test_what_was_tuned_on_is_frozen(finished: tuple[Path, StageOutcome, Any]) -> None:
    run, _, _ = finished
    stats = read_json(run / "tune/stats.json")
    for domain in ("nines", "sevens"):
        facts = read_json(run / f"tuned/frozen/{domain}.json")
        assert {name: facts[name] for name in ("hash", "n_examples", "n_tokens")} == stats["frozen"][domain]
        assert facts["mix"] == {"levels": {"0": 8, "1": 8}}
        rows = read_rows(run / f"tuned/frozen/{domain}.jsonl")
        assert {row["prompt_id"] for row in rows} == {f"{domain}{i:03}" for i in range(16)}
    # Nothing of the work is left behind.
    left = [path.name for folder in ("tune", "tuned", "tuned/frozen") for path in (run / folder).glob(".*")]
    assert left == []


def test_a_second_run_trains_and_asks_nothing(run: Path, base: Path) -> None:
    before, scores = models_of(run), read_rows(run / "tune/scores.parquet")
    told: list[Any] = []
    outcome = tune.run(context(run, base, told))
    assert outcome.tokens_spent == 0
    assert models_of(run) == before
    assert read_rows(run / "tune/scores.parquet") == scores


def test_another_domain_leaves_what_was_tuned_as_it_is(base: Path, run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    write_inputs(alone, base)
    tune.run(context(alone, base, domains=("sevens",)))
    frozen, before = (alone / "tuned/frozen/sevens.jsonl").read_bytes(), models_of(alone)
    assert read_json(alone / "tune/stats.json")["domains"] == ["sevens"]
    assert not (alone / "tuned/frozen/nines.json").exists()
    outcome = tune.run(context(alone, base, domains=("sevens", "nines")))
    stats = read_json(alone / "tune/stats.json")
    assert stats["domains"] == ["sevens", "nines"]
    assert outcome.tokens_spent == read_rows(alone / "tune/runs.parquet")[1]["n_tokens"]
    assert {name: at for name, at in models_of(alone).items() if name in before} == before
    assert (alone / "tuned/frozen/sevens.jsonl").read_bytes() == frozen
    # The order in which domains are named changes nothing of the models.
    digests = {row["arm"]: row["digest"] for row in read_rows(run / "tune/runs.parquet")}
    assert {row["arm"]: row["digest"] for row in read_rows(alone / "tune/runs.parquet")} == digests


def test_a_change_of_the_selection_is_refused_unless_asked_for(run: Path, base: Path) -> None:
    frozen = (run / "tuned/frozen/sevens.json").read_bytes()
    other = [example("nines", i) for i in range(16)] + [example("sevens", i) for i in range(2, 19)]
    write_records(run / "select/examples.jsonl", other)
    before = models_of(run)
    with pytest.raises(TeachableError) as caught:
        tune.run(context(run, base))
    assert caught.value.sentence() == (
        "tune: the selection would change the frozen set of the domain 'sevens': 3 of its 17 examples are new and 2 "
        "are gone, the first being of prompt sevens016. Bring the selection back, or replace the frozen set with "
        "--refreeze sevens."
    )
    assert models_of(run) == before
    assert (run / "tuned/frozen/sevens.json").read_bytes() == frozen
    tune.run(context(run, base, permissions=Permissions(refreeze=("sevens",))))
    after = models_of(run)
    assert after["tune-nines-0"] == before["tune-nines-0"]
    assert after["tune-sevens-0"] != before["tune-sevens-0"]
    assert read_json(run / "tuned/frozen/sevens.json")["n_examples"] == 17
    tune.run(context(run, base))  # and now that is what is frozen
    assert models_of(run) == after


def test_the_selections_order_is_no_change(run: Path, base: Path) -> None:
    rows = [example(domain, i) for i in reversed(range(16)) for domain in ("sevens", "nines")]
    write_records(run / "select/examples.jsonl", rows)
    before = models_of(run)
    assert tune.run(context(run, base)).tokens_spent == 0
    assert models_of(run) == before


def test_a_set_that_loses_all_its_examples_is_refused_as_a_change(run: Path, base: Path) -> None:
    write_records(run / "select/examples.jsonl", [example("nines", i) for i in range(16)])
    with pytest.raises(TeachableError, match="0 of its 0 examples are new and 16 are gone"):
        tune.run(context(run, base, domains=("sevens",)))
    with pytest.raises(TeachableError, match="no example of the domain 'sevens' was selected"):
        tune.run(context(run, base, domains=("sevens",), permissions=Permissions(refreeze=("sevens",))))


@pytest.mark.parametrize("changed", ["learning_rate", "seed", "dev"])
def test_whatever_the_model_is_made_from_has_it_tuned_anew(run: Path, base: Path, changed: str) -> None:
    before = models_of(run)
    fields: dict[str, Any] = {"domains": ("sevens",), "max_steps": 6}
    if changed == "learning_rate":
        fields["learning_rate"] = 1e-3
    if changed == "dev":
        held = read_records(run / "tasks/heldout.parquet", Prompt)
        write_records(run / "tasks/heldout.parquet", [*held, *(prompt("sevens", 200 + i) for i in range(4))])
    outcome = tune.run(context(run, base, seed=int(changed == "seed"), **fields))
    assert outcome.tokens_spent
    after = models_of(run)
    assert after["tune-nines-0"] == before["tune-nines-0"]
    if changed == "seed":
        assert after["tune-sevens-0"] == before["tune-sevens-0"]
        assert "tune-sevens-1" in after
    else:
        assert after["tune-sevens-0"] != before["tune-sevens-0"]


def test_seeds_are_models_of_their_own_and_one_interval(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_inputs(run, base, domains=("sevens",))
    tune.run(context(run, base, seeds=2, max_steps=6, seed=4))
    rows = read_rows(run / "tune/runs.parquet")
    assert [row["seed"] for row in rows] == [4, 5]
    assert rows[0]["digest"] != rows[1]["digest"]
    stats = read_json(run / "tune/stats.json")
    assert stats["seeds"] == [4, 5]
    assert stats["gains"][0]["n_seeds"] == 2
    assert {row["stopped"] for row in rows} == {"max_steps"}


def test_training_rows_that_overlap_the_held_out_questions_are_refused(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_inputs(run, base)
    taught = replace(example("sevens", 99), messages=example("sevens", 105).messages)
    write_records(run / "select/examples.jsonl", [*(example("sevens", i) for i in range(15)), taught])
    with pytest.raises(TeachableError) as caught:
        tune.run(context(run, base, domains=("sevens",)))
    assert "1 of 16 training rows overlap the 24 held-out questions: examples.jsonl, row 16" in str(caught.value)
    assert [row["question_id"] for row in read_rows(run / "tune/overlaps.jsonl")] == ["sevens105"]
    assert not (run / "models").exists()
    tune.run(context(run, base, domains=("sevens",), max_steps=2, allow_overlap=True))
    assert read_json(run / "tune/stats.json")["n_overlaps"] == 1


def without_template(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = {name: value for name, value in json.loads(path.read_text()).items() if name != "chat_template"}
    path.write_text(json.dumps(config))
    (folder / "chat_template.jinja").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("empty", "tune: the selection holds no examples to train on"),
        ("unknown", "tune: there is no domain 'seven' in this run (did you mean 'sevens'?)"),
        ("unselected", "tune: no example of the domain 'nines' was selected, so there is nothing to train on"),
        ("heldout", "the domain 'sevens' has 1 held-out question beside those of benchmarks, and two are the least"),
        ("judge", "questions of the domain 'sevens' are decided by a judge (verifier 'judge')"),
        ("refreeze", "--refreeze: the domain 'nines' is not among those that are tuned"),
        ("template", "has no chat template"),
    ],
)
def test_what_can_not_be_tuned_is_one_sentence(base: Path, tmp_path: Path, fault: str, sentence: str) -> None:
    run, mine = tmp_path / "run", Path(shutil.copytree(base, tmp_path / "base"))
    write_inputs(run, mine, domains=("sevens", "nines"))
    fields: dict[str, Any] = {"domains": ("sevens",), "max_steps": 2}
    held = [prompt("sevens", 100 + i) for i in range(6)]
    if fault == "empty":
        write_records(run / "select/examples.jsonl", [])
        fields["domains"] = ()
    if fault == "unknown":
        fields["domains"] = ("seven",)
    if fault == "unselected":
        write_records(run / "select/examples.jsonl", [example("sevens", i) for i in range(16)])
        fields["domains"] = ("nines",)
    if fault == "heldout":
        write_records(run / "tasks/heldout.parquet", held[:1])
    if fault == "judge":
        write_records(run / "tasks/heldout.parquet", [replace(one, verifier="judge") for one in held])
    if fault == "refreeze":
        fields["permissions"] = Permissions(refreeze=("nines",))
    if fault == "template":
        without_template(mine)
    with pytest.raises(TeachableError) as caught:
        tune.run(context(run, mine, **fields))
    assert sentence in caught.value.sentence()
    assert not list((run / "tuned/frozen").glob("*.json")) if (run / "tuned").exists() else True
    assert not (run / "tune/stats.json").exists()


def test_benchmarks_neither_steer_nor_judge(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_inputs(run, base, domains=("sevens",))
    held = read_records(run / "tasks/heldout.parquet", Prompt)
    exam = [replace(prompt("sevens", 300 + i), meta={"benchmark": "exam"}) for i in range(8)]
    write_records(run / "tasks/heldout.parquet", [*held, *exam])
    tune.run(context(run, base, max_steps=2))
    asked = {one.id for name in ("dev", "test") for one in read_records(run / f"tune/{name}.parquet", Prompt)}
    assert asked == {one.id for one in held}


def test_domains_may_have_any_name(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_inputs(run, base, domains=("code/py thon", "code/py-thon"), n=8, n_heldout=4)
    tune.run(context(run, base, max_steps=2))
    paths = [row["path"] for row in read_rows(run / "tune/runs.parquet")]
    assert len(set(paths)) == 2
    assert all(path.startswith("models/tune-code-py-thon-") and path.count("/") == 1 for path in paths)
    assert set(read_json(run / "tune/stats.json")["frozen"]) == {"code/py thon", "code/py-thon"}
