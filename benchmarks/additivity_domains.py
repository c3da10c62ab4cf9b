"""The eight domains of `additivity.py`: reasoning-gym families at levels that the tiny base can learn in 160 steps.

The base has read three of the families (`chain_sum`, `spell_backward`, `simple_equations`), bare or spoilt for the
most part, and never the other five. Families and levels were chosen by what a few hundred steps on questions of the
pool brought on other questions of the pool; no held-out question was looked at. Many families were left out since the
base does not learn them in that time (multiplication of two digits, reversing word lists, counting legs), or can do
them already (counting letters).

A solution is a few short lines, and only one that the verifier accepts is trained on. No question that pretraining may
have read is drawn: of the three families that the base knows, only the sides of the content space that were kept
from it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from teachable.families import teacher
from teachable.families.catalog import FAMILIES, SIDES, require_reasoning_gym
from teachable.overlap.split import split_of
from teachable.records import content_id
from teachable.store.files import write_rows
from teachable.tasks.config import TasksConfig
from teachable.tasks.load import load_tasks

Entry = Mapping[str, Any]
HELDOUT_FRAC = 0.15
SPARE, FEWEST_DRAWN = 1.5, 60  # rows drawn for each that is kept, and more: the split cuts by content, not by count
DRAWS = 20_000  # of a family, at most
NEAR_DUPLICATE = 1.0  # templates share most of their words: only equal questions are one question


@dataclass(frozen=True)
class Kind:
    """A domain: reasoning-gym's generator settings, and the worked lines before the answer."""

    settings: Mapping[str, Any]
    steps: Callable[[Entry], list[str]]


def _no_steps(entry: Entry) -> list[str]:
    return []


def _leap_year(entry: Entry) -> list[str]:
    year = int(entry["metadata"]["year"])
    return [f"{year} mod 4 = {year % 4}"]


def _fraction(entry: Entry) -> list[str]:
    meta = entry["metadata"]
    factor = meta["reduction_factor"]
    return [
        f"{meta['numerator']} / {factor} = {meta['simplified_numerator']}",
        f"{meta['denominator']} / {factor} = {meta['simplified_denominator']}",
    ]


KINDS: Mapping[str, Kind] = {
    "chain_sum": Kind({"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}, teacher.chain_sum),
    "calendar_arithmetic": Kind({"tasks": ["is_leap_year"], "year": 1600, "leap_year_range": 1200}, _leap_year),
    "spell_backward": Kind({"min_word_len": 3, "max_word_len": 4}, teacher.spell_backward),
    "basic_arithmetic": Kind(
        {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1, "allow_parentheses": False}, _no_steps
    ),
    "simple_equations": Kind(
        {"min_terms": 2, "max_terms": 2, "min_value": 1, "max_value": 9, "operators_weights": [0.5, 0.5, 0.0]},
        teacher.simple_equations,
    ),
    "fraction_simplification": Kind(
        {"min_value": 1, "max_value": 15, "min_factor": 2, "max_factor": 9, "styles": ("plain",)}, _fraction
    ),
    "complex_arithmetic": Kind(
        {
            "min_real": -3,
            "max_real": 3,
            "min_imag": -3,
            "max_imag": 3,
            "operations": ("+", "-"),
            "operations_weights": [0.5, 0.5],
        },
        _no_steps,
    ),
    "syllogism": Kind({}, _no_steps),
}
DOMAINS = tuple(KINDS)  # in the order in which they are added


def _entries(name: str, seed: int) -> Iterator[Entry]:
    """An endless stream of a family's entries; another seed begins elsewhere."""
    gym = require_reasoning_gym()
    for batch in count():
        made = gym.create_dataset(name, size=2000, seed=seed * 10**9 + batch * 2000, **KINDS[name].settings)
        yield from (made[i] for i in range(2000))


def _key(name: str, entry: Entry) -> str:
    """What makes two questions the same: the catalog's content key, a year, else the question."""
    if name in FAMILIES:
        return f"{name} {FAMILIES[name].content_key(entry)}"
    return f"{name} {entry['metadata'].get('year') or entry['question'].strip()}"


def _rows(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    """Up to n different questions of a domain with their solutions, as rows of a prompt file."""
    found: dict[str, dict[str, Any]] = {}
    for entry, _ in zip(_entries(name, seed), range(DRAWS), strict=False):
        key = _key(name, entry)
        if key in found or (name in FAMILIES and split_of(key, SIDES) == "base"):
            continue
        question = str(entry["question"]).strip()
        kept = {k: v for k, v in entry["metadata"].items() if k not in ("difficulty", "source_index")}
        found[key] = {
            "id": content_id(name, question),
            "prompt": question,
            "answer": str(entry["answer"]),
            "response": teacher.response(KINDS[name].steps(entry), str(entry["answer"])),
            "domain": name,
            "verifier": "gym",
            "meta": {
                "family": name,
                "entry": {"question": question, "answer": entry["answer"], "metadata": kept},
                "content_key": key,
            },
        }
        if len(found) == n:
            break
    return list(found.values())


def write_prompts(path: Path, n_pool: int, n_heldout: int, seed: int, domains: tuple[str, ...] = DOMAINS) -> None:
    """A prompt file of which the tasks stage makes `n_pool` and `n_heldout` questions of each domain, or all it has.

    Raises:
        SystemExit: a domain has fewer than nine tenths of what is asked for.
    """
    drawn = FEWEST_DRAWN + round(SPARE * max(n_pool / (1 - HELDOUT_FRAC), n_heldout / HELDOUT_FRAC))
    rows = [row for name in domains for row in _rows(name, drawn, seed)]
    whole = path.with_name(f"drawn-{path.name}")
    write_rows(whole, rows)
    tasks, _ = asyncio.run(load_tasks(whole, tasks_config(whole)))
    kept: set[str] = set()
    for side, n in ((tasks.pool, n_pool), (tasks.heldout, n_heldout)):
        counts: Counter[str] = Counter()
        for prompt in side:
            counts[prompt.domain] += 1
            if counts[prompt.domain] <= n:
                kept.add(prompt.id)
        for name in domains:
            if counts[name] < 0.9 * n:
                raise SystemExit(f"{name} has {counts[name]} questions on a side that needs {n}")
    write_rows(path, [row for row in rows if row["id"] in kept])
    whole.unlink()


def tasks_config(path: Path) -> TasksConfig:
    """The settings of the tasks stage for that file."""
    return TasksConfig(source=str(path), heldout_frac=HELDOUT_FRAC, near_duplicate=NEAR_DUPLICATE)
