"""lm-evaluation-harness's tasks through our adapter: its prompts, its scores, its data from files; refusals."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tasks.benchmarks.harness_rows import (
    DROP,
    GSM8K,
    HOSTILE,
    IFEVAL,
    MMLU,
    TRIVIAQA,
    canned,
    located,
    manager,
    write,
)

from teachable.errors import TeachableError
from teachable.records import Prompt, from_row, to_row
from teachable.tasks.benchmarks import Benchmark, load_benchmark
from teachable.tasks.benchmarks.harness import generation, load, read_form
from teachable.verify import get

pytest.importorskip("lm_eval")

Rows = Sequence[Mapping[str, Any]]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def theirs(
    folder: Path, yaml: str, files: Mapping[str, Path], responses: Sequence[str]
) -> tuple[list[str], list[list[dict[str, Any]]]]:
    """What the library asks, and for each response its samples where a model always answers just that."""
    from lm_eval.evaluator import evaluate

    located(folder, yaml, files, "theirs")
    loaded = manager(folder).load(["theirs"])
    task = loaded["tasks"]["theirs"]
    if task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(1234)
    asked: list[str] = []
    samples = []
    for response in responses:
        model = canned(response)
        samples.append(evaluate(model, loaded, bootstrap_iters=0, log_samples=True)["samples"]["theirs"])
        asked = asked or model.asked
    return asked, samples


CASES = [
    ("gsm8k", "gsm8k/gsm8k.yaml", {"train": GSM8K, "test": GSM8K[:3]}),
    ("drop", "drop/default.yaml", {"train": DROP, "validation": DROP}),
    ("ifeval", "ifeval/ifeval.yaml", {"train": IFEVAL}),
    ("triviaqa", "triviaqa/default.yaml", {"train": TRIVIAQA, "validation": TRIVIAQA}),
]


@pytest.mark.parametrize(("name", "yaml", "rows"), CASES, ids=[case[0] for case in CASES])
def test_prompts_and_scores_are_the_librarys_own(
    name: str, yaml: str, rows: dict[str, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {split: write(tmp_path / name / f"{split}.jsonl", some) for split, some in rows.items()}
    found = load(name, tmp_path / name)
    prompts = [from_row(Prompt, to_row(prompt)) for prompt in found.prompts]
    monkeypatch.setattr("nltk.download", lambda *names: False)  # which ifeval calls when it is imported
    asked, samples = theirs(tmp_path, yaml, files, HOSTILE)
    assert [prompt.text for prompt in prompts] == asked
    assert all(prompt.meta["plain_text"] and prompt.domain == found.name for prompt in prompts)
    values = set()
    for response, rows_scored in zip(HOSTILE, samples, strict=True):
        main = {one["doc_id"]: one for one in rows_scored if one["filter"] == prompts[0].meta["lm_eval"]["filter"]}
        assert len(main) == len(prompts)
        for prompt in prompts:
            verdict = get("lm_eval").verdict(response, prompt)  # type: ignore[attr-defined]
            expected = float(main[prompt.meta["lm_eval"]["doc_id"]][prompt.meta["lm_eval"]["metric"]])
            assert verdict.frac_passed == expected, (response, prompt.text, verdict)
            assert verdict.correct is (expected == 1.0)
            values.add(expected)
    assert {0.0, 1.0} <= values


def test_a_chat_is_the_librarys_chat(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", GSM8K)
    plain = load("gsm8k+2shot", tmp_path)
    chat = load("gsm8k+chat+2shot", tmp_path)
    assert (plain.name, chat.name) == ("lm_eval:gsm8k+2shot", "lm_eval:gsm8k+chat+2shot")
    first = chat.prompts[0]
    assert [turn["role"] for turn in first.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert "plain_text" not in first.meta
    joined = "".join(
        turn["content"] + (" " if turn["role"] == "user" and place < 4 else "\n\n" if place < 4 else "")
        for place, turn in enumerate(first.messages)
    )
    assert joined == plain.prompts[0].text
    assert not {prompt.id for prompt in plain.prompts} & {prompt.id for prompt in chat.prompts}


def test_stops_lengths_and_facts_are_the_tasks(tmp_path: Path) -> None:
    found = load("lm_eval:ifeval+chat", write(tmp_path / "input_data.jsonl", IFEVAL))
    assert found.prompts[0].meta["max_tokens"] == 1280
    assert found.facts["lm_eval"]["version"]
    assert found.facts["metric"] == "prompt_level_strict_acc after none"
    assert (found.facts["n_rows"], found.facts["n_questions"]) == (3, 3)
    assert json.loads(json.dumps(found.facts)) == found.facts
    assert generation({"until": "END", "max_new_tokens": 7}) == (("END",), 7)
    assert generation({}) == ((), 256)
    assert read_form("a+b+chat+5shot").name == "a+b"


def test_a_limit_takes_the_same_questions_with_the_same_prompts(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", GSM8K)
    whole = {prompt.id: prompt for prompt in load("gsm8k", tmp_path).prompts}
    few = load("gsm8k", tmp_path, limit=4)
    assert sorted(prompt.id for prompt in few.prompts) == sorted(whole)[:4]
    assert all(whole[prompt.id] == prompt for prompt in few.prompts)
    assert few.facts["n_rows"] == 12


def test_a_row_that_is_there_twice_counts_twice(tmp_path: Path) -> None:
    found = load("gsm8k+0shot", write(tmp_path / "test.jsonl", [GSM8K[0], GSM8K[1], GSM8K[0]]))
    assert len({prompt.id for prompt in found.prompts}) == 3


def test_parquet_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    for split, rows in (("train", GSM8K), ("test", GSM8K)):
        (tmp_path / "main").mkdir(exist_ok=True)
        for shard in range(2):
            path = tmp_path / "main" / f"{split}-0000{shard}-of-00002.parquet"
            pq.write_table(pa.Table.from_pylist(rows[6 * shard : 6 * shard + 6]), path)
    lines = load("gsm8k+0shot", write(tmp_path / "test.jsonl", GSM8K))
    assert [prompt.text for prompt in load("gsm8k+0shot", tmp_path).prompts] == [p.text for p in lines.prompts]


def own_task(folder: Path, **more: Any) -> Path:
    path = folder / "riddles.yaml"
    settings = {
        "task": "riddles",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(write(folder / "riddles.jsonl", GSM8K))}},
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer.split()[-1]}}",
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "generation_kwargs": {"until": ["\n"]},
    }
    path.write_text(json.dumps({**settings, **more}))
    return path


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    path = own_task(tmp_path)
    found = load_benchmark(f"lm_eval:{path}")
    assert found.name == "lm_eval:riddles"
    assert found.prompts[0].text == GSM8K[0]["question"]
    assert get("lm_eval").verdict("3", found.prompts[0]).correct is True  # type: ignore[attr-defined]
    again = load("mine", path)
    assert again.name == "lm_eval:mine"
    other = load(str(path), write(tmp_path / "other.jsonl", GSM8K[:2]))
    assert len(other.prompts) == 2


def test_a_metric_of_the_whole_set_is_refused(tmp_path: Path) -> None:
    bleu = [{"metric": "bleu", "aggregation": "bleu", "higher_is_better": True}]
    with pytest.raises(TeachableError, match=r"no metric of .*riddles \(bleu\) scores a single question"):
        load(str(own_task(tmp_path, metric_list=bleu)), None)


def test_a_question_that_can_not_be_scored_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def score(doc, results):\n    raise ValueError(results[0])\n")
    path = own_task(tmp_path)
    settings = json.loads(path.read_text())
    lines = [f"{key}: {json.dumps(value)}" for key, value in settings.items()]
    path.write_text("\n".join([*lines, "process_results: !function own.score"]))
    with pytest.raises(TeachableError, match=r"can't score a question of riddles \(ValueError: x\)"):
        load(str(path), None)


def test_a_chat_can_not_begin_the_answer_itself(tmp_path: Path) -> None:
    path = own_task(tmp_path, gen_prefix="It is")
    assert load(str(path), None).prompts[0].text.endswith("How many? It is")
    with pytest.raises(TeachableError, match=r"begins the answer itself \('It is'\)"):
        load(f"{path}+chat", None)


def mmlu_group(folder: Path) -> Path:
    """A group of two of the library's own tasks, which takes no index of all its tasks to find."""
    path = folder / "two.yaml"
    tasks = ["mmlu_anatomy_generative", "mmlu_high_school_physics_generative", "mmlu_astronomy_generative"]
    path.write_text(json.dumps({"group": "two", "task": tasks, "aggregate_metric_list": [{"metric": "exact_match"}]}))
    return path


