"""Files and folders mixed into a folder: what is read of them, the files, the counts, and what is done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import tiny_model  # noqa: F401
from tests.recipe.watch import Watch
from tests.synthesize.mixing.balance_texts import edited, honest

from teachable.errors import TeachableError
from teachable.recipe.balanced_file import BalancedFile, balance_files, rows_of
from teachable.records import Lineage, Prompt, content_id, to_row
from teachable.store.files import read_json, read_records, read_rows, write_records, write_rows
from teachable.synthesize.items import user
from teachable.synthesize.mixing.balance_config import BalanceConfig
from teachable.tasks.load import read_prompts

FILES = ("prompts.parquet", "examples.jsonl", "stats.json")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path_factory.mktemp("cache")))


def file_of(path: Path, texts: list[str], **columns: Any) -> Path:
    rows = [{"prompt": text, "response": f"so: {text[:9]}", "domain": f"d{i % 2}"} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps({**row, **columns}) + "\n" for row in rows))
    return path


def synthesized(folder: Path, texts: list[str], workflow: str = "augment") -> Path:
    """A folder as `teachable synthesize` leaves it: every second prompt has a response."""
    folder.mkdir()
    history = {"workflow": workflow, "proof": "agreement", "seed": "s"}
    lineage = (Lineage("s", workflow, "p"),)
    prompts = [
        Prompt(content_id(text), "algebra", user(text), "4", "teacher", "math", meta={"synthesis": history, "k": i})
        for i, text in enumerate(texts)
    ]
    prompts = [Prompt(**{**vars(prompt), "lineage": lineage}) for prompt in prompts]
    write_records(folder / "prompts.parquet", prompts)
    examples = [
        {
            "prompt_id": prompt.id,
            "messages": [*prompt.messages, {"role": "assistant", "content": f"Answer: 4 ({i})"}],
            "domain": prompt.domain,
            "level": 0,
            "answer": "4",
            "verifier": "math",
            "why": f"{workflow}: agreement",
            "synthesis": history,
            "lineage": to_row(prompt)["lineage"],
        }
        for i, prompt in enumerate(prompts)
        if i % 2
    ]
    write_rows(folder / "examples.jsonl", examples)
    return folder


def config(**fields: Any) -> BalanceConfig:
    return BalanceConfig.model_validate({"rounds": 20, "topics": 12, **fields})


def balanced(organic: Path, synthetic: Path, out: Path, watch: Watch | None = None, **fields: Any) -> BalancedFile:
    return balance_files([organic], [synthetic], out, config(**fields), watcher=watch or Watch())


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    return file_of(tmp_path / "organic.jsonl", honest(60, 1)), synthesized(tmp_path / "made", honest(90, 2))


def test_the_files_and_the_counts(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    done = balanced(*sides, tmp_path / "o", share=0.4)
    stats = done.stats
    assert stats == read_json(tmp_path / "o/stats.json") and not done.up_to_date
    assert (stats["n_organic"], stats["n_synthetic"], stats["rows"]) == (60, 90, {"organic": 60, "synthetic": 40})
    assert stats["share"] == stats["wanted_share"] == 0.4 and stats["unit"] == "examples"
    assert stats["left_out"] == {"organic": {}, "synthetic": {"more than the share has room for": 50}}
    assert stats["strata"] == {"organic": {"d0": 30, "d1": 30}, "synthetic": {"augment/algebra": 40}}
    prompts = read_records(tmp_path / "o/prompts.parquet", Prompt)
    assert len(prompts) == stats["n_prompts"] == stats["n_pool"] == 100
    origins = [prompt.meta["origin"] for prompt in prompts]
    assert origins.count("synthetic") == 40 and "synthetic" in origins[:20] and "organic" in origins[:20]
    made = next(prompt for prompt in prompts if prompt.meta["origin"] == "synthetic")
    assert made.meta["synthesis"]["workflow"] == "augment" and "k" in made.meta
    assert made.lineage == (Lineage("s", "augment", "p"),)
    examples = read_rows(tmp_path / "o/examples.jsonl")
    assert len(examples) == stats["n_examples"] and 60 < len(examples) < 100  # half of the synthetic have a response
    by_id = {prompt.id: prompt for prompt in prompts}
    for example in examples:
        prompt = by_id[example["prompt_id"]]
        assert example["messages"][:-1] == [dict(message) for message in prompt.messages]
        assert example["messages"][-1]["role"] == "assistant" and example["origin"] == prompt.meta["origin"]
        assert example["why"] == ("organic" if example["origin"] == "organic" else "augment: agreement")
    assert stats["warnings"] == ["50 synthetic rows are left out: more than the share has room for"]
    measures = {one["measure"]: one for one in stats["diversity"]["measures"]}
    assert measures["novelty"]["low"] <= measures["novelty"]["ratio"] <= measures["novelty"]["high"]
    assert all(one["mixed"] is not None for one in measures.values()) and stats["collapsed"] == []


def test_a_collapse_is_said_and_kept(tmp_path: Path) -> None:
    organic = file_of(tmp_path / "organic.jsonl", honest(80, 1))
    watch = Watch()
    done = balanced(organic, synthesized(tmp_path / "made", edited(80, 2)), tmp_path / "o", watch)
    assert {"distinct_2", "novelty"} <= set(done.stats["collapsed"])
    assert done.stats["warnings"] == watch.sentences
    assert any("the synthetic rows have collapsed by novelty" in sentence for sentence in watch.sentences)


def test_the_same_again_does_nothing_and_other_rows_are_mixed_anew(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    out = tmp_path / "o"
    balanced(*sides, out)
    before = {name: (out / name).read_bytes() for name in FILES[:2]}
    watch = Watch()
    assert balanced(*sides, out, watch).up_to_date and watch.seen == []
    again = balanced(*sides, tmp_path / "p")
    assert {name: (again.folder / name).read_bytes() for name in FILES[:2]} == before
    assert not balanced(*sides, out, share=0.3).up_to_date
    assert (out / FILES[0]).read_bytes() != before[FILES[0]]
    file_of(sides[0], honest(50, 4))
    watch = Watch()
    assert not balanced(*sides, out, watch, share=0.3).up_to_date and watch.seen == ["started", "finished"]
    (out / "examples.jsonl").unlink()
    assert not balanced(*sides, out, share=0.3).up_to_date and (out / "examples.jsonl").is_file()


def test_the_output_is_read_as_prompts_and_mixed_again(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    out = balanced(*sides, tmp_path / "o").folder
    examples = read_prompts(out / "examples.jsonl")
    assert len(examples.prompts) == len(read_rows(out / "examples.jsonl")) and all(examples.responses.values())
    rows = rows_of(out)
    assert {row.workflow for row in rows} == {"", "augment"} and len(rows) == 120
    assert {row.workflow for row in rows_of(out / "examples.jsonl")} == {"", "augment"}


def test_rows_of_an_examples_file_know_what_made_them(tmp_path: Path) -> None:
    folder = synthesized(tmp_path / "made", honest(8, 1), "rewrite")
    of_file, of_folder = rows_of(folder / "examples.jsonl"), rows_of(folder)
    assert [row.workflow for row in of_file] == ["rewrite"] * 4 and len(of_folder) == 8
    assert {row.id for row in of_file} == {row.id for row in of_folder if row.response}
    assert of_file[0].history["proof"] == "agreement"


def test_every_response_to_a_prompt_is_a_row(tmp_path: Path) -> None:
    rows = [{"prompt": "Why?", "response": text} for text in ("One.", "Two.", "One.")] + [{"prompt": "Who?"}]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(row.prompt.text, row.response) for row in rows_of(path)] == [
        ("Why?", "One."),
        ("Why?", "Two."),
        ("Who?", ""),
    ]


def test_tokens_are_a_tokenizers_or_a_quarter_of_the_characters(
    tmp_path: Path,
    sides: tuple[Path, Path],
    tiny_model: Path,  # noqa: F811
) -> None:
    guessed = balanced(*sides, tmp_path / "g", unit="tokens", share=0.3).stats
    assert guessed["unit"] == "characters / 4"
    counted = balanced(*sides, tmp_path / "c", unit="tokens", share=0.3, tokenizer=tiny_model).stats
    assert counted["unit"] == "tokens"
    for stats in (guessed, counted):
        assert stats["share"] == pytest.approx(0.3, abs=0.01)
    assert sum(counted["sizes"].values()) != sum(guessed["sizes"].values())


@pytest.mark.parametrize(
    ("organic", "synthetic", "sentence"),
    [
        ("no.jsonl", "made", "there is no such file or folder"),
        ("organic.jsonl", "empty", "there is no prompts.parquet in this folder"),
        ("organic.jsonl", "organic.jsonl", "there are no synthetic rows that say something new"),
    ],
)
def test_mistakes(tmp_path: Path, sides: tuple[Path, Path], organic: str, synthetic: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TeachableError, match=sentence):
        balanced(tmp_path / organic, tmp_path / synthetic, tmp_path / "o")
    assert not (tmp_path / "o/stats.json").exists()


def test_nobody_is_named(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    with pytest.raises(TeachableError, match="there are no synthetic rows"):
        balance_files([sides[0]], [], tmp_path / "o", config(), watcher=Watch())
    alone = balance_files([sides[0]], [], tmp_path / "p", config(share=0), watcher=Watch()).stats
    assert alone["n_rows"] == 60 and alone["diversity"]["n_texts"] == 0


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    out = tmp_path / "o"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(TeachableError, match="not empty and holds no run"):
        balanced(*sides, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
