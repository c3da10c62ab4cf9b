"""What the pivot stage hands to the search, writes of its result, and says; the search itself is a stand-in here.

`tests/cli/test_pivot.py` runs the whole with the real search, on a real model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.pivot.bigram import write_prompts

from teachable.errors import EXIT_LIMIT_REACHED, Stopped
from teachable.pivot import Alternative, Gated, Pivot, PivotConfig, Searched, SearchResult
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.run import RunSummary, run_recipe
from teachable.recipe.stages import estimates as estimates_stage
from teachable.recipe.stages import pivot as pivot_stage
from teachable.recipe.stages import probe as probe_stage
from teachable.recipe.stages import tasks as tasks_stage
from teachable.records import Attempt, Estimate, Prompt
from teachable.store.files import read_json, read_records, read_rows, write_records
from teachable.store.manifest import RunFolder, StageEntry

RUNNERS = {
    "tasks": tasks_stage.run,
    "probe": probe_stage.run,
    "estimates": estimates_stage.run,
    "pivot": pivot_stage.run,
}
SOLUTION = Searched(
    "q0", (9, 9), (65, 66), ("A", "B"), "AB", True, (0.5, 0.5), (0.5, 0.9, 1.0), (0.1, 0.1, 0.0), 60, "a note"
)  # fmt: skip
PIVOT = Pivot(
    "q0", 0, 65, "A", 0.5, 0.9, 0.4, 0.3, 0.5, 80, (65, 66), 0.5, (Alternative(67, "C", 0.4, 40, 4),)
)  # fmt: skip
GATES = (Gated("q0", "searched", "6 of 12 right", 12, 6, 0.5), Gated("q1", "outside", "0 of 12 right", 12, 0, 0.0))


@dataclass
class Asked:
    """A stand-in for the search, that keeps what it was given."""

    result: SearchResult
    given: dict[str, Any] = field(default_factory=dict)
    prompts: Sequence[Prompt] = ()

    async def __call__(self, prompts: Sequence[Prompt], **given: Any) -> SearchResult:
        self.prompts, self.given = prompts, given
        return self.result


@dataclass
class Watch:
    said_: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def cached(self, stage: str, entry: StageEntry) -> None: ...

    def started(self, *_: Any) -> None: ...

    def progressed(self, *_: Any) -> None: ...

    def interrupted(self, *_: Any) -> None: ...

    def finished(self, stage: str, entry: StageEntry) -> None:
        self.notes[stage] = entry.note

    def said(self, stage: str, sentence: str) -> None:
        self.said_.append(sentence)


Run = Callable[..., tuple[RunSummary, Watch]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a recipe of these stages on four prompts, with a scripted engine, in which the search finds `result`."""
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path / "cache"))
    write_prompts(tmp_path / "p.jsonl", 4)
    (tmp_path / "t.json").write_text(json.dumps({f"question q{i}": {"g4": 0.5, "b5": 0.5} for i in range(4)}))

    def running(
        asked: Asked, stages: Mapping[str, Any] | None = None, out: str = "run", *overrides: str
    ) -> tuple[RunSummary, Watch]:
        monkeypatch.setattr(pivot_stage, "search", asked)
        document = {
            "name": "r",
            "engine": {"kind": "scripted", "model": "t.json"},
            "stages": {"tasks": {"source": "p.jsonl", "heldout_frac": 0}, **(stages or {"pivot": {}})},
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(document))
        recipe = load_recipe(tmp_path / "recipe.yaml", overrides, kinds=STAGE_KINDS)
        watch = Watch()
        folder = RunFolder(tmp_path / out)
        return run_recipe(recipe, folder, STAGE_KINDS, RUNNERS.__getitem__, watch), watch

    return running


def result(**changes: Any) -> SearchResult:
    usual: dict[str, Any] = {
        "pivots": (PIVOT,), "solutions": (SOLUTION,), "gates": GATES, "completions": 84, "tokens": 500,
    }  # fmt: skip
    return SearchResult(**{**usual, **changes})


