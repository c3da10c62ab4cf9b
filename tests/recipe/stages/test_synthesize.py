"""The stages `documents` and `synthesize` in a run: one feeds the next, keys, roles, plans and prices."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.faulty import FaultyServer
from tests.recipe.watch import Watch

from teachable.errors import TeachableError
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.recipe.run import run_recipe
from teachable.recipe.stages import documents, synthesize, tasks
from teachable.records import Document, Prompt
from teachable.store.files import read_json, read_records, read_rows
from teachable.store.manifest import RunFolder

FLOWS = """
from pydantic import BaseModel, Field

from teachable.synthesize import Ask, Calls, Options, Output, Workflow, user


class Reply(BaseModel):
    text: str = Field(min_length=1)


def asked(item, options):
    said = item["write"].text
    return Output(user(f"What is said of {said}?"), "grounded", answer=said, verifier="exact", leak_checked=True)


def answered(item, options):
    prompt = item.seed.prompt
    return Output(prompt.messages, "verifier", answer=prompt.answer, verifier="exact", response=item["write"].text,
                  meta={"before": item.seed.response}, allowed=(item.seed.text,), leak_checked=True)


ask = Workflow("flow", "", ("text",), (Ask("write", Reply),), asked, calls=lambda options: Calls(1, 1, 50, 200))
answer = Workflow("flow", "", ("prompt",), (Ask("write", Reply, role="solver"),), answered, roles=("writer", "solver"),
                  calls=lambda options: Calls(2, 4, 100, 300))
"""
RECIPE = """
name: made
engine: {{kind: openai, model: m, base_url: "{url}", usd_per_million_in: 1, usd_per_million_out: 10}}
stages:
  documents: {{source: docs, min_words: 3}}
  asks: {{kind: synthesize, workflow: ask, file: flows.py, templates: own}}
  more: {{kind: synthesize, workflow: ask, file: flows.py, templates: own, needs: {{seeds: documents, before: asks}}}}
  answers:
    kind: synthesize
    workflow: answer
    file: flows.py
    templates: own
    limit: 4
    engines: {{solver: "openai:m@{other}"}}
    needs: {{seeds: asks}}
