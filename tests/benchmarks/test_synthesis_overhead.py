"""The benchmark of synthesis' overhead does the whole graph, loses no item unseen, and reports what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from teachable.store.files import read_json

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import synthesis_overhead

    return synthesis_overhead


def test_seeds_differ_and_the_engine_answers_each_step(bench: ModuleType) -> None:
    from jinja2 import Template

    seeds = dict(bench.passages(2000))
    numbers = {tuple(part for part in text.split() if part.isdigit()) for text in seeds.values()}
    assert len(seeds) == len(numbers) == len(set(seeds.values())) == 2000
    assert 200 < sum(map(len, seeds.values())) / 2000 < 400
    text = seeds["seed-000041"]
    assert "has 44 rows of 5 trees" in text
    asked = {"passage": text, "form": "", "question": "", "solution": ""}
    exercise = bench.Exercise.model_validate_json(bench.reply(Template(bench.PROMPTS["question"]).render(**asked)))
    assert exercise.answer == "220" and "44 rows of 5 trees" in exercise.question
    asked["question"] = exercise.question
    assert bench.reply(Template(bench.PROMPTS["solve"]).render(**asked)).endswith("\nAnswer: 220")
    check = bench.Check.model_validate_json(bench.reply(Template(bench.PROMPTS["check"]).render(**asked)))
    assert check.right is True
    with pytest.raises(ValueError, match="belongs to no step"):
        bench.reply("What else?")


def test_every_way_makes_every_example(bench: ModuleType, tmp_path: Path) -> None:
    for number, way in enumerate(bench.OURS):
        (folder := tmp_path / str(number)).mkdir()
        found = bench.run_ours(way, 60, folder)
        assert found["n_out"] == 60 and found["rejected"] == {} and found["seconds"] > 0
        lines = (folder / "out/examples.jsonl").read_text().splitlines()
        for line in map(json.loads, lines):
            question, response = (message["content"] for message in line["messages"])
            rows, trees = (int(word) for word in question.split() if word.isdigit())
            assert line["answer"] == str(rows * trees) and response.endswith(f"Answer: {rows * trees}")
        assert (folder / "ledger.sqlite").exists() is (way == bench.OURS[0])


def test_gates_are_asked_unless_left_out(bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "passages", lambda n: ((f"s{i}", "It has 3 rows of 5 trees.") for i in range(n)))
    found = {}
    for number, way in enumerate(bench.OURS):
        (tmp_path / str(number)).mkdir()
        found[way] = bench.run_ours(way, 20, tmp_path / str(number))
    assert found[bench.OURS[2]]["n_out"] == 20
    for way in bench.OURS[:2]:  # the same question twenty times
        assert found[way]["n_out"] == 1 and sum(found[way]["rejected"]["near-duplicate"].values()) == 19


def test_memory_counts_what_a_process_starts(bench: ModuleType) -> None:
    child = "import time; x = bytearray(80 << 20); time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent])
    with bench.Memory(process.pid) as memory:
        process.wait()
    assert 80 < memory.peak_mib < 160
    with bench.Memory(os.getpid()) as own:
        time.sleep(0.15)
    assert own.peak_mib > 20


def test_a_small_run_from_end_to_end(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    arguments = ["--items", "30", "--many", "60", "--rounds", "1", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["synthesis_overhead.py", *arguments])
    bench.main()
    found, printed = read_json(out), capsys.readouterr().out
    assert [(row["way"], row["n_items"]) for row in found["rows"]] == [
        (bench.OURS[0], 30),
        (bench.OURS[0], 60),
        (bench.OURS[1], 30),
        (bench.OURS[2], 30),
    ]
    assert all(row["n_out"] == row["n_items"] and row["peak_mib"] > 10 for row in found["rows"])
    first = found["summary"][0]
    assert first["items_per_s"] == pytest.approx(30 / found["rows"][0]["seconds"])
    assert first["many_peak_mib"] == found["rows"][1]["peak_mib"]
    assert f"| {bench.OURS[0]} | {first['items_per_s']:,.0f} |" in printed and "Goal 1,000 items/s" in printed


def test_lost_items_are_an_error(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "OTHER", BENCHMARKS / "nothing.py")
    monkeypatch.setattr(bench, "DISTILABEL", {"other": 7})
    with pytest.raises(RuntimeError, match="other failed"):
        bench.measure("other", 10, sys.executable)
