"""Small finished runs whose contents are planted, written through the real records and the real store."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from teachable.recipe.compare import compare_runs
from teachable.recipe.compare_text import markdown_of, text_of
from teachable.records import Estimate, Example, Message, Prompt, Zone, content_id, to_row
from teachable.store.files import write_json, write_records, write_rows, write_text
from teachable.store.manifest import RunFolder, StageEntry

KEYS = {"tasks": "a", "probe": "b", "select": "c", "sft": "d", "evaluate": "e"}
DOMAINS = ("sums", "words")


def prompt(number: int, *, text: str = "", answer: str = "5", verifier: str = "exact", **meta: Any) -> Prompt:
    """Prompt number n has the id pn, whatever it asks."""
    asked = (Message(role="user", content=text or f"Question {number}?"),)
    return Prompt(f"p{number:03}", DOMAINS[number % 2], asked, answer, verifier=verifier, meta=meta)


def estimate(number: int, zone: Zone, *, n: int = 8, successes: int = 4) -> Estimate:
    domain, reason = DOMAINS[number % 2], f"{successes} of {n} right"
    fields: dict[str, Any] = {"posterior_a": 1 + successes, "posterior_b": 1 + n - successes, "reason": reason}
    return Estimate(f"p{number:03}", domain, 1, n, successes, 0, agreement=0.5, plurality="5", zone=zone, **fields)


def example(number: int, response: str = "It is 5.") -> Example:
    asked = prompt(number)
    messages = (*asked.messages, Message(role="assistant", content=response))
    return Example(asked.id, messages, asked.domain, 1, "teachable", "4 of 8 right", 20)


def scores(
    arm: str, values: Mapping[int, Sequence[int]], *, n: int = 4, seed: int = 0, **columns: Any
) -> list[dict[str, Any]]:
    """Score rows of one model: question number -> how many of `n` answers were right, in a list of one."""
    return [
        {
            "model": f"{arm}-{seed}",
            "arm": arm,
            "seed": seed,
            "task": "heldout",
            "prompt_id": f"p{number:03}",
            "domain": DOMAINS[number % 2],
            "level": 1,
            "n": n,
            "n_correct": right,
            "n_undecided": 0,
            "greedy": 2 * right > n,
            "majority": 2 * right > n,
            "score": None,
            "n_tokens": 40,
            **columns,
        }
        for number, (right,) in values.items()
    ]


@dataclass(frozen=True)
class Planted:
    """What a run is to hold; None leaves the stage out."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # dotted field -> value, over the recipe's own
    pool: Sequence[Prompt] | None = None
    heldout: Sequence[Prompt] | None = None
    estimates: Sequence[Estimate] | None = None
    decisions: Mapping[int, str] | None = None  # prompt number -> "in" or "out"
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    scores: Sequence[Mapping[str, Any]] | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)  # of the evaluation
    benchmarks: Sequence[Mapping[str, Any]] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # of the tasks stage: path -> digest
    seconds: float = 1.0
    cost_usd: float = 0.0


def recipe_of(planted: Planted) -> dict[str, Any]:
    """A small resolved recipe."""
    document: dict[str, Any] = {
        "name": "planted",
        "seed": 0,
        "base": "embedded",
        "engine": {"kind": "transformers", "model": "", "retries": 8},
        "resources": {"workers": 2},
        "stages": {
            "tasks": {"kind": "tasks", "needs": {}, "source": "none", "n_pool": 10},
            "probe": {"kind": "probe", "needs": {"prompts": "tasks"}, "max_samples": 8, "stop": []},
            "select": {"kind": "select", "needs": {"estimates": "probe"}, "arms": ["teachable"]},
            "evaluate": {"kind": "evaluate", "needs": {}, "n_samples": 4, "temperature": 1.0, "max_tokens": 64},
        },
    }
    for name, value in planted.settings.items():
        *path, last = name.split(".")
        place = document
        for step in path:
            place = place.setdefault(step, {})
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return document


