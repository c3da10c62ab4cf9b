"""Model cards: the hub's own library reads them, their numbers are those of the files, and nobody's words are lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.report.test_markdown import parsed

from teachable.engines.config import EngineConfig
from teachable.recipe.config import Resources
from teachable.recipe.spec import StageContext
from teachable.recipe.stages.report import run as run_stage
from teachable.report import ReportConfig, ReportFiles, build_report
from teachable.report.cards.source import hub_data
from teachable.report.cards.write import CARD, may_write
from teachable.store.digest import model_digest
from teachable.store.files import read_json, read_rows, write_json, write_rows
from teachable.store.manifest import RunFolder, StageEntry
from teachable.train.config import PretrainConfig

CARDS = ("teachable", "random", "mastered", "beyond")
TAUGHT = "models/sft-teachable-1"


def with_models(run: Path) -> Path:
    """A folder for each model that the run's stages say they have trained."""
    for table in run.glob("*/runs.parquet"):
        for row in read_rows(table):
            (run / row["path"]).mkdir(parents=True, exist_ok=True)
            (run / row["path"] / "config.json").write_text("{}")
    return run


def head_of(card: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.read_text(encoding="utf-8").split("\n---\n")[0].removeprefix("---\n"))
    return found


def code_of(card: Path, language: str) -> str:
    fences = [one for one in parsed(card.read_text(encoding="utf-8")) if one.type == "fence" and one.info == language]
    return fences[0].content


@pytest.fixture(scope="module")
def carded(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReportFiles]:
    run = with_models(Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("cards") / "quickstart")))
    return run, build_report(run)


@pytest.fixture
def own(run_copy: Path) -> Path:
    """A run with models, of the test's own."""
    return with_models(run_copy)


def test_every_trained_model_has_a_card(carded: tuple[Path, ReportFiles]) -> None:
    run, files = carded
    models = {run / "models" / f"sft-{arm}-{seed}" / CARD for arm in CARDS for seed in (0, 1, 2)}
    assert set(files.cards) == {*models, run / "select" / CARD} == set(run.rglob(CARD))
    assert files.kept == ()


def test_the_hub_reads_a_card_and_its_results_are_the_models_own(carded: tuple[Path, ReportFiles]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    run, _ = carded
    card = hub.ModelCard.load(run / TAUGHT / CARD)
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.language) == ("transformers", "text-generation", None)
    assert data.license is None and data.base_model is None and "license" not in data.to_dict()
    assert data.tags == ["teachable", "sft"] and data.model_name == "sft-teachable-1"
    mine = [row for row in read_rows(run / "evaluate/scores.parquet") if row["model"] == "teachable-1"]
    n = len(mine)
    expected = {
        "pass@1": sum(row["n_correct"] / row["n"] for row in mine) / n,
        "greedy": sum(row["greedy"] for row in mine) / n,
        "maj@4": sum(row["majority"] for row in mine) / n,
    }
    assert {one.metric_type: one.metric_value for one in data.eval_results} == pytest.approx(expected, abs=1e-6)
    assert {(one.task_type, one.dataset_name) for one in data.eval_results} == {
        ("text-generation", "held-out questions")
    }
    again = hub.ModelCard(str(card))
    assert again.data.to_dict() == data.to_dict() and "# sft-teachable-1" in again.text


def test_a_card_says_what_it_was_trained_on_and_how_it_did(carded: tuple[Path, ReportFiles]) -> None:
    run, _ = carded
    card = (run / TAUGHT / CARD).read_text(encoding="utf-8")
    trained = next(row for row in read_rows(run / "sft/runs.parquet") if row["path"] == TAUGHT)
    assert f"{trained['n_examples']} worked examples (`select/examples/teachable-1.jsonl`)" in card
    assert (
        f"{trained['n_steps']} steps, {trained['n_tokens']:,} tokens" in card and "`learning_rate` | `0.0004`" in card
    )
    stats = read_json(run / "evaluate/stats.json")
    arm = next(one for one in stats["arms"] if one["arm"] == "teachable")["metrics"]["pass@1"]
    mean, low, high = (f"{100 * arm[name]:.1f}" for name in ("mean", "low", "high"))
    assert (
        f"| `teachable` | {mean} ({low} to {high}) |" in card and "mean of 3 models that differ in their seed" in card
    )
    assert stats["verdict"]["sentence"].replace("+", "+") in card
    assert "## What is not known" in card and "No licence is stated" in card
    assert yaml.safe_load(code_of(run / TAUGHT / CARD, "yaml"))["name"] == "quickstart"
    assert "It is a control" in (run / "models/sft-random-0" / CARD).read_text(encoding="utf-8")
    assert "somebody" not in card and str(run) not in card


