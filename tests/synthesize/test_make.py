"""From seeds to files: what is accepted, what is dropped and why, the yield table, and equal bytes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.synthesize.flows import FLOW, answer, run_toy, seeds

from teachable.engines.scripted import ScriptedEngine
from teachable.records import Progress, Prompt
from teachable.store.files import read_records, read_rows
from teachable.synthesize import GatesConfig, Item, Output, Workflow
from teachable.synthesize.tables import FILES
from teachable.tasks.load import read_prompts


def test_every_output_carries_its_history(tmp_path: Path) -> None:
    done = asyncio.run(run_toy(ScriptedEngine(answer, name="honest"), tmp_path / "out", seed=3))
    prompts = read_records(tmp_path / "out/prompts.parquet", Prompt)
    assert len(prompts) == done.stats["n_outputs"] == done.stats["n_seeds"] == 12
    first = prompts[0]
    history = first.meta["synthesis"]
    assert history["engines"] == ["honest"] and list(history["templates"]) == ["toy/asked"]
    assert (history["seed"], history["source"], history["workflow"], history["proof"]) == (
        "d0", "toy.txt", "toy", "grounded",
    )  # fmt: skip
    assert history["scores"] == {"n_chars": len(first.text)}
    assert (first.answer, first.answer_source, first.domain) == ("red", "teacher", "toy")
    assert [(step.parent, step.transform) for step in first.lineage] == [("d0", "toy")]
    # A pool of one's own for probing, as it stands.
    assert read_prompts(tmp_path / "out/prompts.parquet").prompts[0].answer == "red"


def test_what_is_dropped_says_where_and_why_and_the_table_adds_up(tmp_path: Path) -> None:
    engine = ScriptedEngine(answer, frac_garbage=0.3, frac_truncated=0.2, frac_failing=0.05)
    out = tmp_path / "out"
    done = asyncio.run(
        run_toy(engine, out, n=80, options={"without": "q"}, gates=GatesConfig(language="", near_duplicate=1.0))
    )
    stats = done.stats
    rows = {row["step"]: row for row in stats["steps"]}
    asked, sieved = rows["asked"], rows["sieved"]
    assert asked["in"] == 80 == asked["out"] + sum(asked["dropped"].values()) + asked["failed"]
    assert set(asked["retried"]) == {"no valid JSON", "cut off"} and asked["failed"] == stats["failed_items"] > 0
    assert sieved["in"] == asked["out"] == sieved["out"] + sieved["dropped"].get("unwanted", 0)
    gates = [row for row in stats["steps"] if row["kind"] == "gate"]
    assert gates[0]["in"] == rows["output"]["out"] == sieved["out"]
    for before, after in pairwise(gates):
        assert after["in"] == before["out"] == before["in"] - sum(before["dropped"].values())
    assert gates[-1]["out"] == stats["n_outputs"] == len(read_rows(out / "prompts.parquet"))
    rejects = read_rows(out / "rejects.jsonl")
    assert len(rejects) == stats["n_rejects"] == sum(sum(row["dropped"].values()) for row in stats["steps"])
    assert Counter(row["step"] for row in rejects) == {
        row["step"]: n for row in stats["steps"] if (n := sum(row["dropped"].values()))
    }
    assert all(row["reason"] and row["seed"] for row in rejects)
    review = read_rows(out / "review.jsonl") if stats["n_review"] else []
    assert len(review) == stats["n_review"] == sieved["dropped"].get("unwanted", 0)


def test_responses_become_rows_that_trainers_read(tmp_path: Path) -> None:
    def spoken(item: Item, options: object) -> Output:
        asked = item["asked"]
        output = FLOW.output(item, options)
        assert isinstance(output, Output)
        return replace(output, response=f"Answer: {asked.answer}", proof="verifier")

    flow = Workflow("toy", "", ("text",), FLOW.steps, spoken, FLOW.options)
    done = asyncio.run(
        run_toy(ScriptedEngine(answer), tmp_path / "out", workflow=flow, text_of=lambda chat: f"<{len(chat)}>")
    )
    rows = read_rows(tmp_path / "out/examples.jsonl")
    assert len(rows) == done.stats["n_examples"] == 12
    assert [turn["role"] for turn in rows[0]["messages"]] == ["user", "assistant"]
    assert (rows[0]["text"], rows[0]["why"], rows[0]["answer"]) == ("<2>", "toy: verifier", "red")
    assert rows[0]["synthesis"]["seed"] == "d0" and rows[0]["lineage"][0]["transform"] == "toy"
    assert {row["prompt_id"] for row in rows} == {row["id"] for row in read_rows(tmp_path / "out/prompts.parquet")}


def test_the_same_seeds_make_the_same_bytes_whatever_came_first(tmp_path: Path) -> None:
    files = []
    for name, stall in (("one", 0.0), ("two", 0.5)):
        engine = ScriptedEngine(answer, frac_garbage=0.4, frac_stalling=stall, stall_s=0.003)
        asyncio.run(run_toy(engine, tmp_path / name, n=60))
        files.append([(tmp_path / name / file).read_bytes() for file in FILES])
    assert files[0] == files[1]


def test_an_output_that_repeats_an_earlier_one_is_dropped(tmp_path: Path) -> None:
    twice = [*seeds(6), *(replace(seed, id=f"again{i}") for i, seed in enumerate(seeds(6)))]
    done = asyncio.run(run_toy(ScriptedEngine(answer), tmp_path / "out", seeds=twice))
    assert done.stats["n_outputs"] == 6
    rejects = read_rows(tmp_path / "out/rejects.jsonl")
    assert [(row["seed"], row["step"]) for row in rejects] == [(f"again{i}", "near-duplicate") for i in range(6)]


def test_progress_counts_seeds(tmp_path: Path) -> None:
    told: list[Progress] = []
    asyncio.run(
        run_toy(ScriptedEngine(answer), tmp_path / "out", n=5, n_seeds=5, on_progress=told.append, tokens=lambda: 7)
    )
    assert [(one.done, one.total, one.unit, one.tokens) for one in told] == [(i, 5, "seeds", 7) for i in range(1, 6)]


def test_files_of_before_stay_where_a_mistake_ends_the_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asyncio.run(run_toy(ScriptedEngine(answer), out))
    before = {file: (out / file).read_bytes() for file in FILES}
    with pytest.raises(Exception, match="nobody knows"):
        asyncio.run(run_toy(ScriptedEngine(answer), out, tokens=_unknown, on_progress=lambda progress: None))
    assert {file: (out / file).read_bytes() for file in FILES} == before
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)


def _unknown() -> int:
    raise RuntimeError("nobody knows")