def test_a_group_is_one_benchmark_with_subjects(tmp_path: Path) -> None:
    group = mmlu_group(tmp_path)
    by_file = load(str(group), write(tmp_path / "test.jsonl", MMLU))
    assert [prompt.meta["subject"] for prompt in by_file.prompts] == ["anatomy"] * 4 + ["high_school_physics"] * 4
    assert by_file.prompts[0].text.startswith(
        "The following are multiple choice questions (with answers) about anatomy"
    )
    assert "No rows for mmlu_astronomy_generative" in by_file.facts["notes"]
    assert "own score of the group is this mean too" in by_file.facts["notes"]
    for subject in ("anatomy", "high_school_physics"):
        write(tmp_path / "hub" / subject / "test.jsonl", [row for row in MMLU if row["subject"] == subject])
    assert [p.text for p in load(str(group), tmp_path / "hub").prompts] == [p.text for p in by_file.prompts]
    bare = write(tmp_path / "bare.jsonl", [{k: v for k, v in row.items() if k != "subject"} for row in MMLU])
    with pytest.raises(TeachableError, match="nothing says which rows are of 'anatomy'"):
        load(str(group), bare)


@pytest.mark.parametrize(
    ("name", "rows", "sentence"),
    [
        ("gsm8k", {"test.jsonl": GSM8K}, r"puts 5 worked examples from the split 'train'.*\+0shot"),
        ("gsm8k", {"test.jsonl": GSM8K, "train.jsonl": GSM8K[:4]}, "has 4 rows, too few for 5 worked examples"),
        ("gsm8k", {"train.jsonl": GSM8K}, "no file of the split 'test'"),
        (
            "gsm8k+0shot",
            {"test.jsonl": [{"problem": "?"}]},
            r"can't build its task gsm8k .*in the columns of openai/gsm8k",
        ),
        ("gsm8k+0shot", {"test.jsonl": []}, "holds no rows|can't be read"),
        ("gsm8k+0shot", {"test.txt": GSM8K}, "no file of the split 'test'"),
        ("gsm8k+0shot", {"test.jsonl": GSM8K, "test.json": GSM8K}, "there as .json and as .jsonl"),
        ("ifeval+3shot", {"train.jsonl": IFEVAL}, "without worked examples by its author's choice"),
    ],
)
def test_data_that_will_not_do(name: str, rows: dict[str, Rows], sentence: str, tmp_path: Path) -> None:
    for file, some in rows.items():
        write(tmp_path / file, some)
    with pytest.raises(TeachableError, match=sentence):
        load(name, tmp_path)


