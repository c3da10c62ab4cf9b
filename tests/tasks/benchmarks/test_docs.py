"""What docs/benchmarks.md says is so: every row of its tables, its Python, its file of prompts."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from importlib import resources
from pathlib import Path

import pytest
from tests.tasks.benchmarks.rows import BESIDE, ROWS

from teachable.families.catalog import FAMILIES
from teachable.tasks.benchmarks import load_benchmark
from teachable.tasks.benchmarks.catalog import BENCHMARKS, HARNESS_ALIASES
from teachable.tasks.benchmarks.gym import N_QUESTIONS
from teachable.tasks.benchmarks.judged import BASELINES
from teachable.tasks.benchmarks.load import parse_task
from teachable.verify import get, verdict_of
from teachable.verify.gym import RUNS_THE_ANSWER

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def table(columns: str) -> dict[str, list[str]]:
    """The rows of the table with this header, by the name in their first cell; no name stands twice."""
    start = TEXT.index(f"| {columns} |\n")
    lines = TEXT[start:].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    found = {row[0].strip("` "): row[1:] for row in cells}
    assert len(found) == len(lines)
    return found


WHAT = table("name | questions | data set and split | format | prompt | verifier | score")
DIFFERS = table("name | paper | what differs")


def test_every_name_has_its_rows_in_the_order_of_the_catalog() -> None:
    assert list(WHAT) == list(DIFFERS) == list(BENCHMARKS)
    assert all(f"`{name}`" in TEXT for name in HARNESS_ALIASES)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_row_says_what_the_code_does(name: str) -> None:
    spec = BENCHMARKS[name]
    n, where, form, prompt, verifier, score = WHAT[name]
    assert (n, verifier, score) == (f"{spec.n_published:,}", f"`{spec.verifier}`", spec.metric)
    named = re.fullmatch(r"(?P<id>\S+?)(?: \((?P<config>.*)\))?, (?P<split>\w+)", where)
    assert named and (named["id"], named["split"]) == (spec.hub.id, spec.hub.split)
    assert named["config"] is None or (named["config"],) == spec.hub.configs
    templates = resources.files("teachable.tasks.benchmarks").joinpath("templates")
    assert prompt == f"`{spec.template}.txt`" and templates.joinpath(f"{spec.template}.txt").is_file()
    assert DIFFERS[name] == [spec.source, spec.notes]
    as_other = re.fullmatch(r"as `(\w+)`", form)
    rows = ROWS[as_other[1] if as_other else name]
    assert as_other is None or BENCHMARKS[as_other[1]].read is spec.read
    columns = {column for row in rows for column in row} | {"answer_number"}
    wanted = set(re.findall(r"`([A-Za-z][\w -]*)`", form)) - ({as_other[1]} if as_other else set())
    assert wanted <= columns, wanted - columns
    assert ("model_answer" in form) == (name in BESIDE)


def test_the_forms_of_a_task_are_those_of_the_code() -> None:
    forms = table("a task | is")
    assert len(forms) == 5
    for form in forms:
        for text in re.findall(r"[\w:=./]+", form):
            text = text.replace("lm_eval:NAME", "lm_eval:x").replace("NAME", "gsm8k").replace("FAMILY", "chain_sum")
            assert parse_task(text).adapter
    for task in ("gsm8k", "gpqa=gpqa_diamond.csv", "gym:chain_sum", "mine.jsonl"):
        assert task in TEXT and parse_task(task)


def test_python_says_what_stands_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [place] = [place for place, (kind, _) in enumerate(BLOCKS) if kind == "python"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(BLOCKS[place][1], "docs/benchmarks.md", "exec"), {})  # the documentation's own text
    assert said.getvalue() == BLOCKS[place + 1][1]


def test_the_file_of_ones_own_prompts_can_be_asked(tmp_path: Path) -> None:
    [rows] = [text for kind, text in BLOCKS if kind == "json"]
    (tmp_path / "mine.jsonl").write_text(rows, encoding="utf-8")
    found = load_benchmark(str(tmp_path / "mine.jsonl"))
    assert [p.verifier for p in found.prompts] == ["math", "choice", "code", "exact"]
    assert [p.meta["subject"] for p in found.prompts] == ["sums", "facts", "programs", "facts"]
    lima = found.prompts[-1]
    assert asyncio.run(verdict_of(get(lima.verifier), "It is by the sea.\nAnswer: Lima", lima)).correct is True


def test_the_families_and_facts_that_are_named_exist(tmp_path: Path) -> None:
    gym = TEXT[TEXT.index("## reasoning-gym") : TEXT.index("## Questions of your own")]
    named = set(re.findall(r"`([a-z0-9_]+)`", gym))
    assert set(FAMILIES) | RUNS_THE_ANSWER <= named and f"draws {N_QUESTIONS} questions" in gym
    facts = TEXT[TEXT.index("`facts` of each benchmark") : TEXT.index("## reasoning-gym")]
    (tmp_path / "gsm8k.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}')
    found = load_benchmark(f"gsm8k={tmp_path / 'gsm8k.jsonl'}")
    assert set(re.findall(r"`(\w+)`", facts)) - {"facts"} == set(found.facts)
    assert all(model in TEXT for model in BASELINES.values())