def test_a_base_of_the_hub_is_named_and_no_other(own: Path) -> None:
    recipe = own / "run.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("base: embedded", "base: some-org/Some-Model-0.5B"))
    build_report(own)
    head = head_of(own / TAUGHT / CARD)
    assert (head["base_model"], head["base_model_relation"]) == ("some-org/Some-Model-0.5B", "finetune")
    recipe.write_text(text.replace("base: embedded", f"base: {own}/base"))  # which becomes quickstart/base on a page
    build_report(own)
    assert "base_model" not in head_of(own / TAUGHT / CARD)
    assert "a local folder (`base`)" in (own / TAUGHT / CARD).read_text(encoding="utf-8")


def test_languages_are_told_where_they_are_known(own: Path) -> None:
    stats = read_json(own / "tasks/stats.json")
    write_json(own / "tasks/stats.json", {**stats, "source": "reasoning_gym"})
    build_report(own)
    assert head_of(own / TAUGHT / CARD)["language"] == "en"
    write_json(own / "tasks/stats.json", {**stats, "source": "/srv/secret-client/questions.jsonl"})
    build_report(own)
    assert "language" not in head_of(own / TAUGHT / CARD)
    card = (own / TAUGHT / CARD).read_text(encoding="utf-8")
    assert "`questions.jsonl`" in card and "secret-client" not in card


def test_scores_of_benchmarks_carry_the_data_sets_name(own: Path) -> None:
    stats = read_json(own / "tasks/stats.json")
    benchmarks = [
        {"name": "chain_sum", "title": "Chain sums", "data": f"openai/gsm8k@{'e5' * 20} (main)"},
        {"name": "leg_counting", "title": "Legs", "data": "/home/somebody/legs.jsonl"},
    ]
    write_json(own / "tasks/stats.json", {**stats, "benchmarks": benchmarks})
    rows = read_rows(own / "evaluate/scores.parquet")
    tasks = {"chain_sum", "leg_counting"}
    named = [{**row, "task": row["domain"] if row["domain"] in tasks else "heldout", "score": 0.25} for row in rows]
    write_rows(own / "evaluate/scores.parquet", named)
    build_report(own)
    results = {one["dataset"]["name"]: one for one in head_of(own / TAUGHT / CARD)["model-index"][0]["results"]}
    assert set(results) == {"Chain sums", "Legs", "held-out questions"}
    assert results["Chain sums"]["dataset"] == {
        "name": "Chain sums",
        "type": "openai/gsm8k",
        "config": "main",
        "revision": "e5" * 20,
    }
    assert results["Legs"]["dataset"]["type"] == "leg_counting"
    assert {"type": "score", "name": "score", "value": 0.25} in results["Legs"]["metrics"]
    assert "The held-out questions come from the same source" not in (own / TAUGHT / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("openai/gsm8k/main", {"type": "openai/gsm8k", "config": "main"}),
        ("TIGER-Lab/MMLU-Pro", {"type": "TIGER-Lab/MMLU-Pro"}),
        (f"a/b@{'0' * 40}@{'1' * 40} (x, y)", {"type": "a/b", "config": "x, y", "revision": "1" * 40}),
        ("/data/gsm8k", {}),
        ("data/gsm8k.jsonl", {}),
        ("data/gsm8k/test.parquet", {}),
        ("generated by reasoning-gym 0.1.25 with seed 0", {}),
        (None, {}),
    ],
)
def test_data_of_the_hub_is_told_from_files(data: str | None, found: dict[str, str]) -> None:
    assert hub_data(data) == found


def test_an_edited_card_and_a_card_of_ones_own_are_never_overwritten(own: Path) -> None:
    first = build_report(own)
    assert len(first.cards) == 13
    edited, handmade, linked = own / TAUGHT / CARD, own / "models/sft-random-0" / CARD, own / "select" / CARD
    edited.write_text(
        edited.read_text(encoding="utf-8")
        .replace("## Limits", "")
        .replace("library_name", "license: mit\nlibrary_name")
    )
    handmade.write_text("# My model\n")
    linked.unlink()
    linked.symlink_to(handmade)
    before = {path: path.read_bytes() for path in (edited, handmade)}
    shutil.rmtree(own / "evaluate")  # so that every card would be another
    again = build_report(own)
    assert set(again.kept) == {edited, handmade, linked} and len(again.cards) == 10
    assert {path: path.read_bytes() for path in before} == before and linked.is_symlink()
    assert "It has not been evaluated" in (own / "models/sft-random-1" / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize("change", ["", " ", "\r\n"])
def test_any_change_makes_a_card_somebodys_own(own: Path, change: str) -> None:
    build_report(own)
    card = own / TAUGHT / CARD
    assert may_write(card) and may_write(card.with_name("other.md"))
    text = card.read_bytes()
    card.write_bytes(text + change.encode() if change != "\r\n" else text.replace(b"\n", b"\r\n"))
    assert may_write(card) is (change == "")


def test_the_same_run_gives_the_same_cards_and_leaves_them_untouched(own: Path) -> None:
    files = build_report(own)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files.cards}
    assert build_report(own).cards == files.cards
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files.cards} == before


