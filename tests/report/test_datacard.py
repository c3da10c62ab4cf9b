"""Data cards: `datasets` opens every configuration that a card names, and counts and columns are the files'."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.report.test_cards import CARD, code_of, head_of

from teachable.report import build_report
from teachable.report.cards.columns import COLUMNS, shape_of
from teachable.store.files import read_json, read_rows, write_json, write_rows


@pytest.fixture(scope="module")
def carded(searched_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a selection, a search and judged pairs, and their cards."""
    run = Path(shutil.copytree(searched_run, tmp_path_factory.mktemp("data") / "quickstart"))
    rows = read_rows(run / "select/examples/teachable-0.jsonl")
    write_rows(run / "select/examples.jsonl", list({row["prompt_id"]: row for row in rows}.values()))
    (run / "select/examples/beyond-2.jsonl").write_text("")  # an arm that found nothing
    build_report(run)
    return run


def folders(run: Path) -> list[Path]:
    return sorted(path.parent for path in run.glob(f"*/{CARD}"))


def test_selections_and_pairs_have_cards(carded: Path) -> None:
    assert [one.name for one in folders(carded)] == ["judge_pairs", "pivot", "select"]


def test_the_hub_reads_the_heads(carded: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    for folder in folders(carded):
        data = hub.DatasetCard.load(folder / CARD).data
        assert data.task_categories == ["text-generation"] and data.size_categories == ["n<1K"]
        assert data.license is None and data.pretty_name.startswith("quickstart: ")
        assert data.to_dict()["configs"][0]["default"] is True


def test_datasets_opens_every_configuration(carded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for folder in folders(carded):
        configs = {one["config_name"]: one["data_files"][0]["path"] for one in head_of(folder / CARD)["configs"]}
        assert set(datasets.get_dataset_config_names(str(folder))) == set(configs)
        for name, file in configs.items():
            rows = datasets.load_dataset(str(folder), name, split="train", cache_dir=str(tmp_path))
            wanted = read_rows(folder / file)
            assert len(rows) == len(wanted) == shape_of(folder / file).n_rows > 0
            assert rows.column_names == list(wanted[0])
            assert rows[0]["prompt_id"] == wanted[0]["prompt_id"]
    whole = datasets.load_dataset(str(carded / "select"), split="train", cache_dir=str(tmp_path))  # by default
    assert len(whole) == len(read_rows(carded / "select/examples.jsonl"))


def test_the_snippet_opens_what_it_says(carded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.chdir(carded)
    found: dict[str, Any] = {}
    exec(code_of(carded / "select" / CARD, "python"), found)
    assert len(found["pool"]) == len(read_rows(carded / "select/examples.jsonl"))
    assert len(found["decisions"]) == len(read_rows(carded / "select/decisions.parquet"))


def test_every_set_that_holds_something_is_named(carded: Path) -> None:
    names = [one["config_name"] for one in head_of(carded / "select" / CARD)["configs"]]
    sets = {path.stem for path in (carded / "select/examples").glob("*.jsonl")} - {"beyond-2"}
    assert names[:4] == ["pool", "teachable-0", "teachable-1", "teachable-2"] and "decisions" not in names
    assert set(names) == {"pool", *sets}


def test_counts_and_columns_are_those_of_the_files(carded: Path) -> None:
    card = (carded / "select" / CARD).read_text(encoding="utf-8")
    decisions = read_rows(carded / "select/decisions.parquet")
    assert f"| `decisions` | `decisions.parquet` | {len(decisions)} |" in card
    for zone in {one["zone"] for one in decisions}:
        inside = sum(one["zone"] == zone and one["decision"] == "in" for one in decisions)
        outside = sum(one["zone"] == zone and one["decision"] == "out" for one in decisions)
        assert f"| {zone} | {inside} | {outside} |" in card
    assert "| `exact` | program | 450 |" in card and "| `level` | `int64` |" in card
    assert "150 questions were held out" in card and "| near-duplicate of a held-out question | 17 |" in card
    assert "from datasets import load_dataset" in code_of(carded / "select" / CARD, "python")
    assert "**Licence.** None is stated" in card and "**Personal data.**" in card
    pairs = (carded / "pivot" / CARD).read_text(encoding="utf-8")
    n_pairs = read_json(carded / "pivot/stats.json")["n_pairs"]
    assert f"{n_pairs} pairs from" in pairs and "| `chosen` | `string` | the preferred continuation |" in pairs
    for folder in folders(carded):
        for one in head_of(folder / CARD)["configs"]:
            columns = shape_of(folder / one["data_files"][0]["path"]).columns
            assert all(kind for _, kind in columns)


def test_no_column_of_the_package_lacks_its_meaning() -> None:
    from teachable.prefer import tables
    from teachable.recipe.stages.pivot import SCHEMAS

    judged = (tables._preferences_schema(), tables._responses_schema(), tables._comparisons_schema())
    names = {name for schema in (*judged, *SCHEMAS.values()) for name in schema.names}
    assert not names - set(COLUMNS)


def test_the_users_own_file_is_told_by_its_name_alone(run_copy: Path) -> None:
    stats = read_json(run_copy / "tasks/stats.json")
    benchmarks = [{"name": "gsm8k", "title": "GSM8K", "data": "openai/gsm8k"}]
    source = {"source": "/srv/secret-client/questions.jsonl", "benchmarks": benchmarks}
    write_json(run_copy / "tasks/stats.json", {**stats, **source})
    build_report(run_copy)
    card = (run_copy / "select" / CARD).read_text(encoding="utf-8")
    assert "`questions.jsonl`" in card and "secret-client" not in card and "Benchmarks among them: GSM8K." in card
    assert "language" not in head_of(run_copy / "select" / CARD)


def test_an_unfinished_selection_has_no_card(run_copy: Path) -> None:
    manifest = read_json(run_copy / "manifest.json")
    manifest["stages"].pop("select")
    write_json(run_copy / "manifest.json", manifest)
    assert build_report(run_copy).cards == ()
    assert not list(run_copy.rglob(CARD))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([{"role": "user"}], "list<struct<role: string>>"),
        (None, "null"),
        (True, "bool"),
        (1.5, "float64"),
        ([], "list"),
    ],
)
def test_types_of_jsonl(tmp_path: Path, value: Any, kind: str) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"x": value}, {"x": value}])
    shape = shape_of(tmp_path / "rows.jsonl")
    assert (shape.n_rows, shape.columns) == (2, (("x", kind),))