"""
RUNNERS: dict[str, Any] = {"documents": documents.run, "synthesize": synthesize.run, "tasks": tasks.run}
TOPICS = ("harbours", "lanterns", "granite", "thistles", "saddles", "candlelight")
N = len(TOPICS)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """A recipe of three synthesize stages on a folder of documents, and a server that both models are on."""
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "own/flow").mkdir(parents=True)
    (tmp_path / "own/flow/write.jinja").write_text("{{ shown('passage', text) }}\n{{ form }}")
    (tmp_path / "flows.py").write_text(FLOWS)
    luck = random.Random(5)
    for i in range(N):
        words = " ".join("".join(luck.choices("abcdefghijklmnop", k=8)) for _ in range(20))
        (tmp_path / f"docs/{i}.md").write_text(f"{words} {TOPICS[i]}.\n")

    def answer(body: dict[str, Any], luck: random.Random) -> str:
        passage = body["messages"][0]["content"].split("-----\n", 1)[1].split("\n-----")[0]
        return json.dumps({"text": passage.rstrip(".?").split()[-1]})

    with FaultyServer(answer=answer, honour_seed=True, model="m") as server:
        (tmp_path / "recipe.yaml").write_text(
            RECIPE.format(url=server.url, other=server.url.replace("127.0.0.1", "localhost"))
        )
        yield server


def ran(folder: Path, *sets: str) -> tuple[list[str], Watch]:
    recipe = load_recipe(folder / "recipe.yaml", sets, kinds=STAGE_KINDS)
    watch = Watch()
    summary = run_recipe(recipe, RunFolder(folder / "run"), STAGE_KINDS, RUNNERS.__getitem__, watch)
    return list(summary.ran), watch


def test_one_stage_feeds_the_next(tmp_path: Path, world: FaultyServer) -> None:
    stages, _ = ran(tmp_path)
    assert stages == ["documents", "asks", "more", "answers"]
    run = tmp_path / "run"
    passages = read_records(run / "documents/documents.parquet", Document)
    assert len(passages) == N == read_json(run / "documents/stats.json")["n_documents"]
    made = read_records(run / "asks/prompts.parquet", Prompt)
    assert sorted(str(one.answer) for one in made) == sorted(TOPICS)
    assert {one.lineage[-1].parent for one in made} == {one.id for one in passages}
    # What an earlier stage has accepted is not made again.
    assert read_records(run / "more/prompts.parquet", Prompt) == []
    assert {row["step"] for row in read_rows(run / "more/rejects.jsonl")} == {"near-duplicate"}
    rows = read_rows(run / "answers/examples.jsonl")
    assert len(rows) == 4 and all("localhost" in row["synthesis"]["engines"][0] for row in rows)
    assert [step["transform"] for step in rows[0]["lineage"]][-2:] == ["flow", "flow"]
    spent = read_json(run / "answers/stats.json")["spending"]
    assert [(one["roles"], one["completions"]) for one in spent] == [(["all others"], 0), (["solver"], 4)]


def test_only_what_changed_is_done_again(tmp_path: Path, world: FaultyServer) -> None:
    ran(tmp_path)
    n = len(world.asked)
    assert ran(tmp_path)[0] == []
    assert ran(tmp_path, "answers.limit=5")[0] == ["answers"]
    assert len(world.asked) == n + 1  # the ledger has the rest
    (tmp_path / "own/flow/write.jinja").write_text("Well. {{ shown('passage', text) }}\n{{ form }}")
    assert ran(tmp_path)[0] == ["asks", "more", "answers"]
    (tmp_path / "flows.py").write_text(FLOWS + "\n# another\n")
    assert ran(tmp_path)[0] == ["asks", "more", "answers"]
    # Prices and the like are no reason; another model for a role is.
    assert ran(tmp_path, "engine.usd_per_million_out=5")[0] == []
    assert ran(tmp_path, f"answers.engines={{solver: 'openai:m@{world.url}/'}}")[0] == ["answers"]


def test_a_plan_says_calls_tokens_and_dollars_before_anything_is_asked(tmp_path: Path, world: FaultyServer) -> None:
    recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
    stages = {stage.name: stage.forecast for stage in make_plan(recipe, RunFolder(tmp_path / "r"), STAGE_KINDS).stages}
    n = stages["documents"].prompts
    assert n == N and world.asked == []  # one a file, since they are short
    assert stages["asks"].prompts == n and stages["asks"].completions == round(n * 1.1)
    ran(tmp_path)
    # Once documents are there, their number is known.
    changed = load_recipe(tmp_path / "recipe.yaml", ["asks.writing.max_tokens=99"], kinds=STAGE_KINDS)
    stages = {
        stage.name: stage.forecast for stage in make_plan(changed, RunFolder(tmp_path / "run"), STAGE_KINDS).stages
    }
    forecast = stages["asks"]
    assert (forecast.prompts, forecast.completions, forecast.tokens) == (N, round(N * 1.1), round(N * 1.1) * 50)
    assert forecast.cost_usd == pytest.approx((N * 1.1 * 200 * 1 + round(N * 1.1) * 50 * 10) / 1e6)
    assert stages["answers"].completions == round(4 * 4 * 1.1)


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["asks.workflow=askk"], "this is no Workflow"),
        (["asks.file=null"], "there is no workflow 'ask'"),
        (["asks.options={k: 1}"], "there is no option 'k'"),
        (["asks.engines={judge: 'openai:m@http://x/v1'}"], "flow has no role 'judge'"),
        (["asks.needs={seeds: answers}"], "circle"),
        (["asks.rules=true"], "flow has no rules"),
        (["answers.needs={seeds: documents}"], "there is no seed that flow can start from (6 documents, which this"),
        (["documents.source=null"], "no documents are named"),
        (["engine={kind: transformers, model: '', base_url: ''}"], "an engine names no model, and there is no base"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, world: FaultyServer, sets: list[str], sentence: str) -> None:
    with pytest.raises(TeachableError) as error:
        ran(tmp_path, *sets)
    assert sentence in error.value.sentence()


def test_tasks_give_seeds_with_their_solutions_and_hold_questions_out(tmp_path: Path, world: FaultyServer) -> None:
    rows = [
        {"prompt": f"Name number {i} of {'abcdefgh'[i] * 9}", "answer": f"{i}", "response": f"Answer: {i}"}
        for i in range(8)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        f"""
name: seeded
engine: {{kind: openai, model: m, base_url: "{world.url}"}}
stages:
  tasks: {{source: p.jsonl, heldout_frac: 0.3}}
  answers: {{kind: synthesize, workflow: answer, file: flows.py, templates: own, needs: {{seeds: tasks}},
             gates: {{leaks: false}}}}
"""
    )
    recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
    assert recipe.stage("answers").needs == {"seeds": "tasks", "heldout": "tasks"}
    ran(tmp_path)
    run = tmp_path / "run"
    stats = read_json(run / "answers/stats.json")
    assert stats["n_seeds"] == read_json(run / "tasks/stats.json")["n_pool"] > 0
    assert stats["n_outputs"] + stats["n_rejects"] == stats["n_seeds"]
    # The response said the last word of the question, which the verifier does not take for the answer.
    assert {row["step"] for row in read_rows(run / "answers/rejects.jsonl")} == {"verifier"}
