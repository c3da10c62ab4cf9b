"""Comparisons of runs whose differences are planted: settings, data, what is missing, and what people read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.planted_runs import (
    HELD,
    SCORED,
    Planted,
    compared,
    estimate,
    example,
    make,
    pair_id,
    prompt,
    right,
    scores,
)

from teachable.errors import TeachableError
from teachable.recipe.compare import compare_runs, points
from teachable.recipe.compare_text import markdown_of, text_of
from teachable.recipe.differences.folders import labels_of
from teachable.stats import paired_difference

Make = Callable[..., dict[str, Any]]
EMPTY = Planted(pool=[prompt(1)])


@pytest.fixture
def compare(tmp_path: Path) -> Make:
    """Write the runs `one`, `two`, ... and compare them; of two runs the comparison itself."""
    return lambda *planted: compared(tmp_path, *planted)


# ---- settings ----


def test_every_field_that_differs_is_named_and_no_other(compare: Make) -> None:
    changed = {"seed": 3, "stages.probe.max_samples": 16, "stages.select.arms": ["random"], "engine.model": "m"}
    found = compare(EMPTY, replace(EMPTY, settings=changed))["settings"]
    assert {row["field"]: (row["baseline"], row["other"]) for row in found["fields"]} == {
        "seed": (0, 3),
        "stages.probe.max_samples": (8, 16),
        "stages.select.arms": (["teachable"], ["random"]),
        "engine.model": ("", "m"),
    }
    assert all(row["changes_results"] and row["only"] == "" for row in found["fields"])
    assert found["same_stages"] == ["tasks"]


def test_what_can_not_change_a_result_is_marked(compare: Make) -> None:
    changed = {"resources.workers": 8, "engine.retries": 1, "name": "other", "stages.report": {"title": "x"}}
    found = compare(EMPTY, replace(EMPTY, settings=changed))["settings"]
    assert {row["field"]: row["changes_results"] for row in found["fields"]} == {
        "resources.workers": False,
        "engine.retries": False,
        "name": False,
        "stages.report": False,
    }


def test_a_stage_and_a_field_that_one_side_lacks(compare: Make) -> None:
    changed = {"stages.dpo": {"beta": 0.1, "needs": {"base": "sft"}}, "stages.probe": None, "stages.tasks.limit": 5}
    found = compare(EMPTY, replace(EMPTY, settings=changed))["settings"]
    assert {row["field"]: row["only"] for row in found["fields"]} == {
        "stages.probe": "baseline",
        "stages.tasks.limit": "other",
        "stages.dpo": "other",
    }


def test_engines_in_a_list_are_told_apart_field_by_field(compare: Make) -> None:
    runs = [{"kind": "openai", "model": model} for model in ("small", "large")]
    one, two = (replace(EMPTY, settings={"stages.evaluate.beside": beside}) for beside in (runs[:1], runs[1:]))
    [field] = compare(one, two)["settings"]["fields"]
    assert (field["field"], field["baseline"], field["other"]) == ("stages.evaluate.beside.0.model", "small", "large")


def test_code_files_keys_and_packages_count_too(compare: Make) -> None:
    noted = [{"determined_by": {"packages": p}} for p in ({"numpy": "1", "torch": "2"}, {"numpy": "3", "trl": "4"})]
    one = replace(SCORED, files={"own.jsonl": "x", "same": "y"}, stats=noted[0])
    two = replace(one, files={"own.jsonl": "z", "same": "y"}, stats=noted[1])
    two = replace(two, versions={"tasks": 2}, keys={"tasks": "f"})
    found = compare(one, two)["settings"]
    assert found["fields"] == []
    assert found["versions"] == [{"stage": "tasks", "baseline": 1, "other": 2}]
    assert found["files"] == [{"stage": "tasks", "file": "own.jsonl"}]
    assert found["packages"] == [{"package": "numpy", "baseline": "1", "other": "3"}]
    assert found["same_stages"] == ["evaluate"]


# ---- data ----


def test_prompts_that_came_went_and_changed_under_their_id(compare: Make) -> None:
    one = Planted(pool=[prompt(n) for n in range(6)], heldout=[prompt(n) for n in range(20, 24)])
    pool = [*(prompt(n) for n in range(2, 5)), prompt(5, text="Another?"), prompt(7), prompt(20)]
    two = Planted(pool=pool, heldout=[prompt(21, answer="6"), prompt(22), prompt(30), prompt(0)])
    found = compare(one, two)["data"]
    assert (found["pool"]["n_baseline"], found["pool"]["n_other"], found["pool"]["n_both"]) == (6, 6, 4)
    assert found["pool"]["only_baseline"] == {"n": 2, "ids": ["p000", "p001"]}
    assert found["pool"]["only_other"] == {"n": 2, "ids": ["p007", "p020"]}
    assert found["pool"]["text_changed"] == {"n": 1, "ids": ["p005"]}
    assert found["pool"]["answer_changed"]["n"] == 0
    assert found["heldout"]["answer_changed"] == {"n": 1, "ids": ["p021"]}
    assert found["heldout"]["n_both"] == 2
    assert found["crossed"]["baseline_heldout_in_other_pool"]["ids"] == ["p020"]
    assert found["crossed"]["other_heldout_in_baseline_pool"]["ids"] == ["p000"]
    domains = {row["domain"]: (row["baseline"], row["other"]) for row in found["pool"]["domains"]}
    assert domains == {"sums": (3, 3), "words": (3, 3)}


def test_zones_from_and_to_and_the_mean_pass_rate(compare: Make) -> None:
    one = [estimate(n, "beyond", successes=0) for n in range(4)] + [estimate(4, "teachable"), estimate(9, "mastered")]
    two = [estimate(0, "beyond", successes=0), *(estimate(n, "teachable", successes=4) for n in range(1, 5))]
    pool = [prompt(n) for n in range(10)]
    found = compare(Planted(pool=pool, estimates=one), Planted(pool=pool, estimates=two))["data"]["estimates"]
    moved = {(row["baseline"], row["other"]): row["n"] for row in found["zones"]}
    assert moved == {("beyond", "beyond"): 1, ("beyond", "teachable"): 3, ("teachable", "teachable"): 1}
    assert (found["n_baseline"], found["n_other"], found["n_both"], found["n_changed"]) == (6, 5, 5, 3)
    before, after = [0.1] * 4 + [0.5], [0.1] + [0.5] * 4  # posterior means, of a uniform prior and 8 attempts
    expected = paired_difference(after, before)
    rate = found["pass_rate"]
    assert (rate["n"], rate["baseline"], rate["other"]) == (5, pytest.approx(0.18), pytest.approx(0.42))
    assert (rate["diff"], rate["low"], rate["high"]) == pytest.approx((0.24, expected.low, expected.high))


def test_who_entered_and_left_the_selection(compare: Make) -> None:
    pool = [prompt(n) for n in range(6)]
    before, after = {0: "in", 1: "out", 2: "in", 3: "in", 5: "out"}, {0: "in", 1: "in", 2: "out", 4: "in"}
    one = Planted(pool=pool, estimates=[estimate(1, "beyond")], decisions=before)
    two = Planted(pool=pool, estimates=[estimate(1, "teachable")], decisions=after)
    found = compare(one, two)["data"]["decisions"]
    assert (found["n_baseline"], found["n_other"], found["n_both"]) == (3, 3, 1)
    assert (found["n_entered"], found["n_entered_new"], found["n_left"], found["n_left_gone"]) == (2, 1, 2, 1)
    told = [(row["change"], row["prompt_id"], row["zone_baseline"], row["zone_other"]) for row in found["changes"]]
    assert told == [
        ("entered", "p001", "beyond", "teachable"),
        ("entered", "p004", None, "teachable"),
        ("left", "p002", "teachable", "teachable"),
        ("left", "p003", "teachable", None),
    ]
    assert [row["reason"] for row in found["changes"]][1:] == ["in: planted", "out: planted", "no longer in the pool"]


def test_examples_in_both_in_one_and_with_another_response(compare: Make) -> None:
    one = Planted(pool=[prompt(1)], decisions={1: "in"}, examples={"teachable-0": [example(n) for n in range(4)]})
    sets = {"teachable-0": [example(0), example(1, "Five."), example(9)], "random-0": [example(2)]}
    found = {row["set"]: row for row in compare(one, replace(one, examples=sets))["data"]["examples"]}
    row = found["teachable-0"]
    assert (row["n_baseline"], row["n_other"], row["n_both"], row["n_other_response"]) == (4, 3, 1, 1)
    assert row["only_other"] == {"n": 2, "ids": sorted([pair_id(1, "Five."), pair_id(9)])}
    assert (found["random-0"]["n_baseline"], found["random-0"]["n_other"]) == (None, 1)


# ---- what is not there ----


def test_unfinished_runs_are_compared_as_far_as_they_go(compare: Make, tmp_path: Path) -> None:
    found = compare(SCORED, EMPTY)
    assert found["scores"] is None and found["warnings"] == []
    assert found["sentence"] == "two has no scores, so only settings, data and costs are compared."
    [one, two] = compare_runs([tmp_path / "one", tmp_path / "two"])["runs"]
    assert "stage evaluate (not finished)" in two["missing"] and one["stages"] == ["tasks", "evaluate"]
    assert found["data"]["estimates"] is None and found["data"]["decisions"] is None


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    folders = [make(tmp_path / name, SCORED) for name in ("one", "two")]
    (tmp_path / "two/evaluate/scores.parquet").unlink()
    (tmp_path / "one/run.yaml").unlink()
    found = compare_runs(folders)
    assert found["runs"][0]["missing"] == ["run.yaml (its settings are not known)"]
    assert found["runs"][1]["missing"][-1] == "evaluate/scores.parquet (gone)"
    [one] = found["comparisons"]
    assert (one["scores"], one["settings"]["known"], one["settings"]["fields"]) == (None, False, [])
    assert "! one lacks run.yaml" in text_of(found)


def test_an_evaluation_alone_is_compared(compare: Make) -> None:
    runs = [Planted(heldout=HELD, scores=scores(label, right(shift))) for label, shift in (("small", 0), ("large", 1))]
    found = compare(*runs)
    assert found["scores"]["headline"]["outcome"] == "better"
    assert found["data"]["pool"]["n_both"] == 0 and found["data"]["heldout"]["n_both"] == 40


def test_each_further_run_is_compared_with_the_first(compare: Make) -> None:
    runs = [replace(SCORED, scores=scores("teachable", right(shift))) for shift in (0, 1, -1)]
    found = compare(*runs)["comparisons"]
    assert [(one["baseline"], one["other"]) for one in found] == [("one", "two"), ("one", "three")]
    assert [one["scores"]["headline"]["outcome"] for one in found] == ["better", "worse"]


def test_costs_stage_by_stage(compare: Make) -> None:
    found = compare(replace(SCORED, seconds=2.0), replace(SCORED, seconds=5.0, cost_usd=0.25))["costs"]
    rows = {row["stage"]: row for row in found["stages"]}
    assert (rows["evaluate"]["baseline"]["seconds"], rows["evaluate"]["other"]["seconds"]) == (2.0, 5.0)
    counts = {"completions": 0, "tokens_in": 0, "tokens_out": 200}
    assert found["total"]["other"] == {"seconds": 10.0, "cost_usd": 0.5, **counts}


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "compare: no run is named. Name two run folders or more"),
        (["one"], "compare: one run alone can't be compared. Name two"),
        (["one", "one"], "one: this run is named twice. Name each run once"),
        (["one", "nothing"], "nothing: there is no such folder"),
        (["one", "file"], "file: this is a file"),
        (["one", "empty"], "empty: there is no run in this folder. Name a folder that holds a manifest.json"),
        (["one", "broken"], "broken/manifest.json:1: this is no JSON"),
        (["one", "odd"], "odd/run.yaml: this recipe can't be read"),
        (["one", "torn"], "torn/evaluate/scores.parquet: this is no Parquet file"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, names: list[str], sentence: str) -> None:
    for name in ("one", "broken", "odd", "torn"):
        make(tmp_path / name, SCORED)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken/manifest.json").write_text("{")
    (tmp_path / "odd/run.yaml").write_text("a: [")
    (tmp_path / "torn/evaluate/scores.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(TeachableError) as caught:
        compare_runs([tmp_path / name for name in names])
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_labels_are_as_long_as_they_must_be() -> None:
    assert labels_of([Path("/a/run1"), Path("/a/run2")]) == ["run1", "run2"]
    assert labels_of([Path("/a/run"), Path("/b/run")]) == ["a/run", "b/run"]


# ---- for people ----


def test_text_and_markdown_say_the_same_in_tables_that_hold(tmp_path: Path) -> None:
    hostile = "a|b `code` <b>\n\x1b[31m*x*"
    pool = [prompt(n) for n in range(4)]
    one = replace(SCORED, pool=pool, estimates=[estimate(0, "beyond", successes=0)], decisions={0: "out"})
    two = replace(one, estimates=[replace(estimate(0, "teachable"), reason=hostile)], decisions={0: "in"})
    two = replace(two, settings={"stages.tasks.source": hostile}, cost_usd=1.5, scores=scores("teachable", right(1)))
    found = compare_runs([make(tmp_path / "one", one), make(tmp_path / "two", two)])
    text, markdown = text_of(found), markdown_of(found)
    assert "\x1b" not in text + markdown
    for word in ("Settings", "Data", "Scores", "Cost and time", "two $", "p000", "80% of the time"):
        assert word in text
    tables = re.findall(r"(?:^\|.*\|\n)+", markdown, flags=re.MULTILINE)
    assert len(tables) >= 6
    for lines in (table.splitlines() for table in tables):
        # A bar that was not escaped would make a column more.
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<b>" not in markdown.replace("\\<b\\>", "")


@pytest.mark.parametrize(("share", "text"), [(0.1, "+10.0"), (-0.031, "-3.1"), (0.0004, "0.0"), (-0.0004, "0.0")])
def test_points_have_a_sign_and_nothing_has_none(share: float, text: str) -> None:
    assert points(share) == text
