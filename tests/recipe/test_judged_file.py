"""Prompts of a file answered and judged in a folder: the files, the counts, resuming, limits, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.engines.faulty import FaultyServer
from tests.prefer.judges import at, compares, scores, served
from tests.recipe.watch import Watch

from teachable.errors import EXIT_LIMIT_REACHED, Stopped, TeachableError
from teachable.prefer import JudgePairsConfig
from teachable.prefer.found import FAILED
from teachable.recipe.judged_file import JudgedFile, judge_file
from teachable.recipe.spec import SpendingLimits
from teachable.store.files import read_json, read_rows

TABLES = ("preferences.parquet", "responses.parquet", "comparisons.parquet")
Answer = Callable[[dict[str, Any], random.Random], str]


def drawn(low: int, high: int) -> Answer:
    """An author whose responses have a quality drawn evenly from `low` to `high`."""
    return lambda body, luck: f"My answer [{luck.randint(low, high)}] {luck.getrandbits(32):x}"


def servers(judge: Any = scores) -> tuple[FaultyServer, FaultyServer, FaultyServer]:
    """A good author, a bad one, and a judge; what each says depends on the request alone."""
    good, bad = (FaultyServer(answer=drawn(*span), honour_seed=True, model=name) for name, span in AUTHORS.items())
    return good, bad, FaultyServer(answer=served(judge), honour_seed=True, model="judge")


AUTHORS = {"good": (6, 10), "bad": (1, 6)}


def prompts(folder: Path, n: int = 10) -> Path:
    path = folder / "prompts.jsonl"
    rows = [{"id": f"p{i}", "prompt": f"Question {i}?"} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(engines: Sequence[FaultyServer], judge: FaultyServer, **fields: Any) -> JudgePairsConfig:
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
    settings = [at(one.url, one.model, **prices) for one in (*engines, judge)]
    own = {"own": False, "votes": 1, "max_tokens": 64, "judge_max_tokens": 128}
    return JudgePairsConfig.model_validate(own | {"engines": settings[:-1], "judge": settings[-1]} | fields)


def judged(
    path: Path | None, out: Path, settings: JudgePairsConfig, limits: SpendingLimits | None = None, **more: Any
) -> JudgedFile:
    return judge_file(path, out, settings, watcher=Watch(), limits=limits, **more)


def test_the_files_and_the_counts(tmp_path: Path) -> None:
    good, bad, judge = servers()
    with good, bad, judge:
        settings = config([good, bad], judge, n_responses=2, max_pairs=None)
        done = judged(prompts(tmp_path), tmp_path / "o", settings)
        asked = [len(server.asked) for server in (good, bad, judge)]
    assert asked[:2] == [10, 10] and asked[2] == 40
    rows, stats = read_rows(tmp_path / "o/preferences.parquet"), done.stats
    assert stats == read_json(tmp_path / "o/stats.json") and stats["complete"] is True
    assert stats["n_pairs"] == len(rows) > 20
    assert stats["n_pairs"] + sum(stats["pairs_left_out"].values()) == 10 * 6
    assert stats["mean_margin"] == pytest.approx(sum(row["margin"] for row in rows) / len(rows))
    for row in rows:
        assert row["prompt"] == [{"role": "user", "content": f"Question {row['prompt_id'][1:]}?"}]
        assert [row[side][0]["role"] for side in ("chosen", "rejected")] == ["assistant", "assistant"]
        assert row["margin"] == pytest.approx(row["score_chosen"] - row["score_rejected"]) and row["margin"] >= 1
        assert row["score_chosen"] == row["accuracy_chosen"] == row["style_chosen"] == row["detail_chosen"]
        assert f"[{row['score_chosen']:g}]" in row["chosen"][0]["content"]
        assert (row["kind"], row["delta"], row["prompt_token_ids"], row["chosen_token_ids"]) == (
            "judged",
            None,
            None,
            None,
        )
    responses = {row["id"]: row for row in read_rows(tmp_path / "o/responses.parquet")}
    assert len(responses) == stats["n_responses"] == 40
    assert all(responses[row["response_chosen"]]["response"] == row["chosen"][0]["content"] for row in rows)
    by_engine = {name.split("@")[0]: one for name, one in stats["engines"].items()}
    assert by_engine["openai:good"]["chosen"] > by_engine["openai:bad"]["chosen"]
    assert sum(one["pairs"] for one in stats["wins"]) == stats["n_pairs"]
    spent = {one["engine"].split("@")[0]: one for one in stats["spending"]}
    assert {name: (one["roles"], one["completions"]) for name, one in spent.items()} == {
        "openai:good": (["answers"], 20),
        "openai:bad": (["answers"], 20),
        "openai:judge": (["judges"], 40),
    }
    assert stats["completions"] == 80 and stats["tokens"] == sum(one["tokens"] for one in spent.values()) > 0
    assert stats["cost_usd"] == pytest.approx((stats["prompt_tokens"] + 2 * stats["tokens"]) / 1e6, abs=1e-5)
    assert set(done.folder.iterdir()) >= {tmp_path / "o" / name for name in (*TABLES, "stats.json", "ledger.sqlite")}


def test_columns_have_one_type_whatever_they_hold(tmp_path: Path) -> None:
    good, bad, judge = servers()
    same = FaultyServer(answer=drawn(6, 6), model="same")
    with good, bad, judge, same:
        judged(prompts(tmp_path, 3), tmp_path / "full", config([good, bad], judge))
        judged(prompts(tmp_path, 3), tmp_path / "none", config([same], judge, n_responses=2))
    for name in TABLES:
        assert pq.read_schema(tmp_path / "full" / name) == pq.read_schema(tmp_path / "none" / name)
    assert read_rows(tmp_path / "none/preferences.parquet") == []


def test_pairwise_writes_every_comparison(tmp_path: Path) -> None:
    good, bad, judge = servers(lambda message, luck: compares(message, luck, bias=0.5))
    with good, bad, judge:
        settings = config([good, bad], judge, mode="pairwise", votes=3)
        done = judged(prompts(tmp_path, 20), tmp_path / "o", settings)
    rows = read_rows(tmp_path / "o/comparisons.parquet")
    assert len(rows) == 20 and all(len(row["votes"]) == 3 for row in rows)
    found = done.stats["judging"]
    assert found["inconsistent_votes"] == sum(row["n_flipped"] for row in rows) > 0
    assert 0 < found["frac_inconsistent"] < 1 and 0.2 < found["position_bias"] < 0.8
    ids = {row["id"] for row in read_rows(tmp_path / "o/responses.parquet")}
    assert {row[side] for row in rows for side in ("first", "second")} == ids


def test_the_same_again_asks_nothing_and_other_settings_only_what_they_need(tmp_path: Path) -> None:
    good, bad, judge = servers()
    path, out = prompts(tmp_path), tmp_path / "o"
    with good, bad, judge:
        settings = config([good, bad], judge)
        judged(path, out, settings)
        n_asked = [len(server.asked) for server in (good, bad, judge)]
        watch = Watch()
        again = judge_file(path, out, settings, watcher=watch)
        assert again.up_to_date and watch.seen == [] and again.stats["n_prompts"] == 10
        wider = judged(path, out, config([good, bad], judge, min_margin=4))
        assert not wider.up_to_date and wider.stats["n_pairs"] < again.stats["n_pairs"]
        assert [len(server.asked) for server in (good, bad, judge)] == n_asked  # all of it was in the ledger
        judged(path, out, config([good, bad], judge, rubric="BE STRICT."))
        assert [len(server.asked) for server in (good, bad)] == n_asked[:2]
        assert "BE STRICT." in judge.asked[-1].prompt and len(judge.asked) == 2 * n_asked[2]


def test_a_limit_keeps_what_was_finished_and_the_next_run_goes_on(tmp_path: Path) -> None:
    good, bad, judge = servers()
    path = prompts(tmp_path)
    with good, bad, judge:
        settings = config([good, bad], judge)
        undisturbed = judged(path, tmp_path / "whole", settings)
        before = [len(server.asked) for server in (good, bad, judge)]
        limit = SpendingLimits(max_tokens=undisturbed.stats["tokens"] * 3 // 4 + 128)
        with pytest.raises(Stopped) as stopped:
            judged(path, tmp_path / "o", settings, limit)
        assert stopped.value.exit_code == EXIT_LIMIT_REACHED and "--max-tokens" in str(stopped.value)
        part = read_json(tmp_path / "o/stats.json")
        assert part["complete"] is False and 0 < part["n_finished"] < 10 and part["tokens"] <= limit.max_tokens
        assert len(read_rows(tmp_path / "o/preferences.parquet")) == part["n_pairs"]
        done = judged(path, tmp_path / "o", settings)
        again = [len(server.asked) - n for server, n in zip((good, bad, judge), before, strict=True)]
    assert again == before  # over both runs nothing was asked twice
    assert done.stats["complete"] is True and not done.up_to_date
    for name in TABLES:
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_engine_that_fails_half_way_is_asked_again_by_the_same_command(tmp_path: Path) -> None:
    good, bad, judge = servers()
    n_left = 7

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        nonlocal n_left
        n_left -= 1
        return None if n_left >= 0 else (500, {"error": {"message": "no more today"}})

    path = prompts(tmp_path)
    with good, bad, judge:
        settings = config([good, bad], judge)
        judged(path, tmp_path / "whole", settings)
        bad.refuse = refuse
        watch = Watch()
        impatient = [one.model_copy(update={"retries": 0}) for one in settings.engines]
        first = judge_file(
            path, tmp_path / "o", settings.model_copy(update={"engines": tuple(impatient)}), watcher=watch
        )
        bad.refuse = None
        done = judged(path, tmp_path / "o", settings)
    assert first.stats["failed_requests"] == 3 and first.stats["responses_left_out"] == {FAILED: 3}
    assert first.stats["n_finished"] == 10 and first.stats["n_with_pairs"] <= 7
    assert any("3 requests failed" in sentence for sentence in watch.sentences)
    assert not done.up_to_date and done.stats["failed_requests"] == 0
    for name in TABLES:
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_responses_that_are_there_need_no_engine_but_the_judge(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Question {i}?", "responses": ["Good [9]", "Bad [2]"], "engine": ["m1", "m2"]} for i in range(4)
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FaultyServer(answer=served(scores), model="judge") as judge:
        watch = Watch()
        done = judge_file(None, tmp_path / "o", config([], judge), watcher=watch, responses=path)
        again = judged(prompts(tmp_path, 4), tmp_path / "p", config([], judge), responses=_ours(tmp_path))
    assert done.stats["n_pairs"] == again.stats["n_pairs"] == 4
    assert done.stats["wins"] == [{"chosen": "m1", "rejected": "m2", "pairs": 4}]
    assert "columns: prompt <- prompt, responses <- responses, engine <- engine" in watch.sentences


def _ours(folder: Path) -> Path:
    """Responses that name the prompts of another file, among them one that there is not."""
    path = folder / "ours.jsonl"
    rows = [{"prompt_id": f"p{i % 5}", "response": f"text [{1 + i}]"} for i in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"judge": None}, "nobody judges"),
        ({"engines": []}, "nobody answers"),
        ({"engines": ["openai:good@http://127.0.0.1:1/v1"]}, "a prompt would have one response, which makes no pair"),
        ({"engines": ["transformers", "openai:good@http://127.0.0.1:1/v1"]}, "an engine names no model"),
    ],
)
def test_what_can_make_no_pair_is_refused(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    values = {"own": False, "judge": "openai:judge@http://127.0.0.1:1/v1", **fields}
    with pytest.raises(TeachableError, match=sentence):
        judged(prompts(tmp_path), tmp_path / "o", JudgePairsConfig.model_validate(values))
    assert not (tmp_path / "o/stats.json").exists()
