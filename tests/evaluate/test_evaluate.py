"""Scores, means and the verdict, on models whose accuracy is planted."""

from __future__ import annotations

import asyncio
import json
import math
import random
from typing import Any

import pytest

from teachable.engines.scripted import ScriptedEngine
from teachable.evaluate import EvaluateConfig, score_model, summarise
from teachable.evaluate.score import majority
from teachable.evaluate.verdict import outcome_of, verdict
from teachable.records import Attempt, Message, Progress, Prompt

CONFIG = EvaluateConfig()


def question(i: int, answer: str | None = "6") -> Prompt:
    domain = "sums" if i % 2 else "words"
    return Prompt(f"q{i:03d}", domain, (Message(role="user", content=f"question {i}"),), answer, level=1 + i % 3)


def model_of(rate: float, frac_failing: float = 0.0) -> ScriptedEngine:
    def answer(text: str, index: int, generator: random.Random) -> str:
        return f"Answer: {6 if generator.random() < rate else generator.randrange(7, 99)}"

    return ScriptedEngine(answer, frac_failing=frac_failing)


def score(
    arm: str, seed: int, rate: float, n: int = 60, config: EvaluateConfig = CONFIG, frac_failing: float = 0.0
) -> list[dict[str, Any]]:
    name = "base" if arm == "base" else f"{arm}-{seed}"
    questions = [question(i) for i in range(n)]
    # Models differ in their luck: a request seed of their own stands for weights of their own.
    request_seed = sum(map(ord, name))
    work = score_model(
        name, arm, seed, questions, engine=model_of(rate, frac_failing), config=config, request_seed=request_seed
    )
    return asyncio.run(work).rows


def runs(rates: dict[str, float], n: int = 60) -> list[dict[str, Any]]:
    return [
        row
        for arm, rate in rates.items()
        for seed in range(1 if arm == "base" else 3)
        for row in score(arm, seed, rate, n)
    ]


def test_score_rows_hold_the_contract() -> None:
    rows = score("teachable", 2, 0.5, n=5)
    assert [r["prompt_id"] for r in rows] == [f"q{i:03d}" for i in range(5)]
    sampled = ["n", "n_correct", "n_undecided", "greedy", "majority", "score"]
    costs = ["n_tokens", "n_prompt_tokens", "cost_usd"]
    assert list(rows[0]) == ["model", "arm", "seed", "task", "prompt_id", "domain", "level", *sampled, *costs]
    assert (rows[0]["model"], rows[0]["arm"], rows[0]["seed"]) == ("teachable-2", "teachable", 2)
    assert all(r["n"] == 4 and 0 <= r["n_correct"] <= 4 and r["n_tokens"] > 0 for r in rows)
    assert all(isinstance(r["greedy"], bool) and isinstance(r["majority"], bool) for r in rows)
    assert score("teachable", 2, 0.5, n=5) == rows


def test_without_greedy_there_is_none() -> None:
    config = EvaluateConfig(greedy=False)
    rows = score("base", 0, 0.5, n=4, config=config)
    assert {r["greedy"] for r in rows} == {None}
    assert list(summarise(rows, config)["arms"][0]["metrics"]) == ["pass@1", "maj@k", "pass@2", "pass@4"]


def attempts(*pairs: tuple[str | None, bool | None]) -> list[Attempt]:
    return [Attempt("p", i, "e", 0, "", (), "stop", correct, answer, "") for i, (answer, correct) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "right"),
    [
        ([("6", True), ("7", False), ("06", True)], True),
        ([("7", False), ("6", True)], False),  # a tie goes to the first
        ([("6", True), (None, False), (None, False)], True),  # no answer is no vote
        ([(None, False), (None, False)], False),
        ([("7", None), ("7", None), ("6", True)], True),  # no verdict is no vote
        ([("7", None)], None),
        ([], None),
    ],
)
def test_majority(pairs: list[tuple[str | None, bool | None]], right: bool | None) -> None:
    assert majority(attempts(*pairs), "exact") is right


def test_equivalent_answers_vote_together_under_math() -> None:
    pairs = attempts(("1/2", True), ("7", False), ("7", False), ("0.5", True), ("50%", True))
    assert majority(pairs, "math") is True
    assert majority(pairs, "exact") is False


