"""Differences of scores between runs, against what is planted, and whether the scores may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.recipe.planted_runs import HELD, SCORED, Planted, compared, prompt, right, scores

from teachable.recipe.differences.independent import independent_difference
from teachable.stats import mean_interval, paired_difference, smallest_detectable, t_quantile

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def compare(tmp_path: Path) -> Make:
    """Write the runs `one`, `two`, ... and compare them; of two runs the comparison itself."""
    return lambda *planted: compared(tmp_path, *planted)


def table(planted: Planted, arm: str = "teachable") -> np.ndarray:
    """pass@1 of an arm as [questions, seeds], computed from the planted rows alone."""
    found: dict[str, dict[int, float]] = {}
    for row in planted.scores or ():
        if row["arm"] == arm:
            found.setdefault(row["prompt_id"], {})[row["seed"]] = row["n_correct"] / row["n"]
    return np.array([[values[seed] for seed in sorted(values)] for _, values in sorted(found.items())])


def test_the_same_questions_are_paired(compare: Make) -> None:
    two = replace(SCORED, scores=scores("teachable", right(shift=1, seed=0)))
    found = compare(SCORED, two)
    row, expected = found["scores"]["headline"], paired_difference(table(two), table(SCORED))
    assert row["method"] == "paired" and row["frac_common"] == 1.0 and row["n_questions"] == [40, 40]
    assert (row["diff"], row["low"], row["high"]) == pytest.approx((expected.mean, expected.low, expected.high))
    assert row["p_value"] == pytest.approx(expected.p_value) and row["outcome"] == "better"
    assert row["smallest_detectable"] == pytest.approx(smallest_detectable(expected.se, expected.df))
    assert (row["baseline"], row["other"]) == pytest.approx((table(SCORED).mean(), table(two).mean()))
    assert found["sentence"].startswith("On pass@1, teachable scored ")
    assert found["sentence"].endswith("so two is better.")
    assert found["warnings"] == []


def test_the_same_weights_are_told_from_others_of_the_same_name(compare: Make) -> None:
    def run(digest: str) -> Planted:
        return replace(SCORED, stats={"models": [{"arm": "teachable", "engine": {"names": [digest]}}]})

    assert compare(run("a"), run("a"))["scores"]["headline"]["same_model"] is True
    assert compare(run("a"), run("b"))["scores"]["headline"]["same_model"] is False
    assert compare(SCORED, SCORED)["scores"]["headline"]["same_model"] is False  # nobody knows


def test_a_worse_run_is_called_worse_and_equal_ones_neither(compare: Make) -> None:
    worse = replace(SCORED, scores=scores("teachable", right(shift=-1)))
    assert compare(SCORED, worse)["sentence"].endswith("so two is worse.")


def test_the_same_scores_differ_by_nothing(compare: Make) -> None:
    found = compare(SCORED, SCORED)
    row = found["scores"]["headline"]
    assert row["diff"] == 0.0 and row["low"] <= 0.0 <= row["high"] and row["outcome"] == "no difference"
    assert "so no difference could be shown." in found["sentence"] and "0.0 points" in found["sentence"]


def test_other_questions_are_not_paired(compare: Make) -> None:
    other = [prompt(n) for n in range(300, 330)]
    two = Planted(heldout=other, scores=scores("teachable", right(seed=4, n=30, start=300)))
    found = compare(SCORED, two)
    row = found["scores"]["headline"]
    first, second = mean_interval(table(two)), mean_interval(table(SCORED))
    se = math.hypot(first.se, second.se)
    df = se**4 / (first.se**4 / 29 + second.se**4 / 39)
    half = t_quantile(0.975, df) * se
    assert (row["method"], row["frac_common"], row["n_questions"]) == ("unpaired", 0.0, [40, 30])
    assert (row["se"], row["df"]) == pytest.approx((se, df))
    assert (row["low"], row["high"]) == pytest.approx((row["diff"] - half, row["diff"] + half))
    assert row["diff"] == pytest.approx(first.mean - second.mean)
    differ = "the evaluation sets differ: 40 questions against 30, 0 of them the same"
    assert found["sentence"].startswith(f"Not comparable: {differ}")


@pytest.mark.parametrize(("n_common", "method", "n"), [(30, "paired", [30, 30]), (10, "unpaired", [40, 40])])
def test_questions_in_common_are_paired_where_they_are_most(
    compare: Make, n_common: int, method: str, n: list[int]
) -> None:
    numbers = [*range(140 - n_common, 140), *range(200, 240 - n_common)]
    values = dict(zip(numbers, right(seed=9).values(), strict=True))
    two = Planted(heldout=[prompt(i) for i in numbers], scores=scores("teachable", values))
    found = compare(SCORED, two)
    row = found["scores"]["headline"]
    assert (row["method"], row["n_questions"], row["frac_common"]) == (method, n, n_common / 40)
    assert [warning["breaks"] for warning in found["warnings"]] == [False]
    if method == "paired":
        before = {int(r["prompt_id"][1:]): r["n_correct"] / 4 for r in SCORED.scores or ()}
        shared = [i for i in numbers if i in before]
        assert row["baseline"] == pytest.approx(sum(before[i] for i in shared) / len(shared))


def test_seeds_are_paired_by_what_both_have(compare: Make) -> None:
    def run(shift: int, *seeds: int) -> Planted:
        rows = [row for seed in seeds for row in scores("teachable", right(shift, seed), seed=seed)]
        return replace(SCORED, scores=rows)

    one, two = run(0, 0, 1, 2), run(1, 1, 2)
    row = compare(one, two)["scores"]["headline"]
    expected = paired_difference(table(two), table(one)[:, 1:])
    assert row["n_seeds"] == [2, 2]
    assert (row["diff"], row["low"]) == pytest.approx((expected.mean, expected.low))


def test_arms_of_one_name_are_compared_and_headlines_of_two(compare: Make) -> None:
    base = scores("base", right(seed=1))
    one = replace(SCORED, scores=[*base, *scores("model-a", right())], stats={"verdict": {"arm": "model-a"}})
    two = replace(SCORED, scores=[*base, *scores("model-b", right(shift=1))], stats={"verdict": {"arm": "model-b"}})
    found = compare(one, two)
    scored = found["scores"]
    assert (scored["headline"]["arm_baseline"], scored["headline"]["arm"]) == ("model-a", "model-b")
    assert (scored["only_baseline_arms"], scored["only_other_arms"]) == (["model-a"], ["model-b"])
    assert "model-b of two scored" in found["sentence"] and "for model-a of one" in found["sentence"]
    assert {row["arm"] for row in scored["rows"] if row["arm"] == row["arm_baseline"]} == {"base"}
    others = [row for row in scored["rows"] if row["arm"] != row["arm_baseline"]]
    assert {row["metric"] for row in others} == set(scored["metrics"]) and {row["domain"] for row in others} >= {"sums"}


def test_tasks_and_domains_have_rows_of_their_own(compare: Make) -> None:
    def run(shift: int) -> Planted:
        rows = scores("base", right(shift)) + scores("base", right(0, start=300), task="gsm8k", domain="gsm8k")
        return Planted(heldout=[*HELD, *(prompt(n) for n in range(300, 340))], scores=rows)

    rows = [row for row in compare(run(0), run(1))["scores"]["rows"] if row["metric"] == "pass@1"]
    found = {(row["task"], row["domain"]): row for row in rows}
    assert set(found) == {("", ""), ("gsm8k", ""), ("heldout", ""), ("", "sums"), ("", "words")}
    assert found["gsm8k", ""]["diff"] == 0.0 and found["heldout", ""]["outcome"] == "better"
    assert found["", ""]["n_questions"] == [80, 80] and found["", "sums"]["n_questions"] == [20, 20]
    # Rows of one kind are one family: of two p-values the smaller is doubled.
    family = sorted((found[one, ""] for one in ("gsm8k", "heldout")), key=lambda row: row["p_value"])
    assert family[0]["p_holm"] == pytest.approx(2 * family[0]["p_value"])


def test_every_metric_that_both_have(compare: Make) -> None:
    one = replace(SCORED, scores=scores("teachable", right(), score=0.5))
    two = replace(SCORED, scores=scores("teachable", right(), score=0.75))
    rows = {row["metric"]: row for row in compare(one, two)["scores"]["rows"] if not row["domain"]}
    assert set(rows) == {"pass@1", "greedy", "maj@k", "pass@2", "pass@4", "score"}
    assert rows["score"]["diff"] == pytest.approx(0.25)


def test_another_number_of_samples_leaves_out_the_majority(compare: Make) -> None:
    two = replace(SCORED, scores=scores("teachable", right(answers=8), n=8), stats={"n_samples": 8})
    two = replace(two, settings={"stages.evaluate.n_samples": 8})
    found = compare(SCORED, two)
    assert found["scores"]["metrics"] == ["pass@1", "greedy", "pass@2", "pass@4"]
    assert [(w["what"], w["breaks"]) for w in found["warnings"]] == [("n_samples", False)]


def test_scores_of_an_earlier_version_have_no_task_and_no_partial_score(compare: Make) -> None:
    rows = [{k: v for k, v in row.items() if k not in ("task", "score")} for row in SCORED.scores or ()]
    assert compare(replace(SCORED, scores=rows), SCORED)["scores"]["headline"]["diff"] == 0.0


def test_a_question_that_was_undecided_is_left_out_of_its_pair(compare: Make) -> None:
    values = right()
    rows = scores("teachable", values)
    rows[3] |= {"n": 0, "n_correct": 0, "n_undecided": 4, "greedy": None, "majority": None}
    row = compare(SCORED, replace(SCORED, scores=rows))["scores"]["headline"]
    assert (row["n_questions"], row["diff"]) == ([39, 39], 0.0)
    kept = [n / 4 for (n,), i in zip(values.values(), range(40), strict=True) if i != 3]
    assert row["baseline"] == row["other"] == pytest.approx(sum(kept) / 39)


def test_gains_within_each_run_stand_side_by_side(compare: Make) -> None:
    def stats(diff: float) -> dict[str, Any]:
        told = {"arm": "teachable", "baseline": "base", "metric": "pass@1", "low": 0.0, "high": 0.3}
        return {"comparisons": [{**told, "diff": diff}, {**told, "diff": 9.0, "task": "gsm8k"}]}

    found = compare(replace(SCORED, stats=stats(0.1)), replace(SCORED, stats=stats(0.2)))
    [gain] = found["scores"]["gains"]
    assert (gain["over"], gain["baseline"]["diff"], gain["other"]["diff"]) == ("base", 0.1, 0.2)


# ---- intervals ----


@pytest.mark.parametrize(("low", "spread"), [(0.0, 0.8), (0.02, 0.05)])
def test_an_unpaired_interval_covers_the_truth(low: float, spread: float) -> None:
    """Two runs of 60 other questions each, three seeds against one; the true difference is 0.1."""
    generator = np.random.default_rng(7)
    n_covered, n_rounds = 0, 400
    for _ in range(n_rounds):
        rates = [low + generator.beta(2, 2, size=(60, 1)) * spread + shift for shift in (0.1, 0.0)]
        tables = [generator.binomial(4, rate, size=(60, n)) / 4 for rate, n in zip(rates, (3, 1), strict=True)]
        found = independent_difference(*(mean_interval(one) for one in tables))
        n_covered += found.low <= 0.1 <= found.high
    assert 0.925 <= n_covered / n_rounds <= 0.985


def test_means_at_an_end_differ_with_doubt() -> None:
    """All of 10 against none of 20; of one question, or of none, there is nothing to say."""
    found = independent_difference(mean_interval(np.ones(10)), mean_interval(np.zeros(20)))
    assert found.mean == 1.0 and 0.5 < found.low < 0.8 and found.high == 1.0 and found.p_value < 0.001
    found = independent_difference(mean_interval([1.0]), mean_interval(np.ones(10)))
    assert (found.low, found.high, found.p_value) == (-1.0, 1.0, 1.0)
    assert independent_difference(mean_interval([]), mean_interval(np.ones(10))).n == 0


# ---- is it comparable? ----


@pytest.mark.parametrize(
    ("planted", "what", "breaks", "sentence"),
    [
        ({"settings": {"stages.evaluate.temperature": 0.6}}, "temperature", True, "temperature 1 against 0.6"),
        ({"settings": {"stages.evaluate.max_tokens": 128}}, "max_tokens", True, "max tokens 64 against 128"),
        ({"versions": {"evaluate": 2}}, "version", False, "the evaluation's code differs: version 1 against 2"),
        (
            {"stats": {"undecided_rate": 0.2}},
            "undecided",
            False,
            "0.0% of the answers could not be decided against 20",
        ),
        ({"pool": HELD[:2]}, "crossed", False, "2 held-out questions of one stand in the pool of two"),
        (
            {"heldout": [prompt(100, answer="6"), *HELD[1:]]},
            "references",
            True,
            "1 common question had another reference answer",
        ),
        (
            {"heldout": [*(prompt(n, verifier="math") for n in range(100, 102)), *HELD[2:]]},
            "verifiers",
            True,
            "2 common questions had another verifier: exact against math",
        ),
        (
            {"heldout": [prompt(100, text="Else?"), *HELD[1:]]},
            "texts",
            True,
            "1 question with the same id asked ",
        ),
    ],
)
def test_what_makes_scores_differ_beside_the_models_is_said(
    compare: Make, planted: dict[str, Any], what: str, breaks: bool, sentence: str
) -> None:
    one = replace(SCORED, stats={"undecided_rate": 0.0})
    found = compare(one, replace(one, **planted))
    [warning] = [w for w in found["warnings"] if w["what"] == what]
    assert warning["breaks"] is breaks and warning["sentence"].startswith(sentence)
    assert found["sentence"].startswith(f"Not comparable: {sentence}") is breaks


def test_questions_that_changed_under_their_id_are_left_out_of_pairs(compare: Make) -> None:
    two = replace(SCORED, heldout=[prompt(100, text="Else?"), *HELD[1:]])
    found = compare(SCORED, two)["scores"]
    assert found["headline"]["n_questions"] == [39, 39] and found["questions"]["n_both"] == 39


def test_a_judge_that_differs_matters_where_a_judge_decides(compare: Make) -> None:
    def run(verifier: str, model: str) -> Planted:
        judge = {"kind": "openai", "model": model}
        held = [replace(one, verifier=verifier) for one in HELD]
        return replace(SCORED, heldout=held, settings={"stages.evaluate.judge": judge})

    told = [w["sentence"] for w in compare(run("graded", "a"), run("graded", "b"))["warnings"]]
    assert told == ["the judge differs: a against b"]


def test_a_judge_that_nobody_asks_does_not_matter(compare: Make) -> None:
    runs = [replace(SCORED, settings={"stages.evaluate.judge": {"model": model}}) for model in "ab"]
    assert compare(*runs)["warnings"] == []


@pytest.mark.parametrize(
    ("fact", "breaks"), [("template", True), ("verifier", True), ("version", True), ("data_digest", False)]
)
def test_benchmarks_of_one_name_have_to_be_the_same(compare: Make, fact: str, breaks: bool) -> None:
    facts = {"name": "gsm8k", "template": "t", "verifier": "math", "version": 1, "data_digest": "d"}
    found = compare(replace(SCORED, benchmarks=[facts]), replace(SCORED, benchmarks=[{**facts, fact: "else"}]))
    [warning] = found["warnings"]
    assert (warning["what"], warning["breaks"]) == ("task gsm8k", breaks)