def test_a_card_changes_neither_a_model_nor_a_finished_stage(own: Path) -> None:
    run = RunFolder(own)
    write_json(own / "manifest.json", {"recipe": "quickstart", "format": 1, "stages": {}})
    with run.locked("quickstart"):
        for stage, kind in (("select", "select"), ("sft", "sft"), ("evaluate", "evaluate")):
            outside = ("models/sft-*",) if stage == "sft" else ()
            run.complete(stage, StageEntry(kind=kind, key="ab", version=1), outside=outside)
    digest = model_digest(own / TAUGHT)
    files = build_report(own)
    assert own / TAUGHT / CARD in files.cards and own / "select" / CARD in files.cards
    assert model_digest(own / TAUGHT) == digest
    assert all(run.is_complete(stage, "ab") for stage in ("select", "sft", "evaluate")) and run.damaged() == []


def test_a_retrained_model_gets_a_new_card(own: Path) -> None:
    build_report(own)
    old = (own / TAUGHT / CARD).read_text(encoding="utf-8")
    row = next(row for row in read_rows(own / "sft/runs.parquet") if row["path"] == TAUGHT)
    run = RunFolder(own)
    run.begin("sft", "another key", outside=("models/sft-*",))
    assert not (own / TAUGHT).exists()
    assert not [path for path in build_report(own).cards if "models" in path.parts]  # the stage is not finished
    write_rows(own / "sft/runs.parquet", [{**row, "digest": "ef" * 32, "n_examples": 7}])
    with_models(own)
    run.complete("sft", StageEntry(kind="sft", key="another key", version=1), outside=("models/sft-*",))
    build_report(own)
    new = (own / TAUGHT / CARD).read_text(encoding="utf-8")
    assert "7 worked examples" in new and "ef" * 32 in new and new != old