def make(path: Path, planted: Planted) -> Path:
    """Write the run."""
    run, recipe = RunFolder(path), recipe_of(planted)
    with run.locked(recipe["name"]):
        write_text(path / "run.yaml", yaml.safe_dump(recipe, sort_keys=False))
        for stage in _stages(planted):
            settings = recipe["stages"].get(stage, {})
            key = planted.keys.get(stage, KEYS[stage]) * 64
            folder = run.begin(stage, key)
            _write(stage, folder, planted)
            values = {name: value for name, value in settings.items() if name not in ("kind", "needs")}
            ingredients: dict[str, Any] = {"config": {"values": values}}
            if stage == "tasks":
                ingredients["files"] = dict(planted.files)
            entry = StageEntry(kind=stage, key=key, version=planted.versions.get(stage, 1), ingredients=ingredients)
            run.complete(stage, replace(entry, seconds=planted.seconds, tokens_out=100, cost_usd=planted.cost_usd))
    return path


def _stages(planted: Planted) -> list[str]:
    has = {
        "tasks": planted.pool is not None or planted.heldout is not None,
        "probe": planted.estimates is not None,
        "select": planted.decisions is not None,
        "evaluate": planted.scores is not None,
    }
    return [stage for stage, there in has.items() if there]


def _write(stage: str, folder: Path, planted: Planted) -> None:
    if stage == "tasks":
        write_records(folder / "prompts.parquet", list(planted.pool or ()))
        write_records(folder / "heldout.parquet", list(planted.heldout or ()))
        write_json(folder / "stats.json", {"benchmarks": list(planted.benchmarks)})
    elif stage == "probe":
        write_records(folder / "estimates.parquet", list(planted.estimates or ()))
    elif stage == "select":
        write_rows(folder / "decisions.parquet", _decisions(planted))
        for name, examples in planted.examples.items():
            write_rows(folder / "examples" / f"{name}.jsonl", [to_row(one) for one in examples])
    else:
        write_rows(folder / "scores.parquet", list(planted.scores or ()))
        write_json(folder / "stats.json", {"n_samples": 4, "temperature": 1.0, **planted.stats})


def _decisions(planted: Planted) -> list[dict[str, Any]]:
    zones = {one.prompt_id: one.zone for one in planted.estimates or ()}
    return [
        {
            "prompt_id": f"p{number:03}",
            "domain": DOMAINS[number % 2],
            "level": 1,
            "zone": zones.get(f"p{number:03}", "teachable"),
            "decision": decision,
            "reason": f"{decision}: planted",
            "n_tokens": 20,
            "arms": ["teachable-0"] if decision == "in" else [],
        }
        for number, decision in (planted.decisions or {}).items()
    ]


def pair_id(number: int, response: str = "It is 5.") -> str:
    """The id of an example."""
    return content_id(example(number, response).messages)


HELD = [prompt(n) for n in range(100, 140)]


def right(shift: int = 0, seed: int = 0, n: int = 40, start: int = 100, answers: int = 4) -> dict[int, list[int]]:
    """How many of the answers to each question are right: luck by the seed, moved by `shift` of `answers`."""
    luck = random.Random(seed)
    return {start + i: [min(answers, max(0, luck.randint(0, answers) + shift))] for i in range(n)}


SCORED = Planted(heldout=HELD, scores=scores("teachable", right()))


def compared(folder: Path, *planted: Planted) -> dict[str, Any]:
    """Write the runs `one`, `two` and `three` and compare them; of two runs the comparison itself."""
    folders = [make(folder / name, run) for name, run in zip(("one", "two", "three"), planted, strict=False)]
    found = compare_runs(folders)
    json.dumps(found, allow_nan=False)
    assert text_of(found) and markdown_of(found)
    return found["comparisons"][0] if len(planted) == 2 else found