def test_everything_is_written_with_its_columns(run: Run, tmp_path: Path) -> None:
    summary, watch = run(Asked(result(notes=("one",), prompt_tokens=7)))
    folder = tmp_path / "run" / "pivot"
    assert pq.read_schema(folder / "pivots.parquet").names == [
        "prompt_id", "position", "token_id", "token", "p_before", "p_after", "delta", "delta_low", "delta_high",
        "n_samples", "solution_token_ids", "probability", "alternatives",
    ]  # fmt: skip
    [row] = read_rows(folder / "pivots.parquet")
    assert row["alternatives"] == [
        {"token_id": 67, "token": "C", "probability": 0.4, "n_samples": 40, "successes": 4}
    ]  # fmt: skip
    assert (row["solution_token_ids"], row["delta"]) == ([65, 66], 0.4)
    [solution] = read_rows(folder / "solutions.parquet")
    assert (solution["values"], solution["tokens"], solution["note"]) == ([0.5, 0.9, 1.0], ["A", "B"], "a note")
    assert [gate["outcome"] for gate in read_rows(folder / "gates.parquet")] == ["searched", "outside"]
    [pair] = read_rows(folder / "preferences.parquet")
    assert (pair["chosen"], pair["rejected"], pair["kind"]) == ("A", "C", "pivotal")
    assert (pair["prompt_token_ids"], pair["chosen_token_ids"], pair["rejected_token_ids"]) == ([9, 9], [65], [67])
    stats = read_json(folder / "stats.json")
    assert {name: stats[name] for name in ("completions", "tokens", "prompt_tokens", "n_pivots", "n_pairs")} == {
        "completions": 84, "tokens": 500, "prompt_tokens": 7, "n_pivots": 1, "n_pairs": 1,
    }  # fmt: skip
    assert stats["complete"] and stats["notes"] == ["one"] and stats["outcomes"] == {"outside": 1, "searched": 1}
    assert summary.entries["pivot"].note == watch.notes["pivot"] == "1 pivotal tokens in 1 solutions; 1 pairs"


def test_nothing_found_has_the_same_columns(run: Run, tmp_path: Path) -> None:
    run(Asked(result()), None, "some")
    run(Asked(result(pivots=(), solutions=(), gates=())), None, "none")
    for name in ("pivots", "solutions", "gates", "preferences"):
        some, none = (tmp_path / out / "pivot" / f"{name}.parquet" for out in ("some", "none"))
        assert pq.read_schema(some).equals(pq.read_schema(none)) and read_rows(none) == []


def test_without_probing_nothing_is_known(run: Run) -> None:
    asked = Asked(result())
    run(asked)
    assert (asked.given["estimates"], list(asked.given["attempts"]), asked.given["seed"]) == (None, [], 0)
    assert isinstance(asked.given["config"], PivotConfig)
    assert [prompt.id for prompt in asked.prompts] == ["q0", "q1", "q2", "q3"]


# ---- what probing knows ----

ALIKE = {"probe": {"n_samples": 6, "max_tokens": 32}, "pivot": {"max_tokens": 32}}


def test_estimates_and_attempts_of_the_recipes_own_probe_are_used(run: Run, tmp_path: Path) -> None:
    asked = Asked(result())
    _, watch = run(asked, ALIKE)
    assert set(asked.given["estimates"]) == {"q0", "q1", "q2", "q3"}
    assert list(asked.given["attempts"]) == read_records(tmp_path / "run/probe/attempts.parquet", Attempt)
    assert len(asked.given["attempts"]) == 24
    assert not [one for one in watch.said_ if "probing" in one]


@pytest.mark.parametrize(
    ("field_", "value"), [("max_tokens", 33), ("temperature", 0.9), ("top_p", 0.9), ("top_k", 5), ("min_p", 0.1)]
)
def test_attempts_that_were_drawn_otherwise_are_no_samples(run: Run, field_: str, value: float) -> None:
    asked = Asked(result())
    _, watch = run(asked, {**ALIKE, "pivot": {"max_tokens": 32, field_: value}})
    assert len(asked.given["estimates"]) == 4 and list(asked.given["attempts"]) == []
    assert [one for one in watch.said_ if f"drawn otherwise ({field_})" in one]


def test_a_stop_string_makes_another_sample(run: Run) -> None:
    asked = Asked(result())
    run(asked, {"probe": {"n_samples": 6, "stop": ["!"]}, "pivot": {"stop": ["!"]}}, "same")
    assert len(asked.given["attempts"]) == 24
    run(asked, {"probe": {"n_samples": 6, "stop": ["!"]}, "pivot": {}}, "other")
    assert list(asked.given["attempts"]) == []


