"""The stage `evaluate`: models in folders, behind servers and in tables are asked the same questions."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engines.conftest import tiny_model  # noqa: F401
from tests.engines.faulty import FaultyServer, closed_port, n_tokens
from tests.recipe.watch import Watch
from tests.verify.judging.planted import sealed, shown_in

from teachable.cli import wiring
from teachable.errors import Stopped, TeachableError
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.recipe.run import RunSummary, run_recipe
from teachable.recipe.spec import SpendingLimits
from teachable.recipe.stages.evaluate import ATTEMPTS, SCORES
from teachable.store.files import read_json, read_rows
from teachable.store.manifest import RunFolder

N = 10
SUMS = {f"{i} + {i + 1}?": str(2 * i + 1) for i in range(N)}
SMALL = {"n_samples": 3, "max_tokens": 20}
Answer = Callable[[dict[str, Any], random.Random], str]


def adds(accuracy: float) -> Answer:
    """A model behind a server that is right that often, whatever else is asked."""

    def answer(body: dict[str, Any], luck: random.Random) -> str:
        right = SUMS[body["messages"][-1]["content"]]
        return f"Answer: {right if luck.random() < accuracy else '0'}"

    return answer


@pytest.fixture
def servers() -> Iterator[tuple[FaultyServer, FaultyServer]]:
    with (
        FaultyServer(answer=adds(0.9), honour_seed=True, model="good") as good,
        FaultyServer(answer=adds(0.4), honour_seed=True, model="poor") as poor,
    ):
        yield good, poor


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path_factory.mktemp("cache")))


def at(server: FaultyServer, **fields: Any) -> dict[str, Any]:
    return {"kind": "openai", "model": server.model, "base_url": server.url, **fields}


def recipe(folder: Path, evaluate: dict[str, Any], rows: list[dict[str, Any]] | None = None, **stages: Any) -> Path:
    rows = rows if rows is not None else [{"prompt": text, "answer": answer} for text, answer in SUMS.items()]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed = {"tasks": {"source": "none", "benchmarks": ["sums.jsonl"]}, **stages, "evaluate": {**SMALL, **evaluate}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "evaluating", "stages": listed}))
    return folder / "recipe.yaml"


def ran(path: Path, out: str = "run", watch: Watch | None = None, **how: Any) -> RunSummary:
    sets = ["resources.workers=1", *([f"base={how.pop('base')}"] if "base" in how else [])]
    loaded = load_recipe(path, sets, kinds=wiring.kinds())
    run = RunFolder(path.parent / out)
    return run_recipe(loaded, run, wiring.kinds(), wiring.runner_for, watch or Watch(), **how)


def results(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    folder = folder / "evaluate"
    return (
        read_json(folder / "stats.json"),
        read_rows(folder / "scores.parquet"),
        read_rows(folder / "attempts.parquet"),
    )


def table(folder: Path) -> str:
    answers = {text: {f"Answer: {right}": 0.5, "Answer: 0": 0.5} for text, right in SUMS.items()}
    (folder / "coin.json").write_text(json.dumps(answers))
    return f"scripted:{folder / 'coin.json'}"


def test_a_folder_a_server_and_a_table_answer_the_same_questions(
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    servers: tuple[FaultyServer, FaultyServer],
) -> None:
    good = at(servers[0], usd_per_million_in=1000.0, usd_per_million_out=2000.0)
    path = recipe(tmp_path, {"beside": [str(tiny_model), good, table(tmp_path)]})
    watch = Watch()
    assert ran(path, watch=watch).ran == ("tasks", "evaluate")
    stats, scores, attempts = results(tmp_path / "run")
    assert [one["arm"] for one in stats["models"]] == [tiny_model.name, "good", "coin"]
    assert list(scores[0]) == SCORES.names and list(attempts[0]) == ATTEMPTS.names
    assert len(scores) == 3 * N and len(attempts) == 3 * N * 4
    assert Counter(row["sample"] for row in attempts) == dict.fromkeys((-1, 0, 1, 2), 3 * N)
    by_question = {(row["model"], row["prompt_id"]): row for row in scores}
    for (model, prompt_id), row in by_question.items():
        mine = [one for one in attempts if (one["model"], one["prompt_id"]) == (model, prompt_id)]
        assert row["n_correct"] == sum(one["correct"] is True for one in mine if one["sample"] >= 0)
        assert row["greedy"] == next(one["correct"] for one in mine if one["sample"] == -1)
        assert row["n_tokens"] == sum(one["n_tokens"] for one in mine)
        assert (row["task"], row["arm"], row["seed"]) == ("sums", model, 0)
    means = {arm["arm"]: arm["metrics"]["pass@1"]["mean"] for arm in stats["arms"]}
    assert means[tiny_model.name] < 0.2 < means["coin"] < 0.75 < means["good"]
    # What the server counted is what a question took.
    asked, told = servers[0].asked, next(one for one in stats["models"] if one["arm"] == "good")
    n_in, n_out = (
        sum(map(n_tokens, texts)) for texts in ([s.prompt for s in asked], [t for s in asked for t in s.delivered])
    )
    assert told["prompt_tokens_per_question"] == pytest.approx(n_in / N)
    assert told["tokens_per_question"] == pytest.approx(n_out / N)
    assert told["usd_per_question"] == pytest.approx((n_in * 1000 + n_out * 2000) / 1e6 / N)
    assert stats["cost_usd"] == pytest.approx(told["usd_per_question"] * N)
    assert (stats["failed_requests"], stats["judging"], watch.sentences) == (0, None, [])
    n_asked = len(asked)
    assert ran(path).ran == () and len(servers[0].asked) == n_asked


def test_what_determines_a_score_is_beside_it(tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]) -> None:
    ran(recipe(tmp_path, {"beside": [at(servers[0], api_key_env="PATH"), table(tmp_path)]}))
    known = results(tmp_path / "run")[0]["determined_by"]
    assert set(known) == {"tasks", "sampling", "request_seed", "verifier", "judge", "engines", "packages"}
    (task,) = known["tasks"]
    assert (task["name"], task["n_asked"], len(task["questions_digest"])) == ("sums", N, 64)
    assert task["data"].endswith("sums.jsonl") and task["data_digest"]
    assert known["sampling"] == {"n_samples": 3, "temperature": 1.0, "top_p": 1.0, "greedy": True, "max_tokens": 20}
    assert known["verifier"] == {"sums": ["exact"]} or known["verifier"] == {"sums": ["math"]}
    assert known["engines"]["good"]["base_url"] == servers[0].url and "api_key_env" not in known["engines"]["good"]
    assert known["engines"]["coin"]["names"][0].startswith("scripted:")
    assert known["packages"]["teachable"] and known["packages"]["numpy"]


def test_the_contents_of_a_table_and_of_a_model_are_in_the_key(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    path = recipe(tmp_path, {"beside": [table(tmp_path), at(servers[0])]})
    ran(path)
    n_asked = len(servers[0].asked)
    (tmp_path / "coin.json").write_text(json.dumps({text: f"Answer: {right}" for text, right in SUMS.items()}))
    watch = Watch()
    assert ran(path, watch=watch).ran == ("evaluate",)
    stats, *_ = results(tmp_path / "run")
    assert {a["arm"]: a["metrics"]["pass@1"]["mean"] for a in stats["arms"]}["coin"] == 1.0
    assert len(servers[0].asked) == n_asked  # the ledger has what the server said


# ---- failures ----


def test_a_failed_question_is_undecided_and_asked_again(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    good, poor = servers
    broken = list(SUMS)[3]
    good.refuse = lambda body: (
        (400, {"error": {"message": "no sums of three today"}}) if body["messages"][-1]["content"] == broken else None
    )
    path = recipe(tmp_path, {"beside": [at(good, retries=0), at(poor)]})
    watch = Watch()
    ran(path, watch=watch)
    stats, scores, _ = results(tmp_path / "run")
    assert stats["failed_requests"] == 2  # the samples, and the greedy answer
    lost = [row for row in scores if row["n_undecided"]]
    assert [(row["model"], row["n"], row["n_undecided"], row["greedy"]) for row in lost] == [("good", 0, 3, None)]
    assert stats["undecided_rate"] == pytest.approx(3 / 60)
    assert next(c for c in stats["comparisons"])["n_questions"] == N - 1
    (said,) = watch.sentences
    assert said.startswith("good failed on 1 of 10 questions (") and "no sums of three today" in said
    assert "counts in no mean; `teachable evaluate --out " in said
    n_before = [len(good.asked), len(poor.asked)]
    good.refuse = None
    ran(path, start="evaluate")
    assert [len(good.asked), len(poor.asked)] == [n_before[0] + 2, n_before[1]]
    assert results(tmp_path / "run")[0]["undecided_rate"] == 0.0
    ran(path, out="undisturbed")
    for name in ("scores.parquet", "attempts.parquet"):
        assert (tmp_path / "run/evaluate" / name).read_bytes() == (
            tmp_path / "undisturbed/evaluate" / name
        ).read_bytes()


def test_a_server_that_is_down_is_a_sentence_and_costs_the_other_nothing(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    good = servers[0]
    good.latency_s = 0.2  # there are answers in flight when the other server is found to be down
    with closed_port() as port:
        down = {"kind": "openai", "model": "x", "base_url": f"http://127.0.0.1:{port}/v1"}
        path = recipe(tmp_path, {"beside": [at(good, concurrency=4), down]})
        with pytest.raises(TeachableError, match=rf"127\.0\.0\.1:{port}"):
            ran(path)
    assert not (tmp_path / "run/evaluate/scores.parquet").exists()
    paid = len(good.asked)
    assert paid > 0 and all(seen.status == 200 for seen in good.asked)
    good.latency_s = 0.0
    ran(recipe(tmp_path, {"beside": [at(good, concurrency=4), table(tmp_path)]}))
    assert len(good.asked) == 2 * N  # and none of them twice


def test_a_limit_stops_it_and_a_higher_one_goes_on(tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]) -> None:
    path = recipe(tmp_path, {"beside": [at(one, concurrency=2) for one in servers]})
    with pytest.raises(Stopped, match="the limit of 200 sampled tokens is reached"):
        ran(path, limits=SpendingLimits(max_tokens=200))
    assert not (tmp_path / "run/evaluate/scores.parquet").exists()
    n_asked = sum(len(one.asked) for one in servers)
    assert 0 < n_asked < 4 * N
    ran(path)
    assert sum(len(one.asked) for one in servers) == 4 * N
    ran(path, out="undisturbed")
    one, other = (results(tmp_path / out) for out in ("run", "undisturbed"))
    assert one[1:] == other[1:]
    assert {**one[0], "seconds": 0} == {**other[0], "seconds": 0}


# ---- judges ----


def judges(body: dict[str, Any], luck: random.Random) -> str:
    """A judge that finds every sum right whose answer ends in an odd digit."""
    message = body["messages"][-1]["content"]
    return sealed(message, correct=int(shown_in(message)["candidate's answer"].strip()[-1]) % 2 == 1)


JUDGED = [{"prompt": text, "answer": answer, "verifier": "judge"} for text, answer in SUMS.items()]


def test_a_judged_task_wants_a_judge(tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]) -> None:
    path = recipe(tmp_path, {"beside": [at(servers[0])]}, JUDGED)
    with pytest.raises(TeachableError, match=r"'sums' is decided by a judge .*no judge is named.*--judge ENGINE"):
        ran(path)
    assert servers[0].asked == []


def test_a_judge_decides_and_its_price_stands_apart(tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]) -> None:
    with FaultyServer(answer=judges, honour_seed=True, model="judge") as judge:
        fields = {"judge": at(judge, usd_per_million_out=1e6, concurrency=3), "votes": 1}
        path = recipe(tmp_path, {"beside": [at(one) for one in servers], **fields}, JUDGED)
        ran(path)
        assert max(seen.in_flight for seen in judge.asked) <= 3
        stats, scores, attempts = results(tmp_path / "run")
        replies = [text for seen in judge.asked for text in seen.delivered]
    assert all(row["correct"] == (int(row["text"][-1]) % 2 == 1) for row in attempts)
    assert stats["judging"]["tokens"] == stats["judging"]["cost_usd"] == sum(map(n_tokens, replies))
    assert stats["cost_usd"] == 0.0 and all(row["cost_usd"] == 0 for row in scores)
    assert stats["determined_by"]["judge"]["reply_votes"] == 1
    assert stats["failed_requests"] == 0


def test_a_judge_in_a_table_judges_a_model_that_computes_here(tmp_path: Path, tiny_model: Path) -> None:  # noqa: F811
    (tmp_path / "judge.json").write_text("{}")  # it says nothing, which is no verdict
    fields = {"beside": [str(tiny_model)], "judge": f"scripted:{tmp_path / 'judge.json'}", "votes": 1}
    ran(recipe(tmp_path, fields, JUDGED[:2]))
    stats, scores, _ = results(tmp_path / "run")
    assert [row["n_undecided"] for row in scores] == [3, 3]
    assert stats["judging"]["completions"] == 8
    assert stats["verdict"]["sentence"] == "No model could be scored, so there is nothing to compare."


# ---- beside a run's own models ----


def test_models_stand_beside_the_base_and_the_trained_ones(
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    servers: tuple[FaultyServer, FaultyServer],
) -> None:
    stages = {"pretrain": {}, "given": {"kind": "models", "paths": [str(tiny_model)]}}
    needs = {"needs": {"models": "given"}}
    path = recipe(tmp_path, {**needs, "beside": [at(servers[0])]}, **stages)
    ran(path, base=str(tiny_model))
    stats, scores, _ = results(tmp_path / "run")
    assert [(one["arm"], one["n_seeds"]) for one in stats["models"]] == [("base", 1), (tiny_model.name, 1), ("good", 1)]
    pairs = {(c["arm"], c["baseline"]) for c in stats["comparisons"]}
    assert pairs == {(tiny_model.name, "base"), ("good", "base"), ("good", tiny_model.name)}
    mine = [{**row, "model": "", "arm": ""} for row in scores if row["arm"] == "base"]
    assert mine == [
        {**row, "model": "", "arm": ""} for row in scores if row["arm"] == tiny_model.name
    ]  # the same model
    taken = recipe(tmp_path, {**needs, "beside": [at(servers[0])], "labels": ["base"]}, **stages)
    with pytest.raises(TeachableError, match=r"the model 'base' has the name of another model of this run"):
        ran(taken, base=str(tiny_model))


def test_a_model_folder_without_torch_is_a_sentence_before_anybody_is_asked(
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    servers: tuple[FaultyServer, FaultyServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = recipe(tmp_path, {"beside": [at(servers[0]), str(tiny_model)]})
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "teachable.engines.local", raising=False)
    with pytest.raises(TeachableError, match=r"the engine transformers needs the package 'torch'.*teachable\[train\]"):
        ran(path)
    assert not servers[0].asked


def test_without_any_model_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"no model is to be evaluated. Name models in evaluate.beside"):
        ran(recipe(tmp_path, {}))


def test_a_plan_counts_every_model_and_the_judge(tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]) -> None:
    good = at(servers[0], usd_per_million_in=1e6, usd_per_million_out=1e6)
    fields = {"beside": [good, at(servers[1])], "judge": at(servers[0]), "votes": 2, "judge_max_tokens": 100}
    path = recipe(tmp_path, fields, JUDGED)
    run = RunFolder(tmp_path / "run")
    loaded = load_recipe(path, kinds=wiring.kinds())
    plan = make_plan(loaded, run, wiring.kinds()).document()["stages"][-1]
    n_answers = 2 * N * 4
    assert plan["prompts"] == N and plan["completions"] == n_answers + n_answers * 2
    assert plan["tokens"] == n_answers * 4 + n_answers * 2 * 100
    assert (
        plan["cost_usd"] == N * 2 * 150 + N * 4 * 4
    )  # the prompt is read twice: for the samples and for the greedy one
    run_recipe(loaded, run, wiring.kinds(), wiring.runner_for, Watch(), until="tasks")
    assert make_plan(loaded, run, wiring.kinds()).document()["stages"][-1]["completions"] == plan["completions"]


@pytest.mark.slow
def test_models_side_by_side_say_what_they_say_alone(tmp_path: Path, tiny_model: Path) -> None:  # noqa: F811
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    settings = json.loads((other / "generation_config.json").read_text())
    (other / "generation_config.json").write_text(json.dumps({**settings, "max_length": 400}))  # another identity
    path = recipe(tmp_path, {"beside": [str(tiny_model), str(other), table(tmp_path)]})
    loaded = load_recipe(path, ["resources.workers=2"], kinds=wiring.kinds())
    watch = Watch()
    run_recipe(loaded, RunFolder(tmp_path / "together"), wiring.kinds(), wiring.runner_for, watch)
    assert [(one.done, one.total) for one in watch.progress if one.unit == "models"] == [(0, 2), (1, 2), (2, 2)]
    ran(path, out="alone")
    for name in ("scores.parquet", "attempts.parquet"):
        assert (tmp_path / "alone/evaluate" / name).read_bytes() == (tmp_path / "together/evaluate" / name).read_bytes()
