"""The stage `judge_pairs` in a recipe: the base and a server answer, another server judges."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engines.conftest import tiny_model  # noqa: F401
from tests.engines.faulty import FaultyServer
from tests.prefer.judges import at, quality
from tests.recipe.watch import Watch
from tests.verify.judging.planted import sealed, shown_in

from teachable.cli import wiring
from teachable.errors import TeachableError
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.recipe.run import RunSummary, run_recipe
from teachable.store.files import read_json, read_rows
from teachable.store.manifest import RunFolder


def reply(body: dict[str, Any], luck: random.Random) -> str:
    """A judge of planted qualities, and an author where nothing is to be judged."""
    message = body["messages"][-1]["content"]
    if "candidate's answer" not in message:
        return f"[{luck.randint(5, 9)}]\nAnswer: 5"
    value = quality(shown_in(message)["candidate's answer"])
    return sealed(message, accuracy=value, style=value, detail=value)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(answer=reply, honour_seed=True) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path_factory.mktemp("cache")))


def recipe(folder: Path, **fields: Any) -> Path:
    rows = [{"prompt": f"{i}: 2+3?", "answer": "5"} for i in range(4)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = {"tasks": {"source": "prompts.jsonl", "heldout_frac": 0}, "judge_pairs": fields.pop("judge_pairs")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "judging", "stages": stages, **fields}))
    return folder / "recipe.yaml"


def ran(path: Path, watch: Watch | None = None) -> RunSummary:
    loaded = load_recipe(path, kinds=wiring.kinds())
    run = RunFolder(path.parent / "run")
    return run_recipe(loaded, run, wiring.kinds(), wiring.runner_for, watch or Watch(), until="judge_pairs")


def test_the_base_and_a_server_answer_and_the_server_judges(
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    server: FaultyServer,
) -> None:
    engine = at(server.url).model_dump(mode="json")
    fields = {"engines": [engine], "judge": engine, "votes": 1, "max_tokens": 12, "unfinished": True}
    path = recipe(tmp_path, base=str(tiny_model), judge_pairs=fields)
    summary = ran(path)
    stats = read_json(tmp_path / "run/judge_pairs/stats.json")
    rows = read_rows(tmp_path / "run/judge_pairs/preferences.parquet")
    assert stats["n_prompts"] == 4 and stats["n_pairs"] == len(rows) > 0
    assert all(row["engine_chosen"].startswith("openai:") for row in rows)
    assert all(row["engine_rejected"].startswith("transformers:") for row in rows)
    assert [one["roles"] for one in stats["spending"]] == [["answers"], ["answers", "judges"]]
    entry = summary.entries["judge_pairs"]
    assert entry.completions == stats["completions"] > 8 and entry.tokens_out == stats["tokens"]
    assert entry.note.startswith(f"{len(rows)} pairs of 4 prompts")
    n_asked = len(server.asked)
    assert ran(path).ran == () and len(server.asked) == n_asked


def test_a_server_needs_no_base_and_a_changed_margin_asks_nothing(tmp_path: Path, server: FaultyServer) -> None:
    engine = at(server.url).model_dump(mode="json")
    fields: dict[str, Any] = {"n_responses": 3, "votes": 1, "min_margin": 0.5}
    path = recipe(tmp_path, engine=engine, judge_pairs=fields)
    watch = Watch()
    assert ran(path, watch).ran == ("tasks", "judge_pairs")
    stats = read_json(tmp_path / "run/judge_pairs/stats.json")
    assert [one["roles"] for one in stats["spending"]] == [["answers", "judges"]]
    assert watch.progress[-1].done == 4 and watch.progress[-1].tokens == stats["tokens"]
    n_asked = len(server.asked)
    wider = recipe(tmp_path, engine=engine, judge_pairs=fields | {"min_margin": 9})
    assert ran(wider).ran == ("judge_pairs",) and len(server.asked) == n_asked
    assert read_rows(tmp_path / "run/judge_pairs/preferences.parquet") == []


def test_the_way_to_an_engine_is_no_part_of_the_key(tmp_path: Path, server: FaultyServer) -> None:
    loaded = []
    for concurrency in (1, 9):
        engine = at(server.url, concurrency=concurrency).model_dump(mode="json")
        path = recipe(tmp_path, engine=engine, judge_pairs={"own": False, "engines": [engine], "n_responses": 2})
        plan = make_plan(load_recipe(path, kinds=wiring.kinds()), RunFolder(tmp_path / "run"), wiring.kinds())
        loaded.append(plan.document())
        ran(path)
    assert [one["action"] for one in loaded[0]["stages"]] == ["run", "run"]
    assert [one["action"] for one in loaded[1]["stages"]] == ["cached", "cached"]


def test_one_response_a_prompt_is_refused_before_anything_is_asked(tmp_path: Path, server: FaultyServer) -> None:
    path = recipe(tmp_path, engine=at(server.url).model_dump(mode="json"), judge_pairs={})
    with pytest.raises(TeachableError, match=r"one response, which makes no pair.*raise n_responses"):
        ran(path)
    assert server.asked == []
