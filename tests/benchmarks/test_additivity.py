"""The benchmark's domains are what it says they are, and its sums come out where they were planted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from teachable.evaluate import EvaluateConfig
from teachable.families.catalog import FAMILIES, SIDES
from teachable.overlap.split import split_of
from teachable.store.files import write_json, write_rows
from teachable.tasks.load import load_tasks, read_prompts
from teachable.train.tune_config import TuneConfig
from teachable.verify import get, verdict_of

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def domains() -> ModuleType:
    import additivity_domains

    return additivity_domains


@pytest.fixture
def pairs() -> ModuleType:
    import additivity_pairs

    return additivity_pairs


def test_every_domain_is_asked_alike_and_has_solutions_that_its_verifier_accepts(
    domains: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.jsonl"
    domains.write_prompts(path, 12, 4, seed=77)
    tasks, _ = asyncio.run(load_tasks(path, domains.tasks_config(path)))
    for side, n in ((tasks.pool, 12), (tasks.heldout, 4)):
        assert {name: sum(p.domain == name for p in side) for name in domains.DOMAINS} == dict.fromkeys(
            domains.DOMAINS, n
        )
    assert len(tasks.solutions) == len(tasks.pool)
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.jsonl"]


def test_no_question_is_one_that_the_base_may_have_read_and_none_comes_twice(
    domains: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.jsonl"
    domains.write_prompts(path, 30, 6, seed=78)
    prompts = read_prompts(path).prompts
    keys = [str(prompt.meta["content_key"]) for prompt in prompts]
    assert len(set(keys)) == len(keys) == 8 * 36
    known = [key for key in keys if key.split()[0] in FAMILIES]
    assert len(known) == 3 * 36
    assert not [key for key in known if split_of(key, SIDES) == "base"]


def test_a_wrong_last_line_is_refused_in_every_domain(domains: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    domains.write_prompts(path, 4, 2, seed=79)
    for prompt in read_prompts(path).prompts:
        wrong = {"Yes": "No", "No": "Yes"}.get(str(prompt.answer), f"{prompt.answer}7")
        assert asyncio.run(verdict_of(get("gym"), f"Answer: {wrong}", prompt)).correct is False


def test_too_few_questions_are_said_and_not_passed_over(domains: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"basic_arithmetic has .* needs 4000"):
        domains.write_prompts(tmp_path / "prompts.jsonl", 4000, 5, seed=1, domains=("basic_arithmetic",))


def score(arm: str, seed: int, domain: str, n_correct: int) -> dict[str, Any]:
    """A question of a domain, answered twice."""
    who = {"model": f"{arm}-{seed}", "arm": arm, "seed": seed, "task": "heldout"}
    asked = {"prompt_id": f"q-{domain}", "domain": domain, "level": 1, "n": 2, "n_correct": n_correct}
    return {**who, **asked, "n_undecided": 0, "greedy": True, "majority": None, "score": None}


def test_the_loss_of_a_pair_is_what_its_model_has_less_than_the_two_separate_ones(
    pairs: ModuleType, tmp_path: Path
) -> None:
    stage = tmp_path / "high" / "tune"
    settings = TuneConfig(n_samples=2).model_dump(mode="json")
    write_json(stage / "stats.json", {"domains": ["a", "b"], "seeds": [0, 1], "settings": settings})
    rows = [score("base", 0, name, 0) for name in "ab"]
    for seed in (0, 1):
        rows += [score("a", seed, "a", 2), score("a", seed, "b", 0), score("b", seed, "a", 0), score("b", seed, "b", 1)]
    write_rows(stage / "scores.parquet", rows)
    jobs = pairs.pairs_of(tmp_path, "high")
    assert [(job.one, job.two, job.seed, job.joint) for job in jobs] == [("a", "b", 0, True), ("a", "b", 1, False)]
    write_json(jobs[0].record, {"sum": {"a": 0.5, "b": 0.25}, "joint": {"a": 1.0, "b": 1.0}})
    assert jobs[0].done
    write_json(jobs[1].record, {"sum": {"a": 1.0, "b": 0.25}})
    seen = pairs._seen(tmp_path, "high")
    # Apart: 1 on a and 1/2 on b. Seed 0 lost (0.5 + 0.25) / 2, seed 1 (0 + 0.25) / 2; joint training gained 0.25.
    assert seen["sum"] == {("a", "b"): pytest.approx(0.25)}
    assert seen["joint"] == {("a", "b"): pytest.approx(-0.25)}
    assert seen["sum share"] == {("a", "b"): pytest.approx(1 / 3)}  # of a mean gain of 3/4


def test_means_are_of_decided_questions_by_domain(pairs: ModuleType) -> None:
    rows = [score("a", 0, "a", 2), {**score("a", 0, "a", 0), "prompt_id": "q-2"}, score("a", 0, "b", 1)]
    rows.append({**score("a", 0, "b", 0), "prompt_id": "q-3", "n": 0, "n_undecided": 2})
    assert pairs.means(rows, EvaluateConfig(n_samples=2)) == {"a": 0.5, "b": 0.5}


def test_the_plot_places_what_kept_more_higher_and_what_lost_more_higher() -> None:
    import additivity_plot

    def kept(value: float) -> dict[str, Any]:
        row = {"domain": None, "n_domains": 2, "own_ratio": value, "own_low": value - 0.1, "own_high": value + 0.1}
        return {"additivity": [row, {**row, "domain": "a"}]}

    correlation = {"delta_cosine": {"sum": {"rho": -1.0}}}
    found = {
        "rates": {"high": {"learning_rate": 1e-3, "seeds": [0], "ways": {"sum": kept(0.2), "data": kept(0.9)}}},
        "pairs": {
            "high": {
                "seen": {"sum": {"a + b": 0.3, "a + c": 0.1}},
                "signals": {"delta_cosine": {"b + a": 0.1, "a + c": 0.4}},
                "correlations": correlation,
            }
        },
    }
    root = ElementTree.fromstring(additivity_plot.plot(found))
    circles = {circle.get("fill"): circle for circle in root.iter(f"{SVG}circle") if circle.get("fill-opacity") is None}
    colours = additivity_plot.COLOURS
    assert float(circles[colours["data"]].get("cy", 0)) < float(circles[colours["sum"]].get("cy", 0))
    dots = {title.text: circle for circle in root.iter(f"{SVG}circle") for title in circle.iter(f"{SVG}title")}
    more, less = dots["a + b"], dots["a + c"]
    assert float(more.get("cy", 0)) < float(less.get("cy", 0))
    assert float(more.get("cx", 0)) < float(less.get("cx", 0))


def test_the_recipe_is_one_that_loads_and_its_stages_are_tune_and_six_ways_to_add(tmp_path: Path) -> None:
    import additivity
    from teachable.recipe.kinds import STAGE_KINDS
    from teachable.recipe.load import recipe_from
    from teachable.recipe.source import Source

    write_rows(tmp_path / "prompts.jsonl", [{"prompt": "1 + 1", "answer": "2"}])
    document = additivity.Sizes().document(tmp_path / "prompts.jsonl", "low")
    recipe = recipe_from(Source(document, {}, "additivity"), kinds=STAGE_KINDS, folder=tmp_path)
    kinds = [stage.kind for stage in recipe.stages]
    assert kinds == ["tasks", "pretrain", "probe", "select", "tune", *["add"] * 6]
    assert recipe.stage("tune").config.learning_rate == 3e-4  # type: ignore[attr-defined]