def test_means_are_those_of_the_rows() -> None:
    rows = runs({"base": 0.3, "teachable": 0.6, "random": 0.5})
    stats = summarise(rows, CONFIG, budget_tokens=60_000)
    assert (stats["n_questions"], stats["n_samples"], stats["undecided_rate"]) == (60, 4, 0.0)
    assert [a["arm"] for a in stats["arms"]] == ["base", "teachable", "random"]
    for arm in stats["arms"]:
        mine = [r for r in rows if r["arm"] == arm["arm"]]
        assert arm["n_seeds"] == len({r["seed"] for r in mine})
        expected = {
            "pass@1": sum(r["n_correct"] / r["n"] for r in mine) / len(mine),
            "greedy": sum(r["greedy"] for r in mine) / len(mine),
            "maj@k": sum(r["majority"] for r in mine) / len(mine),
            # Of two of four samples one is right, unless both are among the wrong ones.
            "pass@2": sum(1 - math.comb(4 - r["n_correct"], 2) / 6 for r in mine) / len(mine),
            "pass@4": sum(r["n_correct"] > 0 for r in mine) / len(mine),
        }
        assert set(arm["metrics"]) == set(expected)
        for metric, found in arm["metrics"].items():
            assert found["mean"] == pytest.approx(expected[metric])
            assert 0 <= found["low"] <= found["mean"] <= found["high"] <= 1
    domain = next(d for d in stats["domains"] if (d["arm"], d["domain"], d["level"]) == ("random", "sums", 2))
    mine = [r for r in rows if (r["arm"], r["domain"], r["level"]) == ("random", "sums", 2)]
    assert domain["n_questions"] == len(mine) / 3
    assert domain["mean"] == pytest.approx(sum(r["n_correct"] / r["n"] for r in mine) / len(mine))
    assert {d["level"] for d in stats["domains"]} == {0, 1, 2, 3}
    assert {(c["arm"], c["baseline"]) for c in stats["comparisons"]} == {
        ("teachable", "random"), ("teachable", "base"), ("random", "base"),
    }  # fmt: skip
    assert stats["tokens"] == sum(r["n_tokens"] for r in rows)
    assert stats["completions"] == 5 * len(rows)
    json.dumps(stats, allow_nan=False)


def test_the_verdict_says_better_worse_and_neither() -> None:
    better = summarise(runs({"base": 0.2, "teachable": 0.7, "random": 0.4}), CONFIG, budget_tokens=60_000)["verdict"]
    assert better["outcome"] == "better"
    assert better["low"] > 0
    assert better["sentence"].startswith("At the same 60,000 training tokens, teaching at the edge scored ")
    assert better["sentence"].endswith("), so it was better.")
    assert f"{100 * better['diff']:+.1f} points (95% interval +" in better["sentence"]
    worse = summarise(runs({"base": 0.2, "teachable": 0.4, "random": 0.7}), CONFIG)["verdict"]
    assert (worse["outcome"], worse["sentence"].endswith("so it was worse.")) == ("worse", True)
    assert worse["sentence"].startswith("At the same training tokens, ")
    even = [r | {"arm": arm, "model": f"{arm}-0"} for arm in ("teachable", "random") for r in score("x", 0, 0.5)]
    same = summarise(even, CONFIG)["verdict"]
    assert (same["outcome"], same["diff"]) == ("no difference", 0.0)
    assert same["low"] <= 0 <= same["high"]
    assert ": 0.0 points (95% interval " in same["sentence"]
    assert same["sentence"].endswith("so no difference could be shown.")


def test_without_a_random_arm_the_base_is_the_baseline() -> None:
    found = summarise(runs({"base": 0.2, "teachable": 0.7}), CONFIG, budget_tokens=500)["verdict"]
    assert (found["baseline"], found["outcome"]) == ("base", "better")
    assert found["sentence"].startswith("With 500 training tokens, teaching at the edge scored ")
    assert "for the base model" in found["sentence"]


def test_a_lone_base_has_nothing_to_be_compared_with() -> None:
    stats = summarise(score("base", 0, 0.25), CONFIG)
    assert stats["comparisons"] == []
    assert stats["power"] is None
    assert stats["verdict"]["outcome"] == "no difference"
    assert stats["verdict"]["sentence"].startswith("The base model scored ")
    assert stats["verdict"]["sentence"].endswith("there is no other model to compare it with.")
    assert summarise([], CONFIG)["verdict"]["sentence"] == "No model could be scored, so there is nothing to compare."