def test_models_that_the_run_does_not_keep_get_no_card(own: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    rows = read_rows(own / "sft/runs.parquet")
    for row, path in zip(rows, (str(elsewhere), "../elsewhere", "models/sft-gone-0"), strict=False):
        row["path"] = path
    write_rows(own / "sft/runs.parquet", rows)
    files = build_report(own)
    assert len(files.cards) == 13 - 3 and not list(elsewhere.iterdir()) and not (own / "models/sft-gone-0").exists()


def test_models_trained_on_pairs_have_cards_too(searched_run: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    run = Path(shutil.copytree(searched_run, tmp_path / "quickstart"))
    models = []
    for table in (run / "dpo/runs.parquet", run / "later/runs.parquet"):
        rows = [{**row, "path": f"models/{table.parent.name}-{row['seed']}"} for row in read_rows(table)]
        write_rows(table, rows)
        models += [run / row["path"] / CARD for row in rows]
    files = build_report(with_models(run))
    assert len(models) > 1 and set(models) <= set(files.cards)
    for path in models:
        card = hub.ModelCard.load(path)
        assert "dpo" in card.data.tags and card.data.eval_results is None
        assert "pairs of a chosen and a rejected continuation" in card.text and "It has not been evaluated" in card.text


def test_hostile_names_stay_text(own: Path) -> None:
    attack = "x\n---\nlicense: mit\n`</p><script>alert(1)</script>@octocat | y"
    (own / "run.yaml").write_text(yaml.safe_dump({**yaml.safe_load((own / "run.yaml").read_text()), "name": attack}))
    stats = read_json(own / "evaluate/stats.json")
    stats["verdict"]["sentence"] = attack
    write_json(own / "evaluate/stats.json", stats)
    rows = read_rows(own / "sft/runs.parquet")
    write_rows(own / "sft/runs.parquet", [{**row, "backend": attack} for row in rows])
    build_report(own)
    head = head_of(own / TAUGHT / CARD)
    assert "license" not in head
    _, _, body = (own / TAUGHT / CARD).read_text(encoding="utf-8").partition("\n---\n")
    raw = [one.content for one in parsed(body) if one.type.startswith("html")]
    assert len(raw) == 1 and raw[0].startswith("<!-- Written from the run by teachable")
    assert "license: mit" not in [line.strip() for line in re.sub(r"(?ms)^(`{3,}).*?^\1$", "", body).splitlines()]


def test_the_snippet_answers(own: Path, small_config: PretrainConfig, tokenizer: Any) -> None:
    from teachable.train.embedded import build_model, save_model

    folder = own / TAUGHT
    save_model(build_model(small_config, tokenizer), tokenizer, folder)
    build_report(own)
    assert {path.name for path in folder.iterdir()} >= {CARD, "config.json", "model.safetensors", "tokenizer.json"}
    code = code_of(folder / CARD, "python")
    assert "max_new_tokens=256" in code and 'name = "sft-teachable-1"' in code
    shorter = code.replace("max_new_tokens=256", "max_new_tokens=4")
    result = subprocess.run(
        [sys.executable, "-c", shorter],
        cwd=own / "models",
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr.lower() and result.stdout


@pytest.mark.parametrize(
    ("n_overlaps", "said"),
    [(0, "none overlaps one"), (3, "**3 rows overlap held-out questions**"), (None, "")],
)
def test_overlaps_with_the_evaluation_are_told(own: Path, n_overlaps: int | None, said: str) -> None:
    recipe = yaml.safe_load((own / "run.yaml").read_text())
    recipe["stages"]["sft"]["needs"] = {"examples": "select", "base": "pretrain"}
    (own / "run.yaml").write_text(yaml.safe_dump(recipe))
    write_json(own / "sft/stats.json", {**read_json(own / "sft/stats.json"), "n_overlaps": n_overlaps})
    build_report(own)
    for card in (own / TAUGHT / CARD, own / "select" / CARD):
        text = card.read_text(encoding="utf-8")
        assert said in text and text.count("overlaps one") + text.count("rows overlap") == (n_overlaps is not None)


def test_the_stage_says_which_cards_it_left_alone(own: Path) -> None:
    (own / TAUGHT / CARD).write_text("# My model\n")
    said: list[str] = []
    context = StageContext(
        name="report",
        config=ReportConfig(),
        seed=0,
        key="ab",
        base="embedded",
        engine=EngineConfig(),
        resources=Resources(),
        run=own,
        folder=own / "report",
        inputs={"tasks": own / "tasks"},
        on_progress=lambda progress: None,
        say=said.append,
    )
    outcome = run_stage(context)
    assert said == [f"cards that somebody has written or edited are left as they are: {TAUGHT}/{CARD}"]
    stats = read_json(own / "report/stats.json")
    assert stats["kept_cards"] == [f"{TAUGHT}/{CARD}"] and len(stats["cards"]) == 12
    assert outcome.note == str(own / "report.html")


def test_the_pages_on_cards_name_every_field_and_a_command_that_there_is(own: Path) -> None:
    docs = (Path(__file__).resolve().parents[2] / "docs" / "cards.md").read_text(encoding="utf-8")
    recipe = (own / "run.yaml").read_text()
    (own / "run.yaml").write_text(recipe.replace("base: embedded", "base: org/name"))
    write_json(own / "tasks/stats.json", {**read_json(own / "tasks/stats.json"), "source": "reasoning_gym"})
    build_report(own)
    for card in (own / TAUGHT / CARD, own / "select" / CARD):
        told = {name for name in head_of(card) if f"`{name}`" in docs}
        assert told == set(head_of(card)) - {"base_model_relation"}
    hf = shutil.which("hf", path=str(Path(sys.executable).parent))
    if hf is None:
        pytest.skip("huggingface_hub is not installed")
    commands = [line.split() for line in docs.splitlines() if line.startswith("hf ")]
    assert [command[:2] for command in commands] == [["hf", "auth"], ["hf", "upload"], ["hf", "upload"]]
    help_text = subprocess.run([hf, "upload", "--help"], capture_output=True, text=True, timeout=60).stdout
    options = {word for command in commands for word in command if word.startswith("--")}
    assert options == {"--type", "--exclude"} and all(option in help_text for option in options)


def test_cards_need_neither_the_hubs_library_nor_torch(own: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom teachable.report import build_report\n"
        "print(len(build_report(Path(sys.argv[1])).cards))\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'huggingface_hub'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program, own], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines() == ["13", "[]"], result.stderr