def test_attempts_of_another_engine_are_no_samples(run: Run, tmp_path: Path) -> None:
    asked = Asked(result())
    run(asked, ALIKE)
    (tmp_path / "u.json").write_text((tmp_path / "t.json").read_text() + " ")
    place = tmp_path / "run" / "probe"
    given = {"estimates": {"source": str(place / "estimates.parquet"), "attempts": str(place / "attempts.parquet")}}
    stages = {**given, "pivot": {"max_tokens": 32, "needs": {"estimates": "estimates"}}}
    _, watch = run(asked, stages, "same")
    assert len(asked.given["attempts"]) == 24
    _, watch = run(asked, stages, "other", "engine.model=" + str(tmp_path / "u.json"))
    assert list(asked.given["attempts"]) == [] and len(asked.given["estimates"]) == 4
    assert "they are another engine's" in watch.said_[0]


def test_estimates_of_a_file_are_matched_by_id(run: Run, tmp_path: Path) -> None:
    known = [Estimate(name, "d", 0, 8, 4, 0, 4.5, 4.5, 0.5, None, "teachable", "") for name in ("q2", "x", "q0")]
    write_records(tmp_path / "e.parquet", known)
    stages = {"estimates": {"source": "e.parquet"}, "pivot": {"needs": {"estimates": "estimates"}}}
    asked = Asked(result())
    _, watch = run(asked, stages)
    assert set(asked.given["estimates"]) == {"q0", "q2"} and list(asked.given["attempts"]) == []
    assert "2 of 4 prompts have no estimate and are sampled to get one" in watch.said_
    assert watch.notes["estimates"] == "2 of 4 prompts have an estimate"
    stats = read_json(tmp_path / "run/estimates/stats.json")
    assert stats == {"n_estimates": 2, "n_prompts": 4, "n_given": 3, "sampling": None}


def test_a_key_that_a_teacher_gave_decides_here_as_well(run: Run, tmp_path: Path) -> None:
    common = ("d", 0, 8, 4, 0, 4.5, 4.5, 0.5, None, "teachable", "")
    known = [
        Estimate("q0", *common, key="5", key_source="teacher", key_agreement=1.0),
        Estimate("q1", *common, key="6", key_source="majority", key_agreement=1.0),
    ]
    write_records(tmp_path / "e.parquet", known)
    asked = Asked(result())
    run(asked, {"estimates": {"source": "e.parquet"}, "pivot": {"needs": {"estimates": "estimates"}}})
    # The majority of the model's own answers is no key to judge it by.
    assert [(prompt.answer, prompt.answer_source) for prompt in asked.prompts[:2]] == [
        ("5", "teacher"), ("g4", "organic"),
    ]  # fmt: skip


# ---- what is said ----


def test_tokens_without_a_pair_are_counted_by_reason(run: Run, tmp_path: Path) -> None:
    alone = Pivot("q0", 0, 65, "A", 0.5, 0.9, 0.4, 0.3, 0.5, 80, (65, 66))
    _, watch = run(Asked(result(pivots=(alone,))))
    assert watch.said_ == ["1 of 1 pivotal tokens gave no pair: 1 no alternative with enough samples"]
    assert read_json(tmp_path / "run/pivot/stats.json")["pairs_left_out"] == {"no alternative with enough samples": 1}


def test_where_all_is_well_nothing_is_said(run: Run) -> None:
    _, watch = run(Asked(result(gates=GATES[:1])))
    assert watch.said_ == []


def test_what_the_search_says_is_passed_on_at_once(run: Run) -> None:
    asked = Asked(result(gates=GATES[:1]))
    _, watch = run(asked)
    asked.given["say"]("look here")
    assert watch.said_ == ["look here"]


def test_a_search_that_was_stopped_is_written_and_not_finished(run: Run, tmp_path: Path) -> None:
    stopped = Stopped("a limit was reached", exit_code=EXIT_LIMIT_REACHED)
    with pytest.raises(Stopped, match="a limit was reached"):
        run(Asked(result(stopped=stopped)))
    folder = tmp_path / "run" / "pivot"
    assert read_json(folder / "stats.json")["complete"] is False
    assert len(read_rows(folder / "preferences.parquet")) == 1
    assert "pivot" not in RunFolder(tmp_path / "run").entries()
    summary, _ = run(Asked(result()))
    assert summary.ran == ("pivot",) and read_json(folder / "stats.json")["complete"] is True