def test_undecided_answers_are_left_out_and_counted() -> None:
    rows = runs({"base": 0.5}) + score("teachable", 0, 1.0, frac_failing=0.3)
    stats = summarise(rows, CONFIG)
    failed = sum(r["n"] == 0 for r in rows)
    assert 0 < failed < 60
    assert stats["undecided_rate"] == pytest.approx(failed * 4 / (120 * 4))
    assert stats["arms"][1]["metrics"]["pass@1"]["mean"] == 1.0
    assert next(c for c in stats["comparisons"] if c["metric"] == "pass@1")["n_questions"] == 60 - failed


def test_arms_of_different_seeds_are_compared_on_those_they_share() -> None:
    rows = [
        r for arm, seeds in (("teachable", (0, 1, 2)), ("random", (1, 2, 5))) for s in seeds for r in score(arm, s, 0.5)
    ]
    found = next(c for c in summarise(rows, CONFIG)["comparisons"] if c["metric"] == "pass@1")
    shared = {
        arm: [r["n_correct"] / r["n"] for r in rows if r["arm"] == arm and r["seed"] in (1, 2)]
        for arm in ("teachable", "random")
    }
    assert found["n_seeds"] == 2
    assert found["diff"] == pytest.approx(sum(shared["teachable"]) / 120 - sum(shared["random"]) / 120)


def test_equal_models_are_seldom_told_apart() -> None:
    """Ten null comparisons at 5%: four or more false alarms happen once in a thousand."""
    alarms = 0
    for i in range(10):
        rows = [
            r | {"arm": arm, "seed": s}
            for arm in ("teachable", "random")
            for s in range(3)
            for r in score(f"{arm}{i}", s, 0.5, n=40, config=EvaluateConfig(greedy=False))
        ]
        alarms += summarise(rows, EvaluateConfig(greedy=False))["verdict"]["outcome"] != "no difference"
    assert alarms < 4


def test_both_kinds_of_interval_agree_where_they_should() -> None:
    rows = runs({"base": 0.2, "teachable": 0.6, "random": 0.5})
    t, bootstrap = (summarise(rows, EvaluateConfig(interval=kind))["verdict"] for kind in ("t", "bootstrap"))
    assert t["diff"] == bootstrap["diff"]
    assert bootstrap["high"] - bootstrap["low"] == pytest.approx(t["high"] - t["low"], rel=0.5)


def test_power_is_in_the_numbers() -> None:
    stats = summarise(runs({"base": 0.2, "teachable": 0.6, "random": 0.5}), CONFIG)
    assert (stats["power"]["arm"], stats["power"]["baseline"]) == ("teachable", "random")
    assert 0.02 < stats["power"]["smallest_detectable"] < 0.5
    assert "points or more would be found 80% of the time" in stats["power"]["sentence"]


def test_progress_runs_through_both_rounds() -> None:
    seen: list[Progress] = []
    work = score_model(
        "base", "base", 0, [question(i) for i in range(3)], engine=model_of(0.5), config=CONFIG, on_progress=seen.append
    )
    rows = asyncio.run(work).rows
    assert [(p.done, p.total) for p in seen] == [(i, 6) for i in range(1, 7)]
    assert seen[-1].tokens == sum(r["n_tokens"] for r in rows)
    assert {p.note for p in seen} == {"base"}


def test_another_trained_arm_gets_its_verdict_too() -> None:
    arms = [
        {"arm": "tuned", "metrics": {"pass@1": {"mean": 0.5}}},
        {"arm": "base", "metrics": {"pass@1": {"mean": 0.4}}},
    ]
    comparison = {"arm": "tuned", "baseline": "base", "metric": "pass@1", "diff": 0.1, "low": -0.02, "high": 0.22}
    assert verdict(arms, [comparison], None)["sentence"] == (
        "tuned scored 50.0% against 40.0% for the base model: +10.0 points (95% interval -2.0 to +22.0), "
        "so no difference could be shown."
    )


def test_an_interval_that_touches_zero_shows_nothing() -> None:
    assert [outcome_of(0.0, 0.1), outcome_of(-0.1, 0.0), outcome_of(0.01, 0.1), outcome_of(-0.2, -0.1)] == [
        "no difference", "no difference", "better", "worse",
    ]  # fmt: skip
