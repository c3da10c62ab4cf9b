"""Ordinary pairs are what the benchmark says they are: fair opponents of pivotal ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from teachable.records import Attempt, Message, Prompt

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pivot_dpo

    return pivot_dpo


class Bytes:
    """An engine as far as ids go: a token is a byte."""

    def encode(self, prompt: list[Message]) -> list[int]:
        return list(prompt[-1]["content"].encode())

    def decode(self, token_ids: list[int]) -> str:
        return bytes(token_ids).decode()


def prompt(name: str) -> Prompt:
    return Prompt(id=name, domain="letters", messages=(Message(role="user", content=name),))


def attempts(name: str, right: str, wrong: str, undecided: str = "") -> list[Attempt]:
    """An attempt a letter: right ones, wrong ones, and those that no verifier could tell."""
    verdicts = [(letter, True) for letter in right] + [(letter, False) for letter in wrong]
    every: list[tuple[str, bool | None]] = [*verdicts, *((letter, None) for letter in undecided)]
    return [
        Attempt(name, i, "bytes", 0, letter, tuple(letter.encode()), "stop", verdict, None, "", 1)
        for i, (letter, verdict) in enumerate(every)
    ]


def test_ordinary_pairs_set_a_right_answer_against_a_wrong_one_and_use_each_once(bench: ModuleType) -> None:
    prompts = [prompt(name) for name in ("often", "seldom", "even")]
    found = {
        "often": attempts("often", "ABCDEFGHI", "z"),  # 0.9: above the bounds
        "seldom": attempts("seldom", "AB", "wxyz", "?!"),  # a third of those that were decided
        "even": attempts("even", "ABC", "xyz"),
    }
    rows = list(bench.whole_pairs(prompts, found, Bytes(), seed=1))
    assert {row["prompt_id"] for row in rows[:2]} == {"seldom", "even"}, "every prompt gives one before any gives two"
    assert [row["prompt_id"] for row in rows].count("seldom") == 2
    assert len(rows) == 5
    for name in ("seldom", "even"):
        mine = [row for row in rows if row["prompt_id"] == name]
        assert all(row["chosen"] in "ABC" and row["rejected"] in "wxyz" for row in mine)
        assert all(bytes(row["prompt_token_ids"]).decode() == name for row in mine)
        for side in ("chosen", "rejected"):
            assert len({row[side] for row in mine}) == len(mine)


def test_a_pair_that_says_the_same_again_is_passed_over(bench: ModuleType) -> None:
    found = {"even": attempts("even", "AAAA", "xxxx")}
    rows = list(bench.whole_pairs([prompt("even")], found, Bytes(), seed=1))
    assert [(row["chosen"], row["rejected"]) for row in rows] == [("A", "x")]


def test_settings_are_chosen_by_the_validation_questions_of_each_arm(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "LEARNING_RATES", (0.1, 0.2))
    monkeypatch.setattr(bench, "BETAS", (0.5,))
    right = {("pivotal", 0.1): 1, ("pivotal", 0.2): 3, ("ordinary", 0.1): 2, ("ordinary", 0.2): 1}
    for job in bench.sweep_jobs(tmp_path):
        n_correct = right.get((job.arm, job.learning_rate), 4)  # the base is best, and is no choice
        row = {"prompt_id": "a", "n": 4, "n_correct": n_correct, "greedy": True, "majority": True}
        job.record.parent.mkdir(exist_ok=True)
        job.record.write_text(json.dumps({"scores": [row]}))
    assert bench.choose(tmp_path) == {"pivotal": (0.2, 0.5), "ordinary": (0.1, 0.5)}
    jobs = bench.final_jobs(tmp_path)
    assert len({job.name for job in jobs}) == 1 + 3 * len(bench.SEEDS)
    assert {(job.arm, job.learning_rate) for job in jobs[1:]} == {
        ("pivotal", 0.2),
        ("ordinary", 0.1),
        ("ordinary, all", 0.1),
    }


def test_scores_are_joined_by_question(bench: ModuleType, tmp_path: Path) -> None:
    jobs = [bench.Job(tmp_path, "heldout", "pivotal", seed, 0.1, 0.5) for seed in (1, 2)]
    for job, order in zip(jobs, ("ab", "ba"), strict=True):
        rows = [{"prompt_id": q, "n": 4, "n_correct": 1 if q == "a" else 3, "greedy": q == "b"} for q in order]
        job.record.parent.mkdir(exist_ok=True)
        job.record.write_text(json.dumps({"scores": rows}))
    assert np.array_equal(bench.table(jobs, "pass@1"), [[0.25, 0.25], [0.75, 0.75]])
    assert np.array_equal(bench.table(jobs, "greedy"), [[0, 0], [1, 1]])