def test_what_scoring_would_download_is_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    """Counting capital words takes nltk's punkt_tab, which ifeval downloads when it can."""
    import nltk

    if any((Path(folder) / "tokenizers" / "punkt_tab").is_dir() for folder in nltk.data.path):
        pytest.skip("punkt_tab is here")
    row = {
        "key": 1,
        "prompt": "SHOUT",
        "instruction_id_list": ["change_case:capital_word_frequency"],
        "kwargs": [{"capital_frequency": 2, "capital_relation": "at least"}],
    }
    with pytest.raises(TeachableError, match=r"can't score a question of ifeval.*nltk.downloader punkt_tab"):
        load("ifeval", write(tmp_path / "input_data.jsonl", [*IFEVAL, row]))


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    for missing in (tmp_path / "none", tmp_path / "none.jsonl"):
        with pytest.raises(TeachableError, match="neither a file nor a folder"):
            load("gsm8k+0shot", missing)
    with pytest.raises(TeachableError, match=r"data is read from .jsonl"):
        load("gsm8k+0shot", write(tmp_path / "test.txt", GSM8K))


def test_the_benchmark_is_found_by_its_task(tmp_path: Path) -> None:
    found = load_benchmark(f"lm_eval:gsm8k+0shot={write(tmp_path / 'test.jsonl', GSM8K)}", limit=3)
    assert isinstance(found, Benchmark) and len(found.prompts) == 3


def test_the_documentation_shows_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "lm-eval.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    ((code, shown),) = [(code, after) for (kind, code), (_, after) in pairwise(blocks) if kind == "python"]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/lm-eval.md", "exec"), {})
    assert capsys.readouterr().out == shown
