"""What the scores of several models say together, on rows whose truth was planted."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from teachable.evaluate import EvaluateConfig, summarise
from teachable.evaluate.differences import pairs_of
from teachable.evaluate.score import Scores, partial_score, without_hollow_votes
from teachable.evaluate.tables import pass_ks
from teachable.records import Attempt

CONFIG = EvaluateConfig(greedy=False)
Rates = dict[str, np.ndarray]


def row(arm: str, i: int, n: int, n_correct: int, **other: Any) -> dict[str, Any]:
    task = "odd" if i % 2 else "even"
    known = {"model": arm, "arm": arm, "seed": 0, "task": task, "prompt_id": f"q{i:03d}", "domain": task, "level": 0}
    counts = {"n": n, "n_correct": n_correct, "n_undecided": 0, "greedy": None, "majority": None, "score": None}
    return {**known, **counts, "n_tokens": 10 * n, "n_prompt_tokens": 7, "cost_usd": 0.001, **other}


def planted(rates: Rates, luck: np.random.Generator, n: int = 4) -> list[dict[str, Any]]:
    """Rows of models whose chance of being right is known question by question."""
    return [row(arm, i, n, int(luck.binomial(n, p))) for arm, each in rates.items() for i, p in enumerate(each)]


def difference(stats: dict[str, Any], metric: str = "pass@1", task: str = "", arm: str = "b") -> dict[str, Any]:
    return next(c for c in stats["comparisons"] if (c["arm"], c["metric"], c["task"]) == (arm, metric, task))


def test_intervals_hold_the_truth_and_pass_at_k_is_unbiased() -> None:
    """Of 120 intervals at 95%, 106 or fewer hold it with a chance of one in 300."""
    luck = np.random.default_rng(5)
    rates = {"a": luck.uniform(0.1, 0.9, 60)}
    rates["b"] = np.clip(rates["a"] + luck.normal(0.05, 0.1, 60), 0, 1)
    truth = {
        "pass@1": float((rates["b"] - rates["a"]).mean()),
        "pass@2": float(((1 - rates["a"]) ** 2 - (1 - rates["b"]) ** 2).mean()),
        "pass@4": float(((1 - rates["a"]) ** 4 - (1 - rates["b"]) ** 4).mean()),
    }
    found: dict[str, list[dict[str, Any]]] = {metric: [] for metric in truth}
    for _ in range(120):
        stats = summarise(planted(rates, luck), CONFIG, beside=["a", "b"])
        for metric in truth:
            found[metric].append(difference(stats, metric))
    for metric, true in truth.items():
        diffs = np.array([one["diff"] for one in found[metric]])
        assert abs(diffs.mean() - true) < 4 * diffs.std() / math.sqrt(120)
        # These questions are all there are, so the interval, which allows for others, holds the truth more often.
        assert sum(one["low"] <= true <= one["high"] for one in found[metric]) > 106


def test_a_planted_difference_is_found_and_none_is_not() -> None:
    luck = np.random.default_rng(1)
    base = luck.uniform(0.2, 0.8, 200)
    rates = {"a": base, "b": np.clip(base + 0.15, 0, 1), "c": base}
    stats = summarise(planted(rates, luck, n=8), EvaluateConfig(greedy=False, n_samples=8), beside=list(rates))
    told = stats["verdict"]
    assert (told["arm"], told["outcome"]) == ("b", "better")
    assert told["sentence"].startswith("On 200 questions b scored ") and "the most of 3 models" in told["sentence"]
    assert "better than " in told["sentence"] and "no difference from" not in told["sentence"]
    null = next(c for c in stats["comparisons"] if (c["arm"], c["baseline"], c["metric"]) == ("c", "a", "pass@1"))
    assert null["low"] < 0 < null["high"] and null["p_holm"] > 0.05
    json.dumps(stats, allow_nan=False)


def test_the_best_is_not_better_than_those_it_cannot_be_told_from() -> None:
    luck = np.random.default_rng(2)
    base = luck.uniform(0.4, 0.6, 150)
    rates = {"low": base - 0.35, "one": base, "two": base + 0.01}
    stats = summarise(planted(rates, luck), CONFIG, beside=list(rates))
    told = stats["verdict"]
    assert told["outcome"] == "no difference" and told["baseline"] in ("one", "two")
    assert f"; no difference from {told['baseline']} (" in told["sentence"] and "better than low (" in told["sentence"]
    assert (stats["power"]["arm"], stats["power"]["baseline"]) == ("two", "one")


def test_two_models_are_told_apart_the_better_one_first() -> None:
    rows = [row(arm, i, 4, n_correct) for arm, n_correct in (("a", 3), ("b", 1)) for i in range(40)]
    rows[0]["n_correct"] = 2
    told = summarise(rows, CONFIG, beside=["a", "b"])["verdict"]
    assert (told["arm"], told["baseline"], told["outcome"]) == ("a", "b", "better")
    assert told["sentence"].startswith(
        "On 40 questions a scored 74.4% against 25.0% for b: +49.4 points (95% interval +"
    )
    assert 0 < told["low"] < told["diff"] < told["high"]


def test_who_is_compared_with_whom() -> None:
    assert pairs_of(["a", "b", "c"], ["a", "b", "c"]) == [("b", "a"), ("c", "a"), ("c", "b")]
    arms = ["base", "teachable", "random", "large", "larger"]
    assert pairs_of(arms, ["large", "larger"]) == [
        ("teachable", "random"), ("teachable", "base"), ("random", "base"),
        ("large", "base"), ("large", "teachable"), ("larger", "base"), ("larger", "teachable"), ("larger", "large"),
    ]  # fmt: skip
    assert pairs_of(["base", "large"], ["large"]) == [("large", "base")]
    assert pairs_of(["base", "other"], ["base", "other"]) == [("other", "base")]


def test_models_beside_a_run_do_not_take_its_verdict() -> None:
    luck = np.random.default_rng(3)
    base = np.full(80, 0.3)
    rates = {"base": base, "teachable": base + 0.3, "random": base + 0.1, "large": base + 0.6}
    stats = summarise(planted(rates, luck), CONFIG, beside=["large"], budget_tokens=500)
    assert stats["verdict"]["sentence"].startswith("At the same 500 training tokens, teaching at the edge scored ")
    assert (stats["trained"], stats["beside"]) == (["teachable", "random"], ["large"])
    assert {one["baseline"] for one in stats["domain_comparisons"]} == {"base"}
    assert {one["arm"] for one in stats["domain_comparisons"]} == {"teachable", "random", "large"}


def test_a_run_is_judged_on_its_own_questions_and_benchmarks_stand_by_task() -> None:
    luck = np.random.default_rng(7)
    gain = np.where(np.arange(80) % 2, 0.0, 0.4)  # on even questions alone
    rates = {"base": np.full(80, 0.3), "teachable": 0.3 + gain, "random": np.full(80, 0.3)}
    rows = planted(rates, luck)
    for one in rows:
        one["task"] = "heldout" if one["task"] == "even" else "gsm8k"
    stats = summarise(rows, CONFIG, budget_tokens=500)
    told = stats["verdict"]
    assert told["sentence"].startswith(
        "On the run's own held-out questions, at the same 500 training tokens, teaching "
    )
    assert (told["task"], told["outcome"]) == ("heldout", "better")
    means = {
        one["arm"]: one["mean"] for one in stats["by_task"] if (one["task"], one["metric"]) == ("heldout", "pass@1")
    }
    assert told["diff"] == pytest.approx(means["teachable"] - means["random"])
    assert f"{means['teachable']:.1%} against {means['random']:.1%}" in told["sentence"]
    least = next(one for one in stats["power_by_task"] if one["task"] == "heldout")
    assert stats["power"]["smallest_detectable"] == least["smallest_detectable"]


def test_a_task_has_means_differences_and_power_of_its_own() -> None:
    luck = np.random.default_rng(4)
    rates = {"a": np.full(60, 0.4), "b": np.where(np.arange(60) % 2, 0.9, 0.4)}
    rows = planted(rates, luck)
    stats = summarise(rows, CONFIG, beside=["a", "b"])
    for one in stats["by_task"]:
        mine = [r for r in rows if (r["arm"], r["task"]) == (one["arm"], one["task"])]
        assert one["n_questions"] == len(mine) == 30
        costs = [one[f"{name}_per_question"] for name in ("tokens", "prompt_tokens", "usd")]
        assert costs == pytest.approx([40, 7, 0.001])
        if one["metric"] == "pass@1":
            assert one["mean"] == pytest.approx(sum(r["n_correct"] / 4 for r in mine) / 30)
    assert {c["task"] for c in stats["comparisons"]} == {"", "odd", "even"}
    assert difference(stats, task="odd")["low"] > 0.2 and abs(difference(stats, task="even")["diff"]) < 0.2
    assert [one["task"] for one in stats["power_by_task"]] == ["even", "odd"]
    assert stats["power_by_task"][1]["sentence"].startswith("odd can't tell apart models closer than ")
    assert "This test set can't tell apart models closer than " in stats["power"]["sentence"]


def test_one_task_is_told_once() -> None:
    rows = [row(arm, 2 * i, 4, (i + j) % 5) for j, arm in enumerate("ab") for i in range(20)]
    stats = summarise(rows, CONFIG, beside=["a", "b"])
    assert {c["task"] for c in stats["comparisons"]} == {""}
    assert [one["task"] for one in stats["power_by_task"]] == ["even"]


def holm_by_hand(values: Sequence[float]) -> list[float]:
    adjusted, most = {}, 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        most = adjusted[i] = max(most, min(1.0, values[i] * (len(values) - rank)))
    return [adjusted[i] for i in range(len(values))]


def test_p_values_are_adjusted_within_a_metric_apart_for_tasks() -> None:
    luck = np.random.default_rng(6)
    base = luck.uniform(0.3, 0.7, 80)
    stats = summarise(planted({"a": base, "b": base + 0.08, "c": base + 0.16}, luck), CONFIG, beside=["a", "b", "c"])
    for metric in ("pass@1", "pass@4"):
        for by_task, size in ((False, 3), (True, 6)):
            family = [c for c in stats["comparisons"] if c["metric"] == metric and bool(c["task"]) == by_task]
            assert len(family) == size
            assert [c["p_holm"] for c in family] == pytest.approx(holm_by_hand([c["p_value"] for c in family]))


def test_mcnemar_is_for_answers_that_are_right_or_wrong() -> None:
    n_only_a, n_only_b, n_both = 3, 12, 30
    pairs = [(True, False)] * n_only_a + [(False, True)] * n_only_b + [(True, True)] * n_both
    rows = [
        row(arm, i, 4, 2, greedy=pair[j]) for j, arm in enumerate("ab") for i, pair in enumerate(pairs)
    ] + [row("a", 98, 4, 2, greedy=None), row("b", 98, 4, 2, greedy=True)]  # fmt: skip
    stats = summarise(rows, EvaluateConfig(), beside=["a", "b"])
    n = n_only_a + n_only_b
    by_hand = 2 * sum(math.comb(n, i) for i in range(n_only_a + 1)) / 2**n
    assert difference(stats, "greedy")["mcnemar_p"] == pytest.approx(by_hand)
    assert difference(stats, "greedy")["n_questions"] == 45
    assert difference(stats, "pass@1")["mcnemar_p"] is None
    one = summarise([r | {"n": 1, "n_correct": r["n_correct"] // 2} for r in rows], EvaluateConfig(n_samples=1))
    assert one["comparisons"] == []  # nobody said that these are models beside a run


def test_greedy_alone_is_an_evaluation_too() -> None:
    config = EvaluateConfig(n_samples=0)
    rows = [row(arm, i, 0, 0, greedy=(i + j) % 3 > 0) for j, arm in enumerate("ab") for i in range(30)]
    stats = summarise(rows, config, beside=["a", "b"])
    assert list(stats["arms"][0]["metrics"]) == ["greedy"]
    assert (stats["verdict"]["metric"], stats["undecided_rate"]) == ("greedy", None)
    assert stats["completions"] == 60
    assert stats["verdict"]["sentence"].startswith("On 30 questions a scored 66.7% against 66.7% for b: 0.0 points")


def test_powers_of_two_up_to_the_number_of_samples() -> None:
    assert [pass_ks(n) for n in (0, 1, 2, 3, 8, 10)] == [(), (), (2,), (2, 3), (2, 4, 8), (2, 4, 8, 10)]


def test_too_few_decided_samples_leave_a_question_out_of_pass_at_k() -> None:
    rows = [row("a", i, 4, 2) for i in range(9)] + [row("a", 9, 3, 3, n_undecided=1)]
    by_metric = summarise(rows, CONFIG)["arms"][0]["metrics"]
    assert by_metric["pass@1"]["mean"] == pytest.approx(0.55)
    assert by_metric["pass@4"]["mean"] == 1.0
    found = {one["metric"]: one["n_questions"] for one in summarise(rows, CONFIG)["by_task"] if one["task"] == "odd"}
    assert (found["pass@2"], found["pass@4"]) == (5, 4)


# ---- partial scores and votes ----


def attempt(correct: bool | None, frac: float | None) -> Attempt:
    return Attempt("p", 0, "e", 0, "", (), "stop", correct, None, "", frac_passed=frac)


def test_an_answer_that_cannot_be_taken_apart_counts_as_it_was_decided() -> None:
    assert partial_score([attempt(False, 0.5), attempt(True, 1.0)]) == 0.75
    assert partial_score([attempt(False, 0.5), attempt(False, None)]) == 0.25
    assert partial_score([attempt(True, None), attempt(False, None)]) is None
    assert partial_score([]) is None


def test_a_question_without_partial_scores_counts_in_a_task_that_has_them() -> None:
    rows = [row("a", i, 4, 1, score=0.5) for i in (0, 2, 4)] + [row("a", 6, 4, 0), row("a", 1, 4, 4)]
    stats = summarise(rows, CONFIG)
    scores = [one for one in stats["by_task"] if one["metric"] == "score"]
    assert [(one["task"], one["n_questions"], one["mean"]) for one in scores] == [("even", 4, 0.375)]


def test_where_right_answers_have_no_text_there_is_no_majority() -> None:
    def told(arm: str, correct: bool, answer: str | None) -> Scores:
        rows = [row(arm, 0, 1, 1, majority=False), row(arm, 1, 1, 1, majority=True)]
        return Scores(rows, [{"prompt_id": "q000", "correct": correct, "answer": answer}])

    rows = without_hollow_votes([told("a", True, None), told("b", False, None)])
    assert [r["majority"] for r in rows] == [None, True, None, True]
    rows = without_hollow_votes([told("a", True, "6"), told("b", False, None)])
    assert [r["majority"] for r in rows] == [False, True, False, True]
